//! Stage `command`: any external program, such as a Clinica container or a script of one's own.
//!
//! The program sees a private folder, copies of its inputs and the variables that are allowed, and
//! nothing of the store. Its file, the values of those variables, its arguments and its inputs by content
//! are in the key: whatever can change what it does makes it run again.
//!
//! What a program reads besides (the network, files of the system, other programs that it calls) cannot
//! be seen from here: list them in `tools`, or declare them as inputs.

mod collect;
mod place;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use engine::exec::Program;
use engine::stage::Need;
use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use place::{Places, Word};

/// What a program leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandOutput {
    /// File or folder that the program writes, relative to its working folder.
    #[schemars(length(min = 1, max = 1000))]
    pub path: String,
    /// Kind of artifact, such as `caps`, `table` or `folder`.
    #[schemars(length(min = 1, max = 100))]
    pub kind: String,
    /// Number of splits, each in a folder `split-<i>` of `path`; none for an artifact without splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub splits: Option<usize>,
}

engine::params! {
    /// Parameters of `command`.
    pub struct CommandParams {
        /// The program, found on PATH or given as `{inputs.NAME}`, and its arguments. No shell reads them. `{inputs.NAME}`, `{outputs.NAME}`, `{seed}` and `{cpus}` are replaced; `{{` is a brace.
        #[schemars(length(min = 1))]
        semantic argv: Vec<String> = Vec::new(),
        /// Names of the inputs, each to be connected under `inputs` of the stage. Default: none.
        semantic inputs: Vec<String> = Vec::new(),
        /// What the program leaves behind, by name.
        semantic outputs: BTreeMap<String, CommandOutput> = BTreeMap::new(),
        /// Variables that the program may see; all others are invisible. The values of all but PATH belong to the key. Default: PATH.
        semantic environment: Vec<String> = vec!["PATH".to_owned()],
        /// Further variables that the program may see and whose values cannot change its result, such as a licence file's place. Default: none.
        semantic(neutral = Vec::new()) environment_unhashed: Vec<String> = Vec::new(),
        /// Variables to set. Placeholders are replaced as in `argv`. Default: none.
        semantic set_environment: BTreeMap<String, String> = BTreeMap::new(),
        /// Further programs on PATH that the program calls: a change of one of them runs it again. Default: none.
        semantic tools: Vec<String> = Vec::new(),
        /// The file name, by input, under which the program finds an input of one file: programs that judge a file by its ending need one. Default: that of the artifact.
        semantic(neutral = BTreeMap::new()) file_names: BTreeMap<String, String> = BTreeMap::new(),
        /// Whether what is made of one participant depends on others, as templates, harmonisation, selected features and augmented copies do. Such a command must see the training part only; `check` refuses it before a split. Default: false.
        cosmetic fitted: bool = false,
    }
}

/// Runs a program.
#[derive(Debug)]
pub struct Command;

impl Stage for Command {
    const ID: &'static str = "command";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Runs an external program on declared inputs.";
    const RUNS_FOREIGN: bool = true;
    type Params = CommandParams;

    fn ports(params: &CommandParams) -> Ports {
        let input = |name: &String| InputPort::new(name.clone(), &[], "Given to the program.");
        let output = |(name, output): (&String, &CommandOutput)| {
            let port = OutputPort::new(name.clone(), output.kind.clone(), "Left by the program.");
            match output.splits {
                Some(count) => port.splits(count),
                None => port,
            }
        };
        Ports {
            inputs: params.inputs.iter().map(input).collect(),
            outputs: params.outputs.iter().map(output).collect(),
        }
    }

    fn is_seeded(params: &CommandParams) -> bool {
        let mut texts = params.argv.iter().chain(params.set_environment.values());
        texts.any(|text| place::words(text).is_ok_and(|words| words.contains(&Word::Seed)))
    }

    fn check(params: &CommandParams) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        if params.argv.is_empty() {
            issues.push(ParamIssue::new("argv", "is empty, expected a program"));
        }
        if let Some(program) = params.argv.first()
            && !program.contains('{')
            && program.contains('/')
            && !program.starts_with('/')
        {
            let message = "a relative path is no program: declare the script as an input and write \
                           `{inputs.NAME}`, so that its content is known";
            issues.push(ParamIssue::new("argv.0", message));
        }
        if params.outputs.is_empty() {
            issues.push(ParamIssue::new("outputs", "expected at least one output"));
        }
        for name in params.inputs.iter().chain(params.outputs.keys()) {
            if !place::is_name(name) {
                let message = format!("`{name}` is no name: use letters, digits, `-` and `_`");
                issues.push(ParamIssue::new("inputs", message));
            }
        }
        for (name, output) in &params.outputs {
            if !place::is_inside(&output.path) {
                let message = "expected a path below the working folder, without `..`";
                issues.push(ParamIssue::new(format!("outputs.{name}.path"), message));
            }
            let inside = |other: &CommandOutput| Path::new(&output.path).starts_with(&other.path);
            let holds =
                |(other, declared): &(&String, &CommandOutput)| *other != name && inside(declared);
            if let Some((other, _)) = params.outputs.iter().find(holds) {
                let message = format!("lies in output `{other}`: two outputs cannot share files");
                issues.push(ParamIssue::new(format!("outputs.{name}.path"), message));
            }
        }
        for (input, name) in &params.file_names {
            let field = format!("file_names.{input}");
            if !params.inputs.contains(input) {
                let message = format!("there is no input `{input}`");
                issues.push(ParamIssue::new(field, message));
            } else if name.contains('/') || !place::is_inside(name) {
                issues.push(ParamIssue::new(field, "expected a file name without `/`"));
            }
        }
        let texts = params.argv.iter().enumerate();
        let texts = texts.map(|(i, text)| (format!("argv.{i}"), text));
        let set = params.set_environment.iter();
        let set = set.map(|(name, text)| (format!("set_environment.{name}"), text));
        for (field, text) in texts.chain(set) {
            if let Err(message) = place::words(text).and_then(|words| known(params, &words)) {
                issues.push(ParamIssue::new(field, message));
            }
        }
        issues
    }

    fn needs(params: &CommandParams) -> Vec<Need> {
        let program = params.argv.first().filter(|program| !program.contains('{'));
        let programs = program.into_iter().chain(&params.tools);
        let variables = params.environment.iter().filter(|name| *name != "PATH");
        programs
            .map(|program| Need::Program(program.clone()))
            .chain(variables.map(|name| Need::Variable(name.clone())))
            .collect()
    }
}

