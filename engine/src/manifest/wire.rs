//! The manifest as written. These types are the file format, and stay in this module's users.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sharing::Redaction;
use crate::verify::VerifySettings;

/// Version of the manifest format that this program reads.
pub const MANIFEST_FORMAT: u64 = 1;

/// A ClinicaDL experiment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "ClinicaDL experiment manifest")]
pub(super) struct ManifestDoc {
    /// Version of the manifest format: 1.
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "checked before the rest is read")]
    pub(super) clinicadl: u64,
    /// Name of the experiment.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// Seed of every random draw of the experiment. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(super) seed: u64,
    /// Files and folders read from outside, by name; paths are relative to the manifest.
    #[serde(default)]
    pub(super) inputs: IndexMap<String, String>,
    /// The stages of the experiment, by a name of your choice.
    #[schemars(length(min = 1))]
    pub(super) stages: IndexMap<String, StageDoc>,
    /// Folder of the MAPS that this experiment publishes, relative to the manifest.
    #[serde(default)]
    pub(super) maps: Option<String>,
    /// Bounds that the published metrics must keep.
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

/// One stage.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StageDoc {
    /// What the stage does: an ID of `clinicadl stages`.
    #[expect(
        dead_code,
        reason = "read from the raw value, so that one wrong stage hides no other"
    )]
    pub(super) uses: String,
    /// What each input port reads: a name under `inputs`, a stage, or `stage.port`.
    #[serde(default)]
    pub(super) inputs: IndexMap<String, String>,
    /// Parameters of the stage: see `clinicadl stages <id>`.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "read from the raw value, so that one wrong stage hides no other"
    )]
    pub(super) with: Map<String, Value>,
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
