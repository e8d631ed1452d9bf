//! The files of a MAPS: one module each, typed, read and written in the formats of ClinicaDL 1.6.1.
//!
//! Column and key names of the format appear here only. Every file is read from bytes together with
//! the name to use in messages, and writing gives bytes: who reads and writes files is not known here.

pub mod attribution_tsv;
pub mod data_tsv;
pub mod events;
pub mod group_json;
pub mod leakage_json;
pub mod maps_json;
pub mod measured_tsv;
pub mod metrics_tsv;
pub mod network_metrics_tsv;
pub mod prediction_tsv;
mod python;
pub mod sessions_tsv;
#[cfg(test)]
mod tests;
pub mod training_tsv;
mod tsv;
pub mod voting_tsv;

pub use attribution_tsv::{
    CompletenessRow, CompletenessTable, MappedImage, RegionRow, RegionsTable, SanityRow,
    SanityTable,
};
pub use data_tsv::{DataRow, DataTable, SINGLE_COHORT};
pub use events::{EVENT_FILE, EventFile};
pub use group_json::GroupJson;
pub use leakage_json::LeakageJson;
pub use maps_json::{MapsJson, TrainingParams};
pub use measured_tsv::{
    Identity, MeasuredRow, MeasuredTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
};
pub use metrics_tsv::{Interval, MetricColumn, MetricsTable};
pub use network_metrics_tsv::NetworkMetrics;
pub use prediction_tsv::{PredictionRow, PredictionTable};
pub(crate) use python::python_json;
pub use python::python_repr;
pub use sessions_tsv::{Session, SessionsTable};
pub use training_tsv::{TrainingRow, TrainingTable};
pub(crate) use tsv::Numbers;
pub use voting_tsv::{VotingRow, VotingTable};
