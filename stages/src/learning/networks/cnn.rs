//! Convolutions followed by fully connected layers.

use engine::ParamIssue;

use super::super::names::Task;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of convolutional networks.
    pub struct CnnOptions {
        /// Probability of dropping a feature before the first fully connected layer, 0 to 1. Default 0.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic dropout: f64 = 0.0,
    }
}

impl NetworkOptions for CnnOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        dropout_problem(self.dropout).into_iter().collect()
    }
}

pub(super) fn dropout_problem(dropout: f64) -> Option<ParamIssue> {
    let message = format!("expected 0 to 1, got {dropout}");
    (!(0.0..=1.0).contains(&dropout)).then(|| ParamIssue::new("dropout", message))
}

const TASKS: &[Task] = &[Task::Classification, Task::Regression];

/// Five blocks of convolution and pooling, three fully connected layers.
pub static CONV5_FC3: Declaration = Declaration {
    name: "Conv5_FC3",
    summary: "five convolution blocks and three fully connected layers",
    tasks: TASKS,
    axes: &[2, 3],
    options: Options::of::<CnnOptions>(),
};

/// As `Conv5_FC3`, with fewer features in the fully connected layers.
pub static CONV4_FC3: Declaration = Declaration {
    name: "Conv4_FC3",
    summary: "five convolution blocks and three narrow fully connected layers",
    tasks: TASKS,
    axes: &[2, 3],
    options: Options::of::<CnnOptions>(),
};
