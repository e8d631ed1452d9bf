//! One file per verb: arguments in, engine calls, text or JSON out.

mod cells;
mod check;
mod energy;
mod exec;
mod explain;
mod graph;
mod list;
mod logs;
mod maps;
mod plan;
mod remote;
mod results;
mod run;
mod settled;
mod status;
mod store;
mod track;
mod trials;
mod verify;

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use engine::Registry;
use engine::exec::{Machine, NumericsClasses};
use engine::manifest::{Issues, Manifest, Overrides};
use engine::plan::{Assessment, Conditions, Plan, assess};
use engine::store::Store;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, ManifestArgs, Output, Reuse};
use crate::failure::{Code, Failure};

/// What every verb gets besides its own arguments.
struct Session {
    output: Output,
    registry: Registry,
}

impl Session {
    /// Prints a result for people, or for programs with `--json`.
    fn print(&self, text: impl Display, json: &serde_json::Value) {
        let mut stdout = anstream::stdout().lock();
        // A reader that went away, such as `head`, is no failure.
        if self.output.json {
            drop(writeln!(stdout, "{json:#}"));
        } else {
            drop(write!(stdout, "{text}"));
        }
    }
}

/// Runs a command and tells how it ended.
pub(crate) fn main(cli: Cli) -> ExitCode {
    start_log(&cli.output);
    if let Some(threads) = threads(&cli.command) {
        // What hashes files and looks at them before anything runs: more than there are processors would wait.
        let threads = usize::from(threads).min(Machine::detect().cpus);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        if let Err(error) = pool.build_global() {
            tracing::debug!(%error, "all processors are used for hashing");
        }
    }
    let session = Session {
        output: cli.output,
        registry: Registry::new(stages::STAGES),
    };
    let result = match cli.command {
        Command::Run(args) => run::run(&session, &args),
        Command::Check(args) => check::check(&session, &args),
        Command::Plan(args) => plan::plan(&session, &args),
        Command::Explain(args) => explain::explain(&session, &args),
        Command::Status(args) => status::status(&session, &args),
        Command::Graph(args) => graph::graph(&session, &args),
        Command::Store(command) => store::store(&session, &command),
        Command::Logs(args) => logs::logs(&session, &args),
        Command::Verify(args) => verify::verify(&session, &args),
        Command::Exec(args) => exec::exec(&session, &args),
        Command::Maps { command } => maps::maps(&session, &command),
        Command::Stages { id, networks } => match (id.as_deref(), networks) {
            (Some("train"), true) => {
                list::networks(&session);
                Ok(())
            }
            (Some(other), true) => Err(Failure::new(
                Code::Invalid,
                format!("stage `{other}` has no networks"),
            )
            .hint("networks are listed by `clinicadl stages train --networks`")),
            (id, _) => list::stages(&session, id),
        },
        Command::Schema => {
            let schema = engine::manifest::manifest_schema(session.registry);
            session.print(format!("{schema:#}\n"), &schema);
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "clinicadl", &mut script);
            drop(std::io::stdout().write_all(&script));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.show();
            failure.code.into()
        }
    }
}

/// The threads that a command may use, if it was told.
fn threads(command: &Command) -> Option<u16> {
    match command {
        Command::Run(args) => args.machine.cpus,
        Command::Verify(args) => args.machine.cpus,
        Command::Exec(args) => args.machine.cpus,
        _ => None,
    }
}

/// Diagnostics go to standard error; `CLINICADL_LOG` takes tracing directives.
fn start_log(output: &Output) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("CLINICADL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
}

/// The store of a manifest: as asked for, or beside the manifest.
fn store_path(args: &ManifestArgs) -> PathBuf {
    args.store.clone().unwrap_or_else(|| {
        let folder = args
            .manifest
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).join(".clinicadl")
    })
}

