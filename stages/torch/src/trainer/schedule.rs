//! How the learning rate changes.
//!
//! The rate of an update follows from its number alone, and with `plateau` from what validation found,
//! so that a training that was interrupted goes on with the same rates.
//!
//! # Source
//! `torch.optim.lr_scheduler` of PyTorch 2.13: StepLR, MultiStepLR, ExponentialLR, LinearLR,
//! PolynomialLR, CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, each by its closed form.

use std::f64::consts::PI;

use engine::StageError;
use serde::{Deserialize, Serialize};
use stages::learning::schedulers as options;
use stages::learning::schedulers::SchedulerParams;

use crate::exact::Exact;

/// The learning rates of a training.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    base: f64,
    warmup_epochs: u32,
    /// Epochs after the warm-up.
    epochs: u32,
    updates_per_epoch: u32,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Constant,
    Step(options::Step),
    MultiStep(options::MultiStep),
    Exponential(options::Exponential),
    Linear(options::Linear),
    Polynomial(options::Polynomial),
    Cosine(options::Cosine),
    OneCycle(options::OneCycle),
    Plateau(options::Plateau),
}

/// How long a training is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) epochs: u32,
    pub(crate) warmup_epochs: u32,
    pub(crate) updates_per_epoch: u32,
}

impl Rates {
    /// The rates of a scheduler that starts at `base`.
    ///
    /// # Errors
    /// It is not built in.
    pub(crate) fn new(
        scheduler: &SchedulerParams,
        base: f64,
        length: Length,
    ) -> Result<Self, StageError> {
        let rule = match scheduler.name.as_str() {
            "constant" => Rule::Constant,
            "step" => Rule::Step(scheduler.options()),
            "multi_step" => Rule::MultiStep(scheduler.options()),
            "exponential" => Rule::Exponential(scheduler.options()),
            "linear" => Rule::Linear(scheduler.options()),
            "polynomial" => Rule::Polynomial(scheduler.options()),
            "cosine" => Rule::Cosine(scheduler.options()),
            "one_cycle" => Rule::OneCycle(scheduler.options()),
            "plateau" => Rule::Plateau(scheduler.options()),
            other => {
                return Err(StageError::internal(format!(
                    "scheduler `{other}` is not built in"
                )));
            }
        };
        Ok(Self {
            base,
            warmup_epochs: length.warmup_epochs,
            epochs: length.epochs.saturating_sub(length.warmup_epochs),
            updates_per_epoch: length.updates_per_epoch.max(1),
            rule,
        })
    }

    /// What is remembered between epochs, before the first.
    pub(crate) fn start(&self) -> Option<Plateau> {
        matches!(self.rule, Rule::Plateau(_)).then(|| Plateau {
            best: Exact(f64::INFINITY),
            bad_epochs: 0,
            rate: Exact(self.base),
        })
    }

    /// The rate of an update, counted from 0 within its epoch.
    pub(crate) fn rate(&self, epoch: u32, update: u32, plateau: Option<&Plateau>) -> f64 {
        if let Some(after) = epoch.checked_sub(self.warmup_epochs) {
            return plateau.map_or_else(|| self.after_warmup(after, update), |p| p.rate.0);
        }
        let total = f64::from(self.warmup_epochs) * f64::from(self.updates_per_epoch);
        let done = f64::from(epoch) * f64::from(self.updates_per_epoch) + f64::from(update);
        self.after_warmup(0, 0) * (done + 1.0) / total
    }

    fn after_warmup(&self, epoch: u32, update: u32) -> f64 {
        let t = f64::from(epoch);
        let end = |given: u32| f64::from(if given == 0 { self.epochs } else { given }).max(1.0);
        let part = |given: u32| t.min(end(given)) / end(given);
        let factor = match &self.rule {
            Rule::Constant | Rule::Plateau(_) => 1.0,
            Rule::Step(step) => step.gamma.powf(f64::from(epoch / step.step_size.max(1))),
            Rule::MultiStep(steps) => {
                let passed = steps.milestones.iter().filter(|&&m| m <= epoch).count();
                steps.gamma.powf(passed as f64)
            }
            Rule::Exponential(each) => each.gamma.powf(t),
            Rule::Linear(line) => {
                line.start_factor + (line.end_factor - line.start_factor) * part(line.total_epochs)
            }
            Rule::Polynomial(fall) => (1.0 - part(fall.total_epochs)).powf(fall.power),
            Rule::Cosine(wave) => between(1.0, wave.end_factor, part(wave.total_epochs)),
            Rule::OneCycle(cycle) => {
                let per_epoch = f64::from(self.updates_per_epoch);
                let at = t * per_epoch + f64::from(update);
                one_cycle(cycle, at, f64::from(self.epochs) * per_epoch)
            }
        };
        self.base * factor
    }

