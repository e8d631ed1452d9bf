//! What tables and selections need to know of a metric, whatever the task.

use super::{METRICS, REGRESSION};
use crate::learning::names::Task;

/// A metric by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name in manifests and messages.
    pub id: &'static str,
    /// The column of the tables in a MAPS.
    pub column: &'static str,
    /// Whether models are better where it is greater.
    pub higher_is_better: bool,
}

impl Column {
    pub(super) const MAE: Self = Self {
        id: "mean_absolute_error",
        column: "MAE",
        higher_is_better: false,
    };
    pub(super) const RMSE: Self = Self {
        id: "root_mean_squared_error",
        column: "RMSE",
        higher_is_better: false,
    };
}

/// The values of one image, in the order of [`RECONSTRUCTION`].
pub type Measures = [f64; 6];

/// The metrics of a reconstruction, in the order of metrics tables: each image has a value of each, and
/// a group their mean.
pub static RECONSTRUCTION: [Column; 6] = [
    Column::MAE,
    Column::RMSE,
    Column {
        id: "peak_signal_to_noise_ratio",
        column: "PSNR",
        higher_is_better: true,
    },
    Column {
        id: "structural_similarity",
        column: "SSIM",
        higher_is_better: true,
    },
    Column {
        id: "multi_scale_structural_similarity",
        column: "MS_SSIM",
        higher_is_better: true,
    },
    Column {
        id: "local_correlation",
        column: "LNCC",
        higher_is_better: true,
    },
];

/// Columns of those of [`RECONSTRUCTION`] that take long; while training they are computed where a model is
/// selected by them, else only of models that were selected.
pub const SLOW: [&str; 2] = ["MS_SSIM", "LNCC"];

/// The metrics of a task, in the order of metrics tables.
pub fn columns(task: Task) -> Vec<Column> {
    match task {
        Task::Classification => METRICS.iter().map(|metric| metric.about()).collect(),
        Task::Regression => REGRESSION.iter().map(|metric| metric.about()).collect(),
        Task::Reconstruction => RECONSTRUCTION.to_vec(),
    }
}

/// The metric of a task with this ID or MAPS column.
pub fn find_in(task: Task, name: &str) -> Option<Column> {
    let mut all = columns(task).into_iter();
    all.find(|metric| metric.id == name || metric.column == name)
}

/// The metric of any task with this ID or MAPS column.
pub fn find(name: &str) -> Option<Column> {
    Task::ALL.iter().find_map(|&task| find_in(task, name))
}