/// Reads a manifest with what the command line sets.
fn load(session: &Session, args: &ManifestArgs) -> Result<Manifest, Issues> {
    let mut overrides = Overrides {
        maps: args.maps.clone(),
        ..Overrides::default()
    };
    for text in &args.set {
        if let Err(message) = overrides.set(text) {
            return Err(Issues::of_argument("--set", message));
        }
    }
    let manifest = Manifest::load_with(&args.manifest, session.registry, &overrides)?;
    let mut problems = stages::learning::groups::clashes(&manifest);
    problems.extend(stages::leakage::plan::check(&manifest));
    match problems.is_empty() {
        true => Ok(manifest),
        false => Err(Issues(problems)),
    }
}

/// Tells on standard error what may not be as it was meant; JSON has it in the result.
fn show_warnings(session: &Session, manifest: &Manifest) {
    if session.output.quiet || session.output.json {
        return;
    }
    let mut stderr = anstream::stderr().lock();
    for warning in &manifest.warnings {
        // Nobody is left to tell when standard error is closed.
        drop(writeln!(stderr, "\x1b[1;33mwarning\x1b[0m: {warning}"));
        if let Some(hint) = &warning.hint {
            drop(writeln!(stderr, "  \x1b[1;36mhint\x1b[0m: {hint}"));
        }
    }
}

/// A manifest looked up in its store, for the verbs that execute nothing.
struct Looked {
    manifest: Manifest,
    plan: Plan,
    assessment: Assessment,
    store: Store,
    /// Holds an empty store where there is none yet.
    _empty: Option<tempfile::TempDir>,
}

/// Plans a manifest and looks its actions up; makes no store where there is none.
fn look(session: &Session, args: &ManifestArgs) -> Result<Looked, Failure> {
    let manifest = load(session, args)?;
    let path = store_path(args);
    let mut empty = None;
    let exists = path.join("FORMAT").is_file();
    let store = if exists {
        Store::open_for_reading(&path)?
    } else {
        let folder = tempfile::tempdir()
            .map_err(|e| Failure::new(Code::Environment, format!("no temporary folder: {e}")))?;
        let store = Store::open(folder.path())?;
        empty = Some(folder);
        store
    };
    if args.paranoid {
        store.stats().distrust();
    }
    let plan = Plan::build(&manifest, &store)?;
    let conditions = conditions(args, &plan, Machine::detect(), &[])?;
    let assessment = assess(&plan, &manifest, &store, &conditions);
    if exists {
        store.save_stats();
    }
    Ok(Looked {
        manifest,
        plan,
        assessment,
        store,
        _empty: empty,
    })
}

/// Which stored results are not reused.
fn conditions(
    args: &ManifestArgs,
    plan: &Plan,
    machine: Machine,
    forced: &[String],
) -> Result<Conditions, Failure> {
    let same_class = match args.reuse {
        Reuse::Any => None,
        Reuse::SameClass => Some(NumericsClasses::ask(&worker_path()?, plan, machine)?),
    };
    Ok(Conditions {
        forced: forced.to_vec(),
        same_class,
    })
}

/// The worker is installed beside this program.
fn worker_path() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()
        .map_err(|e| Failure::new(Code::Environment, format!("cannot find this program: {e}")))?;
    Ok(this
        .parent()
        .unwrap_or(Path::new("."))
        .join("clinicadl-worker"))
}

/// A name that no action has.
fn unknown_action(looked: &Looked, name: &str) -> Failure {
    let order = looked.plan.order().iter();
    let names: Vec<String> = order
        .map(|&id| format!("`{}`", looked.plan.action(id).name()))
        .collect();
    Failure::new(Code::Invalid, format!("no action is called `{name}`"))
        .hint(format!("known: {}", names.join(", ")))
}

/// A size for people.
#[expect(clippy::cast_precision_loss, reason = "whole units are shown")]
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return format!("{value:.0} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_threads_of_a_command_are_those_it_was_told() {
        let of = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["clinicadl"], arguments].concat());
            threads(&cli.unwrap().command)
        };
        assert_eq!(of(&["run", "--cpus", "3", "e.yaml"]), Some(3));
        assert_eq!(of(&["verify", "--cpus", "2", "e.yaml"]), Some(2));
        assert_eq!(of(&["exec", "split", "--output", "o", "-j", "1"]), Some(1));
        assert_eq!(of(&["run", "e.yaml"]), None);
        assert_eq!(of(&["plan", "e.yaml"]), None);
    }
}
