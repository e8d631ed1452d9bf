//! The manifest as written. These types are the file format, and stay in this module's users.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sharing::Redaction;
use crate::verify::VerifySettings;

/// Major version of the manifest format that this program reads.
pub const MANIFEST_FORMAT: u64 = 1;

/// Minor version of the manifest format that this program knows completely.
pub const MANIFEST_MINOR: u64 = 0;

/// A ClinicaDL experiment.
///
/// The parts are read one by one, each after its own substitution; this type is their common schema.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, title = "ClinicaDL experiment manifest")]
#[expect(dead_code, reason = "describes the file for editors")]
pub(super) struct ManifestDoc {
    /// Version of the manifest format: 1, or a minor version in quotes such as "1.0".
    clinicadl: FormatDoc,
    /// Name of the experiment.
    #[schemars(length(min = 1))]
    name: String,
    /// Seed of every random draw of the experiment. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    seed: u64,
    /// Fragments of the manifest, relative to this file: they may hold `params`, `inputs`, `stages`,
    /// `defaults`, `expect` and further fragments.
    #[serde(default)]
    include: Vec<String>,
    /// Values to use as `${params.name}`, and to set with `--set name=value`.
    #[serde(default)]
    params: IndexMap<ParamName, Value>,
    /// Run the experiment once per combination of these params.
    #[serde(default)]
    matrix: MatrixDoc,
    /// Run the experiment once per trial, with params drawn from a space.
    #[serde(default)]
    search: Option<SearchDoc>,
    /// What stages of a kind have in common; a stage's own values win.
    #[serde(default)]
    defaults: IndexMap<String, DefaultsDoc>,
    /// Files and folders read from outside, by name; paths are relative to the file they are in.
    #[serde(default)]
    inputs: IndexMap<String, String>,
    /// The stages of the experiment, by a name of your choice.
    #[serde(default)]
    stages: IndexMap<String, StageDoc>,
    /// Folder of the MAPS that this experiment publishes, relative to the manifest.
    #[serde(default)]
    maps: Option<String>,
    /// Bounds that the published metrics must keep.
    #[serde(default)]
    expect: Vec<Expectation>,
    /// How `clinicadl verify` compares a second run with the lock.
    #[serde(default)]
    verify: VerifySettings,
    /// What of the published MAPS may be shared: the policy of `clinicadl maps export`.
    #[serde(default)]
    redact: Option<Redaction>,
}

/// The version of the format.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the file for editors")]
enum FormatDoc {
    /// Any minor version of a format.
    Major(#[schemars(range(min = 1, max = 1))] u64),
    /// A minor version.
    Minor(#[schemars(regex(pattern = r"^1(\.[0-9]+)?$"))] String),
}

/// A name of a param.
#[derive(Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(transparent)]
struct ParamName(#[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,100}$"))] String);

/// What a matrix varies: values by param.
#[derive(Debug, Default, JsonSchema)]
#[expect(dead_code, reason = "describes the file for editors")]
struct MatrixDoc {
    /// Params to set in the cells that agree with an entry, or cells of their own.
    #[serde(default)]
    include: Vec<Map<String, Value>>,
    /// Cells to leave out.
    #[serde(default)]
    exclude: Vec<Map<String, Value>>,
    /// The values of each param.
    #[serde(flatten)]
    params: IndexMap<String, Vec<Value>>,
}

/// A search for the best params.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchDoc {
    /// What each param is drawn from; the `config` of a stage may tell of some too.
    #[serde(default)]
    pub(super) space: IndexMap<String, RangeDoc>,
    /// `random` (default), or `grid`: every combination.
    #[serde(default)]
    pub(super) method: SearchMethod,
    /// Trials of a random search. Default 20.
    #[serde(default = "default_trials")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) trials: usize,
    /// Seed of the draws. Default 0.
    #[serde(default)]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(super) seed: u64,
    /// What trials are compared by, the mean over splits: `validation.<metric>`. Default `validation.loss`.
    #[serde(default = "default_metric")]
    pub(super) metric: String,
    /// `minimize` or `maximize`. Default: as the metric is.
    pub(super) goal: Option<Goal>,
}

fn default_trials() -> usize {
    20
}

fn default_metric() -> String {
    "validation.loss".to_owned()
}

/// How trials are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SearchMethod {
    /// Each by itself.
    #[default]
    Random,
    /// Every combination.
    Grid,
}

/// Whether less or more of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Less is better.
    Minimize,
    /// More is better.
    Maximize,
}

