//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::failure::EXIT_CODES;

/// Declarative deep-learning experiments on neuroimaging data.
///
/// An experiment is one manifest: stages that extract, split, train, predict and interpret. Only what
/// changed is run; results are published as a MAPS folder with their provenance.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Show only errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show more; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print the result as JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run what changed, and publish the results.
    Run(RunArgs),
    /// Report every problem of a manifest at once.
    Check(ManifestArgs),
    /// Show what would run, and why.
    Plan(PlanArgs),
    /// Show why an action runs or not: every difference since its last run.
    #[command(visible_alias = "why")]
    Explain(ExplainArgs),
    /// Show the state of every action.
    Status(StatusArgs),
    /// Draw the actions and what they read.
    Graph(GraphArgs),
    /// Look after the store of results.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Show what the actions of the last run said.
    Logs(LogsArgs),
    /// Check that inputs, stored and published results still fit the lock file.
    Verify(VerifyArgs),
    /// Run one stage without a manifest.
    Exec(ExecArgs),
    /// Look at a MAPS, check, import and share it.
    Maps {
        /// What to do.
        #[command(subcommand)]
        command: MapsCommand,
    },
    /// List the stages, or describe one.
    Stages {
        /// The stage to describe.
        id: Option<String>,
        /// With `train`: list the networks with their options.
        #[arg(long, requires = "id")]
        networks: bool,
    },
    /// Print the JSON Schema of manifests, for editors.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// The experiment's manifest, YAML or TOML.
    pub(crate) manifest: PathBuf,
    /// The store of results. Default: `.clinicadl` beside the manifest.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
    /// Set a param, or the seed: NAME=VALUE, dots for what is inside, values in YAML; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The folder to publish to, instead of the manifest's; it may be anywhere.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) maps: Option<PathBuf>,
    /// Read every input again instead of trusting unchanged file stamps.
    #[arg(long)]
    pub(crate) paranoid: bool,
    /// Which stored results to reuse: those of any hardware and libtorch, or of this one only.
    #[arg(long, value_enum, default_value_t = Reuse::Any)]
    pub(crate) reuse: Reuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reuse {
    /// Wherever they were computed: a GPU's results can be checked on a laptop.
    Any,
    /// Computed with this libtorch, device, instruction set and number of threads: bit for bit.
    SameClass,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Run this stage even if its result is stored; may be repeated.
    #[arg(long, value_name = "STAGE")]
    pub(crate) force: Vec<String>,
    /// Run nothing: fail if anything is not up to date.
    #[arg(long, conflicts_with = "force")]
    pub(crate) frozen: bool,
    /// Stop at the first failure.
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// After a failure go on with what does not depend on it (the default).
    #[arg(long, conflicts_with = "fail_fast")]
    pub(crate) keep_going: bool,
    /// Fail if the lock file would change.
    #[arg(long)]
    pub(crate) locked: bool,
    /// Move published files that were changed by hand to a folder beside theirs, and publish again.
    #[arg(long)]
    pub(crate) restore: bool,
    /// Take results from this store too, and put them there: a folder, `s3://bucket/prefix`, or
    /// `https://host/path`, which is only read.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) remote: Option<String>,
    /// Take results from the remote and put none there.
    #[arg(long, requires = "remote")]
    pub(crate) no_push: bool,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Write where the time of each action goes to this file, as a trace for `ui.perfetto.dev`, and show a
    /// summary. Default: `clinicadl-profile.json` in this folder. It changes no result.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "clinicadl-profile.json")]
    pub(crate) profile: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TrackingArgs {
    /// Tell an MLflow server of finished trainings: `http://host:port`, or without an address that of
    /// `MLFLOW_TRACKING_URI`. It changes no result, and a server that fails stops nothing.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    pub(crate) mlflow: Option<String>,
    /// The experiment there. Default: the manifest's name.
    #[arg(long, value_name = "NAME", requires = "mlflow")]
    pub(crate) mlflow_experiment: Option<String>,
    /// Give each run there its `training.tsv` and `maps.json`.
    #[arg(long, requires = "mlflow")]
    pub(crate) mlflow_files: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// How much to verify. Default: outputs.
    #[arg(long, value_enum)]
    pub(crate) tier: Option<Tier>,
    /// Run everything again in an empty store, and compare so; implies `--tier rerun`.
    #[arg(long, value_enum)]
    pub(crate) rerun: Option<Rerun>,
    /// Run again even where libtorch, device or threads are not those of the lock.
    #[arg(long)]
    pub(crate) allow_other_numerics: bool,
    /// Where to put the empty store. Default: on the disk of the store.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// Refuse stages that run foreign programs, and files outside the project.
    #[arg(long)]
    pub(crate) untrusted: bool,
    /// The project of an untrusted manifest. Default: the folder of the manifest.
    #[arg(long, value_name = "FOLDER", requires = "untrusted")]
    pub(crate) project: Option<PathBuf>,
    /// Write the checks as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// The manifest, the content of inputs, the keys of actions; nothing is executed.
    Inputs,
    /// And stored and published results, read again; nothing is executed.
    Outputs,
    /// The inputs, then everything again.
    Rerun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rerun {
    /// Every output bit for bit.
    Bitwise,
    /// Metrics within the tolerance that the manifest declares.
    Tolerance,
    /// Published metrics within the spread of other seeds.
    Seeds,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Threads to use, those that hash files among them. Default: all.
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cpus: Option<u16>,
    /// Graphics processors to use.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gpus: u16,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Fail with code 3 if something would run.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// A stage, or one of its actions such as `train (split 0)`. Default: all that are not hits.
    pub(crate) action: Option<String>,
    /// Compare with this instead of the last run: another action, or the key of a stored result.
    #[arg(long, value_name = "ACTION|KEY", requires = "action")]
    pub(crate) against: Option<String>,
    /// Print the key document, from which the key is made.
    #[arg(long)]
    pub(crate) key: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show how much each manifest holds.
    Du(StoreArgs),
    /// Read everything that is stored and put damaged files away.
    Verify(StoreArgs),
    /// Show what no manifest needs any more, and delete it if asked.
    Gc(GcArgs),
    /// Copy results to a store elsewhere.
    Push(PushArgs),
    /// Copy the results that lock files name from a store elsewhere.
    Pull(PullArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// A folder, or `s3://bucket/prefix`.
    #[arg(value_name = "ADDRESS")]
    pub(crate) remote: String,
    /// Copy what the lock files of these need. Default: what any manifest of the store needs.
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifests: Vec<PathBuf>,
    /// The store. Default: `.clinicadl` beside the first manifest, or here.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// A folder, `s3://bucket/prefix`, or `https://host/path`.
    #[arg(value_name = "ADDRESS")]
    pub(crate) remote: String,
    /// Whose lock files name the results.
    #[arg(value_name = "MANIFEST", required = true)]
    pub(crate) manifests: Vec<PathBuf>,
    /// The store. Default: `.clinicadl` beside the first manifest.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store.
    #[arg(long, value_name = "FOLDER", default_value = ".clinicadl")]
    pub(crate) store: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Delete; without it, only show.
    #[arg(long)]
    pub(crate) delete: bool,
    /// Spare what was made or used within this time, such as `30d` or `12h`.
    #[arg(long, value_name = "TIME", default_value = "0d", value_parser = duration)]
    pub(crate) keep: std::time::Duration,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    engine::manifest::duration(text)
        .ok_or_else(|| "expected a number and a unit: 90s, 30min, 12h, 30d".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// A stage, or one of its actions. Default: what happened in the last run, line by line.
    pub(crate) action: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Fail with code 3 if something is not up to date.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to draw.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Lines for a terminal.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
    /// A picture for browsers and documents.
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The stage: an ID of `clinicadl stages`.
    pub(crate) stage: String,
    /// Connect an input port to a file or folder: PORT=PATH; may be repeated.
    #[arg(long, value_name = "PORT=PATH")]
    pub(crate) input: Vec<String>,
    /// Set a parameter: NAME=VALUE, dots for nested ones, values in YAML; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) with: Vec<String>,
    /// The folder to write the outputs to.
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// Seed of random draws.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Run only these splits; may be repeated.
    #[arg(long, value_name = "N")]
    pub(crate) split: Vec<usize>,
    /// The store of results. Default: `.clinicadl` in this folder.
    #[arg(long, value_name = "FOLDER", default_value = ".clinicadl")]
    pub(crate) store: PathBuf,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MapsCommand {
    /// Copy what may be shared: without participant IDs, clinical columns and images of participants.
    Export(MapsExportArgs),
    /// Report everything that is wrong with a MAPS at once; fail with code 4 if anything is.
    Validate(MapsFolder),
    /// Show what was trained, on whom, and how good it is.
    Show(MapsShowArgs),
    /// Make a MAPS of ClinicaDL 1.6 or 2.0 one of this program.
    Import(MapsImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MapsFolder {
    /// The MAPS folder.
    pub(crate) maps: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MapsShowArgs {
    /// The MAPS folder.
    pub(crate) maps: PathBuf,
    /// Show only this split; may be repeated.
    #[arg(long, value_name = "N")]
    pub(crate) split: Vec<usize>,
    /// Show only this data group; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Vec<String>,
    /// Show only this metric, by its name in manifests or in tables; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MapsImportArgs {
    /// The MAPS to import; it is only read.
    pub(crate) source: PathBuf,
    /// The folder to make.
    pub(crate) target: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MapsExportArgs {
    /// The MAPS folder.
    pub(crate) maps: PathBuf,
    /// The folder to make, or an archive if its name ends with `.zip`.
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// What may be shared. Default: `redact:` of the experiment's manifest, else the least.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A secret that the new participant IDs depend on; the same gives the same IDs. Default: drawn
    /// at random and forgotten.
    #[arg(long, value_name = "FILE", conflicts_with = "new_salt")]
    pub(crate) salt_file: Option<PathBuf>,
    /// Draw a secret at random and keep it in this file, for later exports.
    #[arg(long, value_name = "FILE")]
    pub(crate) new_salt: Option<PathBuf>,
}

/// Reads the command line; prints help or usage errors and exits by itself.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}
