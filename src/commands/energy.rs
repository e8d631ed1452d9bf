//! What is known of the machine's power, and what a run took.

use engine::exec::{ActionOutcome, EnergyMethod, Power, RunReport};
use serde_json::{Value, json};

use crate::failure::{Code, Failure};

/// Watts of a busy core, where its counters cannot be read or shall not be.
const WATTS: &str = "CLINICADL_WATTS_PER_CORE";
/// Grams of CO₂ and its equivalents that a kilowatt-hour causes where the machine stands.
const GRAMS: &str = "CLINICADL_GCO2_PER_KWH";

/// What the environment tells of the machine's power.
pub(super) fn power() -> Result<Power, Failure> {
    let told = |name: &'static str| match std::env::var_os(name) {
        Some(value) => number(name, &value.to_string_lossy()).map(Some),
        None => Ok(None),
    };
    Ok(Power {
        watts_per_core: told(WATTS)?,
        grams_per_kilowatt_hour: told(GRAMS)?,
    })
}

fn number(name: &str, value: &str) -> Result<f64, Failure> {
    let parsed = value.trim().parse().ok();
    parsed
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| {
            let message = format!("environment variable `{name}`: expected a number that is not negative, got `{value}`");
            Failure::new(Code::Invalid, message).hint(format!("set it, or `unset {name}`"))
        })
}

/// What the actions of a run took together.
pub(super) struct Taken {
    watt_hours: f64,
    grams: Option<f64>,
    methods: Vec<&'static str>,
    /// Whether some of them used graphics processors, which are not counted.
    with_gpus: bool,
}

impl Taken {
    /// Nothing if no action ran.
    pub(super) fn of(report: &RunReport) -> Option<Self> {
        let mut taken = Self {
            watt_hours: 0.0,
            grams: None,
            methods: Vec::new(),
            with_gpus: false,
        };
        for action in &report.actions {
            let tries = action.failed_tries.iter().map(|tried| tried.usage);
            let did = matches!(
                action.outcome,
                ActionOutcome::Ran { .. } | ActionOutcome::Failed { .. }
            );
            let last = action.usage.filter(|_| did);
            for usage in tries.chain(last) {
                taken.watt_hours += usage.energy_wh.unwrap_or(0.0);
                if let Some(grams) = usage.co2e_g {
                    *taken.grams.get_or_insert(0.0) += grams;
                }
                taken
                    .methods
                    .extend(usage.energy_method.map(EnergyMethod::name));
                taken.with_gpus |= action.slots.is_some_and(|slots| slots.gpus > 0);
            }
        }
        taken.methods.sort_unstable();
        taken.methods.dedup();
        (!taken.methods.is_empty()).then_some(taken)
    }

    pub(super) fn text(&self) -> String {
        let grams = self.grams.map(|grams| format!(", {grams:.3} g CO2e"));
        format!(
            "energy: {:.3} Wh of processor and memory{} ({}){}\n",
            self.watt_hours,
            if self.with_gpus {
                ", GPUs not counted"
            } else {
                ""
            },
            self.methods.join(" and "),
            grams.unwrap_or_default()
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "energy_wh": self.watt_hours, "methods": self.methods, "co2e_g": self.grams,
            "gpus_counted": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_power_are_refused() {
        assert!((number(WATTS, " 7.5\n").unwrap() - 7.5).abs() < 1e-12);
        for value in ["", "much", "-1", "inf", "NaN", "12 W"] {
            let failure = number(GRAMS, value).unwrap_err();
            let (message, _) = &failure.messages[0];
            assert!(
                message.contains("`CLINICADL_GCO2_PER_KWH`: expected"),
                "{message}"
            );
        }
    }
}