    /// Notes the validation loss of an epoch.
    pub(crate) fn note(&self, plateau: &mut Plateau, epoch: u32, loss: f64) {
        let Rule::Plateau(options) = &self.rule else {
            return;
        };
        if epoch < self.warmup_epochs {
            return;
        }
        if loss < plateau.best.0 * (1.0 - options.threshold) {
            plateau.best = Exact(loss);
            plateau.bad_epochs = 0;
        } else {
            plateau.bad_epochs += 1;
        }
        if plateau.bad_epochs <= options.patience {
            return;
        }
        plateau.bad_epochs = 0;
        let reduced = (plateau.rate.0 * options.factor).max(options.minimum);
        if plateau.rate.0 - reduced > SMALLEST_CHANGE {
            plateau.rate = Exact(reduced);
        }
    }
}

/// Smaller changes of a rate are not made.
const SMALLEST_CHANGE: f64 = 1e-8;

/// From one number to another along half a cosine.
fn between(start: f64, end: f64, part: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * part).cos())
}

fn one_cycle(cycle: &options::OneCycle, at: f64, total: f64) -> f64 {
    let first = 1.0 / cycle.div_factor;
    let last = first / cycle.final_div_factor;
    let peak = cycle.rising * total - 1.0;
    if at <= peak {
        return between(first, 1.0, at / peak);
    }
    let rest = (total - 1.0 - peak).max(f64::MIN_POSITIVE);
    between(1.0, last, ((at - peak) / rest).min(1.0))
}

/// What the scheduler `plateau` remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plateau {
    best: Exact,
    bad_epochs: u32,
    rate: Exact,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{assert_close, floats, reference};

    #[test]
    fn rates_are_those_of_pytorch() {
        let cases = reference("schedulers.json");
        for case in cases["cases"].as_array().unwrap() {
            let scheduler: SchedulerParams =
                serde_json::from_value(case["scheduler"].clone()).unwrap();
            assert!(scheduler.problems().is_empty());
            let count = |name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
            let length = Length {
                epochs: count("epochs"),
                warmup_epochs: 0,
                updates_per_epoch: count("updates_per_epoch"),
            };
            let rates = Rates::new(&scheduler, 0.05, length).unwrap();
            let losses: Option<Vec<f64>> = case.get("losses").map(floats);
            let mut plateau = rates.start();
            let mut got = Vec::new();
            for epoch in 0..length.epochs {
                for update in 0..length.updates_per_epoch {
                    got.push(rates.rate(epoch, update, plateau.as_ref()));
                }
                if let (Some(plateau), Some(losses)) = (&mut plateau, &losses) {
                    rates.note(plateau, epoch, losses[epoch as usize]);
                }
            }
            // Recursive and closed forms round differently.
            let relative: Vec<f64> = floats(&case["rates"])
                .iter()
                .zip(&got)
                .map(|(expected, got)| {
                    if *expected == 0.0 {
                        *got
                    } else {
                        got / expected - 1.0
                    }
                })
                .collect();
            let name = &scheduler.name;
            assert_close(&relative, &vec![0.0; got.len()], 1e-6, name);
            let names: Vec<&Value> = vec![&case["scheduler"]["name"]];
            assert_eq!(names[0].as_str(), Some(name.as_str()));
        }
    }

    #[test]
    fn every_declared_scheduler_is_built_in_and_compared() {
        let cases = reference("schedulers.json");
        let compared: Vec<&str> = cases["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|case| case["scheduler"]["name"].as_str())
            .collect();
        for (name, _) in options::SCHEDULERS {
            assert!(compared.contains(name), "{name}");
        }
    }

    #[test]
    fn a_warm_up_rises_to_where_the_scheduler_starts() {
        let length = Length {
            epochs: 4,
            warmup_epochs: 2,
            updates_per_epoch: 2,
        };
        let cosine = SchedulerParams::new("cosine", serde_json::Map::new());
        let rates = Rates::new(&cosine, 1.0, length).unwrap();
        let all: Vec<f64> = (0..4)
            .flat_map(|epoch| [0, 1].map(|update| rates.rate(epoch, update, None)))
            .collect();
        assert_close(
            &all,
            &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5],
            1e-12,
            "rates",
        );
    }
}
