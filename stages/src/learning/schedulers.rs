//! What a manifest can say of learning-rate schedulers: their names and options, with the defaults of
//! PyTorch 2.13 (`torch.optim.lr_scheduler`).
//!
//! The learning rate of the optimizer is where a scheduler starts; for `one_cycle` it is the peak.

use engine::ParamIssue;

use super::options::{Kind, Named, NamedOptions, Options, above_zero, within};

engine::params! {
    /// The learning rate stays.
    pub struct Constant {}
}

engine::params! {
    /// The learning rate is multiplied every so many epochs.
    pub struct Step {
        /// Epochs between changes, at least 1. Default 10.
        #[schemars(range(min = 1))]
        semantic step_size: u32 = 10,
        /// What it is multiplied by, above 0. Default 0.1.
        semantic gamma: f64 = 0.1,
    }
}

engine::params! {
    /// The learning rate is multiplied at given epochs.
    pub struct MultiStep {
        /// The epochs, counted from 0 after warm-up, ascending. Default none.
        semantic milestones: Vec<u32> = Vec::new(),
        /// What it is multiplied by, above 0. Default 0.1.
        semantic gamma: f64 = 0.1,
    }
}

engine::params! {
    /// The learning rate is multiplied every epoch.
    pub struct Exponential {
        /// What it is multiplied by, above 0. Default 0.95.
        semantic gamma: f64 = 0.95,
    }
}

engine::params! {
    /// The learning rate changes linearly from one factor to another.
    pub struct Linear {
        /// Factor of the first epoch, above 0. Default 1/3.
        semantic start_factor: f64 = 1.0 / 3.0,
        /// Factor at the end, at least 0. Default 1.
        semantic end_factor: f64 = 1.0,
        /// Epochs until the end; 0 (default): all.
        semantic total_epochs: u32 = 0,
    }
}

engine::params! {
    /// The learning rate falls to zero as a power of what is left.
    pub struct Polynomial {
        /// The power, above 0. Default 1.
        semantic power: f64 = 1.0,
        /// Epochs until zero; 0 (default): all.
        semantic total_epochs: u32 = 0,
    }
}

engine::params! {
    /// The learning rate falls along half a cosine.
    pub struct Cosine {
        /// Where it ends, as a part of where it starts, 0 to 1. Default 0.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic end_factor: f64 = 0.0,
        /// Epochs until the end; 0 (default): all.
        semantic total_epochs: u32 = 0,
    }
}

engine::params! {
    /// The learning rate rises to the peak and falls again, update by update.
    pub struct OneCycle {
        /// Part of all updates in which it rises, above 0 and below 1. Default 0.3.
        semantic rising: f64 = 0.3,
        /// Peak by first learning rate, above 0. Default 25.
        semantic div_factor: f64 = 25.0,
        /// First by last learning rate, above 0. Default 10000.
        semantic final_div_factor: f64 = 1e4,
    }
}

engine::params! {
    /// The learning rate is multiplied when the validation loss no longer falls.
    pub struct Plateau {
        /// What it is multiplied by, above 0 and below 1. Default 0.1.
        semantic factor: f64 = 0.1,
        /// Epochs without improvement that are waited for. Default 10.
        semantic patience: u32 = 10,
        /// Relative decrease that counts as improvement, 0 to 1. Default 1e-4.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic threshold: f64 = 1e-4,
        /// The learning rate does not fall below, at least 0. Default 0.
        semantic minimum: f64 = 0.0,
    }
}

macro_rules! checks {
    ($($type:ident: |$options:ident| $problems:expr;)*) => {
        $(impl NamedOptions for $type {
            fn problems(&self) -> Vec<ParamIssue> {
                let $options = self;
                $problems
            }
        })*
    };
}

checks! {
    Constant: |_options| Vec::new();
    Step: |options| {
        let mut problems = above_zero(&[("gamma", options.gamma)]);
        problems.extend(within(&[("step_size", options.step_size.into(), 1.0, f64::MAX)]));
        problems
    };
    MultiStep: |options| {
        let mut problems = above_zero(&[("gamma", options.gamma)]);
        if !options.milestones.is_sorted() {
            problems.push(ParamIssue::new("milestones", "expected ascending epochs"));
        }
        problems
    };
    Exponential: |options| above_zero(&[("gamma", options.gamma)]);
    Linear: |options| {
        let mut problems = above_zero(&[("start_factor", options.start_factor)]);
        problems.extend(within(&[("end_factor", options.end_factor, 0.0, f64::MAX)]));
        problems
    };
    Polynomial: |options| above_zero(&[("power", options.power)]);
    Cosine: |options| within(&[("end_factor", options.end_factor, 0.0, 1.0)]);
    OneCycle: |options| {
        let mut problems = above_zero(&[
            ("div_factor", options.div_factor),
            ("final_div_factor", options.final_div_factor),
        ]);
        if !(options.rising > 0.0 && options.rising < 1.0) {
            let message = format!("expected above 0 and below 1, got {}", options.rising);
            problems.push(ParamIssue::new("rising", message));
        }
        problems
    };
    Plateau: |options| {
        let mut problems = within(&[
            ("threshold", options.threshold, 0.0, 1.0),
            ("minimum", options.minimum, 0.0, f64::MAX),
        ]);
        if !(options.factor > 0.0 && options.factor < 1.0) {
            let message = format!("expected above 0 and below 1, got {}", options.factor);
            problems.push(ParamIssue::new("factor", message));
        }
        problems
    };
}

/// How the learning rate changes: a scheduler by its name, and its options.
pub type SchedulerParams = Named<Schedulers>;

/// The kind of things in [`SCHEDULERS`].
pub struct Schedulers;

/// Every scheduler, sorted by name.
pub static SCHEDULERS: &[(&str, Options)] = &[
    ("constant", Options::of::<Constant>()),
    ("cosine", Options::of::<Cosine>()),
    ("exponential", Options::of::<Exponential>()),
    ("linear", Options::of::<Linear>()),
    ("multi_step", Options::of::<MultiStep>()),
    ("one_cycle", Options::of::<OneCycle>()),
    ("plateau", Options::of::<Plateau>()),
    ("polynomial", Options::of::<Polynomial>()),
    ("step", Options::of::<Step>()),
];

impl Kind for Schedulers {
    const WHAT: &'static str = "scheduler";
    const DEFAULT: &'static str = "constant";

    fn all() -> Vec<(&'static str, &'static Options)> {
        SCHEDULERS
            .iter()
            .map(|(name, options)| (*name, options))
            .collect()
    }
}
