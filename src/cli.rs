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
    /// Run one stage without a manifest.
    Exec(ExecArgs),
    /// List the stages, or describe one.
    Stages {
        /// The stage to describe.
        id: Option<String>,
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
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Threads to use. Default: all.
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
}

/// Reads the command line; prints help or usage errors and exits by itself.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}
