//! Verification: does what is here still fit the lock?
//!
//! ```text
//! inputs     nothing executed: the manifest, every input's content, every action's key
//! outputs    and the store's records and objects, and every published file
//! rerun      the inputs, then everything again in an empty store: bit for bit, or by metrics
//! ```
//!
//! Each function looks at one thing and gives [`Check`]s; none stops at the first fault, none writes,
//! and none repairs. Executing a plan and reading metrics from what it makes are the caller's: the
//! engine knows metrics as names with numbers, `group/split-0/…/metric`.

mod check;
mod inputs;
mod metrics;
mod numerics;
mod origin;
mod outputs;
mod rerun;
mod settings;
mod spread;
#[cfg(test)]
mod tests;

pub use check::{Check, Fault, Outcome, Section};
pub use inputs::check_inputs;
pub use metrics::{MetricNames, check_expectations, check_same_metrics};
pub use numerics::check_numerics;
pub use origin::refusals;
pub use outputs::{check_published, check_published_cells, check_store, published_by_cell};
pub use rerun::compare_rerun;
pub use settings::{Distance, Tolerance, VerifySettings};
pub use spread::{SpreadRow, check_seeds, check_tolerance, with_other_seed};
