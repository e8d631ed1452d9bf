//! Small stages that stand for real ones in the engine's own tests.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry::{AnyStage, Native, Registry};
use crate::stage::{InputPort, OutputPort, ParamIssue, Ports, Run, Stage};
use crate::{Context, StageError};

pub(crate) static REGISTRY: Registry = Registry::new(STAGES);

static STAGES: &[&dyn AnyStage] = &[
    &Native::<Count>::new(),
    &Native::<Dice>::new(),
    &Native::<Fold>::new(),
    &Native::<Gather>::new(),
    &Native::<Join>::new(),
];

/// Serialises tests that count what ran.
pub(crate) static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

crate::params! {
    /// Parameters of `count`.
    pub(crate) struct CountParams {
        /// A factor.
        #[schemars(range(min = 1, max = 9))]
        semantic factor: u32 = 1,
        /// A choice.
        semantic mode: Mode = Mode::Words,
        /// Workers.
        resource workers: usize = 1,
        /// Fails, panics or changes an input on purpose.
        semantic fault: String = String::new(),
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    Words,
    /// Documented, which changes the shape of its schema.
    Lines,
}

/// Counts words of its text files, one item per file.
pub(crate) struct Count;

impl Stage for Count {
    const ID: &'static str = "count";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Counts.";
    type Params = CountParams;

    fn ports(_: &CountParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("text", &["text"], "Text files.")],
            outputs: vec![OutputPort::new("count", "number", "The number of words.")],
        }
    }

    fn check(params: &CountParams) -> Vec<ParamIssue> {
        match params.factor {
            7 => vec![ParamIssue::new("factor", "7 brings bad luck")],
            _ => Vec::new(),
        }
    }

    fn selects(_: &CountParams, _: &str, path: &str) -> bool {
        !path.ends_with(".log")
    }
}

impl Run for Count {
    fn run(params: &CountParams, context: &Context) -> Result<(), StageError> {
        let mut words = 0;
        for file in context.input("text")?.files.values() {
            match params.fault.as_str() {
                "fail" => return Err(StageError::new(format!("`{}` is bad", file.shown))),
                "panic" => panic!("a defect"),
                "change" => std::fs::write(&file.path, "changed").expect("a test's own file"),
                _ => {}
            }
            let identity = serde_json::json!({ "count": 1 });
            let item = context.item(&identity, file.digest, |path: &Path| {
                let text = std::fs::read_to_string(&file.path)
                    .map_err(|e| StageError::io("read", &file.path, &e))?;
                std::fs::write(path, text.split_whitespace().count().to_string())
                    .map_err(|e| StageError::io("write", path, &e))
            })?;
            let text = std::fs::read_to_string(context.item_path(&item)).unwrap_or_default();
            words += text.parse::<u32>().unwrap_or(0);
        }
        RAN.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push("count".into());
        context
            .output("count")?
            .write("n", (words * params.factor).to_string().as_bytes())
    }
}

crate::params! {
    /// Parameters of `fold`.
    pub(crate) struct FoldParams {
        /// Number of splits.
        semantic n_splits: usize = 2,
    }
}

/// Writes one number per split.
pub(crate) struct Fold;

impl Stage for Fold {
    const ID: &'static str = "fold";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Folds.";
    type Params = FoldParams;

    fn is_seeded(_: &FoldParams) -> bool {
        true
    }

    fn ports(params: &FoldParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("count", &["number"], "A number.")],
            outputs: vec![OutputPort::new("parts", "part", "Parts.").splits(params.n_splits)],
        }
    }
}

impl Run for Fold {
    fn run(params: &FoldParams, context: &Context) -> Result<(), StageError> {
        let number =
            std::fs::read_to_string(&context.input("count")?.only_file()?.path).unwrap_or_default();
        for split in 0..params.n_splits {
            let text = format!("{number}/{split}");
            context
                .output("parts")?
                .write(&format!("split-{split}/part"), text.as_bytes())?;
        }
        Ok(())
    }
}

crate::params! {
    /// Parameters of `join`.
    pub(crate) struct JoinParams {}
}

/// Runs once per split.
pub(crate) struct Join;

impl Stage for Join {
    const ID: &'static str = "join";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Joins.";
    type Params = JoinParams;

    fn ports(_: &JoinParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("part", &["part"], "A part.").per_split(),
                InputPort::new("count", &["number"], "A number.").optional(),
            ],
            outputs: vec![OutputPort::new("result", "result", "The result.")],
        }
    }
}

impl Run for Join {
    fn run(_: &JoinParams, context: &Context) -> Result<(), StageError> {
        let part = std::fs::read(&context.input("part")?.require("part")?.path).unwrap_or_default();
        context.output("result")?.write("r", &part)
    }
}

crate::params! {
    /// Parameters of `gather`.
    pub(crate) struct GatherParams {}
}

/// Sees all splits at once: lists their files.
pub(crate) struct Gather;

impl Stage for Gather {
    const ID: &'static str = "gather";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Gathers.";
    type Params = GatherParams;

    fn ports(_: &GatherParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("parts", &["part", "result"], "Parts.").all_splits()],
            outputs: vec![OutputPort::new("list", "list", "What is there.")],
        }
    }
}

impl Run for Gather {
    fn run(_: &GatherParams, context: &Context) -> Result<(), StageError> {
        let files = context.input("parts")?.files.iter();
        let lines = files.map(|(path, file)| {
            let text = std::fs::read_to_string(&file.path).unwrap_or_default();
            format!("{path}: {text}\n")
        });
        let text: String = lines.collect();
        context.output("list")?.write("list", text.as_bytes())
    }
}

crate::params! {
    /// Parameters of `dice`.
    pub(crate) struct DiceParams {}
}

/// Gives other bytes each time, which no real stage may, and claims to run a foreign program.
pub(crate) struct Dice;

impl Stage for Dice {
    const ID: &'static str = "dice";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Throws dice.";
    const RUNS_FOREIGN: bool = true;
    type Params = DiceParams;

    fn ports(_: &DiceParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("count", &["number"], "A number.")],
            outputs: vec![OutputPort::new("thrown", "number", "What was thrown.")],
        }
    }
}

impl Run for Dice {
    fn run(_: &DiceParams, context: &Context) -> Result<(), StageError> {
        static THROWS: AtomicU64 = AtomicU64::new(0);
        let number = THROWS.fetch_add(1, Ordering::Relaxed);
        let output = context.output("thrown")?;
        output.write("always", b"the same")?;
        output.write("n", number.to_string().as_bytes())
    }
}