/// What a param is drawn from: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeDoc {
    /// One of these values.
    pub(super) choice: Option<Vec<Value>>,
    /// An integer from the first to the second, both included.
    pub(super) integer: Option<[i64; 2]>,
    /// A number between these.
    pub(super) uniform: Option<[f64; 2]>,
    /// A number between these whose logarithm is uniform.
    pub(super) log_uniform: Option<[f64; 2]>,
    /// Values of a range of numbers in a grid, evenly spaced, both ends included.
    #[schemars(range(min = 2, max = 1000))]
    pub(super) steps: Option<usize>,
}

/// The parts of a manifest that every cell reads as a whole.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadDoc {
    /// See [`ManifestDoc`].
    #[schemars(length(min = 1, max = 200))]
    pub(super) name: String,
    /// See [`ManifestDoc`].
    #[serde(default)]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(super) seed: u64,
    /// See [`ManifestDoc`].
    #[serde(default)]
    pub(super) maps: Option<String>,
    /// See [`ManifestDoc`].
    #[serde(default)]
    pub(super) expect: Vec<Expectation>,
    /// How `clinicadl verify` compares a second run with the lock.
    #[serde(default)]
    pub(super) verify: VerifySettings,
    /// What of the published MAPS may be shared: the policy of `clinicadl maps export`.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "the export reads it from the manifest that was published"
    )]
    pub(super) redact: Option<Redaction>,
}

/// What stages of a kind have in common.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "merged into stages as values")]
pub(super) struct DefaultsDoc {
    /// Parameters of the stages.
    #[serde(default)]
    with: Map<String, Value>,
    /// What the stages may use of the machine.
    #[serde(default)]
    resources: Resources,
    /// See [`StageDoc`].
    #[serde(default)]
    #[schemars(range(max = 100))]
    retries: u32,
    /// See [`StageDoc`].
    #[schemars(regex(pattern = r"^[0-9]+ ?(s|min|h|d)$"))]
    timeout: Option<String>,
}

/// One stage.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StageDoc {
    /// What the stage does: an ID of `clinicadl stages`.
    #[expect(dead_code, reason = "looked up before the stage is read")]
    pub(super) uses: String,
    /// What each input port reads: a name under `inputs`, a stage, or `stage.port`.
    #[serde(default)]
    pub(super) inputs: IndexMap<String, String>,
    /// Parameters of the stage: see `clinicadl stages <id>`.
    #[serde(default)]
    pub(super) with: Map<String, Value>,
    /// A file of parameters in a format of others that the stage reads, relative to this file; those under
    /// `with` win.
    #[expect(dead_code, reason = "read and taken out before the stage is read")]
    pub(super) config: Option<String>,
    /// Only if these params have these values: `params.name` to a value or a list of values.
    #[serde(default)]
    #[expect(dead_code, reason = "decided before the stage is read")]
    pub(super) when: IndexMap<String, Value>,
    /// What the stage may use of the machine; never changes a result.
    #[serde(default)]
    pub(super) resources: Resources,
    /// Run only these splits. Default: all.
    #[serde(default)]
    pub(super) splits: Option<Vec<usize>>,
    /// How many more times to try when the machine fails it (never when the data do). Default: 0.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub(super) retries: u32,
    /// Time after which it is stopped and counts as failed, such as `90min`. Default: none.
    #[schemars(regex(pattern = r"^[0-9]+ ?(s|min|h|d)$"))]
    pub(super) timeout: Option<String>,
}

/// What a stage may use of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Threads. Default: all that the run has.
    #[schemars(range(min = 1))]
    pub cpus: Option<usize>,
    /// Graphics processors. Default: 0.
    #[serde(default)]
    pub gpus: usize,
    /// Memory that the stage needs at most, such as `16GiB`; two stages that do not fit together
    /// run one after the other.
    #[schemars(regex(pattern = r"^[0-9]+ ?([KMGT]i?B|B)$"))]
    pub memory: Option<String>,
    /// Time that the stage needs at most, such as `4h` or `30min`, for cluster jobs.
    #[schemars(regex(pattern = r"^[0-9]+ ?(s|min|h|d)$"))]
    pub time: Option<String>,
}

impl Resources {
    /// The memory in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        let text = self.memory.as_deref()?;
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let unit: u64 = match text[digits..].trim() {
            "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        text[..digits].parse::<u64>().ok()?.checked_mul(unit)
    }
}

/// The duration written as `90min`; `None` if it is not one.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match text[digits..].trim() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = text[..digits].parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_secs(seconds))
}

/// A bound on a published metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// `group.metric` or `stage.metric`, such as `test.balanced_accuracy`: the mean over the splits.
    /// `test.split-0.balanced_accuracy` is one split, `test.best-loss.balanced_accuracy` the models
    /// that one metric selected.
    pub metric: String,
    /// The least acceptable value.
    pub min: Option<f64>,
    /// The greatest acceptable value.
    pub max: Option<f64>,
}