/// Whether placeholders name something that there is.
fn known(params: &CommandParams, words: &[Word]) -> Result<(), String> {
    for word in words {
        let (what, name, exists) = match word {
            Word::Input(name) => ("input", name, params.inputs.contains(name)),
            Word::Output(name) => ("output", name, params.outputs.contains_key(name)),
            Word::Text(_) | Word::Seed | Word::Cpus => continue,
        };
        if !exists {
            return Err(format!("there is no {what} `{name}`"));
        }
    }
    Ok(())
}

impl Run for Command {
    fn run(params: &CommandParams, context: &Context) -> Result<(), StageError> {
        let scratch = context.scratch()?;
        let work = tempfile::tempdir_in(scratch)
            .map_err(|e| StageError::io("create a folder in", scratch, &e))?;
        let places = Places::prepare(work.path(), params, context)?;
        context.run_program(&program(params, &places, context)?)?;
        collect::collect(&places, params, context)
    }
}

/// The program with its arguments and its environment.
fn program(
    params: &CommandParams,
    places: &Places,
    context: &Context,
) -> Result<Program, StageError> {
    let shown = params.argv.first().cloned().unwrap_or_default();
    // What was hashed, wherever the PATH leads that the program itself is given.
    let path = if shown.contains('{') {
        places.fill(&shown).into()
    } else {
        context.program(&shown)?
    };
    let arguments = params.argv.iter().skip(1);
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    for name in ["HOME", "TMPDIR"] {
        variables.insert(name.into(), places.home().into());
    }
    let passed = params
        .environment
        .iter()
        .chain(&params.environment_unhashed);
    variables.extend(passed.filter_map(|name| Some((name.into(), context.variable(name)?))));
    let set = params.set_environment.iter();
    variables.extend(set.map(|(name, text)| (name.into(), places.fill(text).into())));
    Ok(Program {
        path,
        shown,
        arguments: arguments.map(|text| places.fill(text).into()).collect(),
        folder: places.folder().to_owned(),
        variables,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(argv: &[&str]) -> CommandParams {
        CommandParams {
            argv: argv.iter().map(|&text| text.to_owned()).collect(),
            inputs: vec!["labels".into()],
            outputs: BTreeMap::from([(
                "out".into(),
                CommandOutput {
                    path: "out.tsv".into(),
                    kind: "table".into(),
                    splits: None,
                },
            )]),
            ..CommandParams::default()
        }
    }

    fn problems(params: &CommandParams) -> Vec<String> {
        let issues = Command::check(params).into_iter();
        issues
            .map(|issue| format!("{}: {}", issue.field, issue.message))
            .collect()
    }

    #[test]
    fn placeholders_must_name_what_there_is() {
        let good = params(&[
            "cp",
            "{inputs.labels}",
            "{outputs.out}",
            "{seed}{cpus}{{x}}",
        ]);
        assert_eq!(problems(&good), Vec::<String>::new());
        let wrong = params(&["cp", "{inputs.lables}", "{output.out}", "{", "}"]);
        let found = problems(&wrong);
        assert!(
            found[0].contains("argv.1: there is no input `lables`"),
            "{found:?}"
        );
        assert!(
            found[1].contains("argv.2: `{output.out}` is no placeholder"),
            "{found:?}"
        );
        assert!(
            found[2].contains("argv.3") && found[3].contains("argv.4"),
            "{found:?}"
        );
    }

    #[test]
    fn outputs_stay_in_the_working_folder() {
        for path in ["/etc/passwd", "../up", "a/../../up", "a//b", "."] {
            let mut bad = params(&["true"]);
            bad.outputs.get_mut("out").unwrap().path = path.into();
            assert!(problems(&bad)[0].contains("outputs.out.path"), "{path}");
        }
    }

    #[test]
    fn outputs_do_not_share_files() {
        let mut bad = params(&["true"]);
        let inner = CommandOutput {
            path: "out.tsv/inner".into(),
            kind: "table".into(),
            splits: None,
        };
        bad.outputs.insert("inner".into(), inner);
        let found = problems(&bad);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("outputs.inner.path: lies in output `out`"));
    }

    #[test]
    fn a_file_name_belongs_to_an_input_and_is_no_path() {
        for (input, name) in [("labels", "../x"), ("labels", "a/b"), ("lables", "x.tsv")] {
            let mut bad = params(&["true"]);
            bad.file_names.insert(input.into(), name.into());
            assert_eq!(problems(&bad).len(), 1, "{input}: {name}");
        }
    }

    #[test]
    fn a_script_is_an_input_and_no_relative_path() {
        assert!(problems(&params(&["./script.sh"]))[0].contains("declare the script"));
        assert!(problems(&params(&[]))[0].contains("expected a program"));
    }
}
