//! What a manifest says about its own verification, under `verify:`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a second run is compared with the lock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifySettings {
    /// The metrics that `--rerun tolerance` and `--rerun seeds` compare, called as under `expect`.
    /// Default: every one.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// How far metrics may be from the locked ones, for `--rerun tolerance`.
    pub tolerance: Option<Tolerance>,
    /// Number of other seeds to run with, for `--rerun seeds`.
    #[schemars(range(min = 3, max = 1000))]
    pub seeds: Option<u32>,
}

/// How far a metric may be from the locked value: `atol + rtol × |locked|`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Relative to the locked value. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub rtol: f64,
    /// Absolute. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub atol: f64,
    /// Other distances for single metrics: `loss` in every data group, or `test.loss` in one.
    #[serde(default)]
    pub metrics: IndexMap<String, Distance>,
}

/// How far one metric may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// Relative to the locked value. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub rtol: f64,
    /// Absolute. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub atol: f64,
}

impl Distance {
    /// How far a value may be from `locked`.
    pub fn around(self, locked: f64) -> f64 {
        self.atol + self.rtol * locked.abs()
    }
}
