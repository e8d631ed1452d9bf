//! Stage `calibrate`: probabilities that mean what they say, and a threshold that was not chosen by the test.
//!
//! A temperature and a threshold are fitted to the predictions that a training wrote of its validation group,
//! for each selection metric, and applied to the predictions of another group. There is no input to fit to
//! anything else.

mod fit;

use engine::{Context, Input, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use maps::files::DataTable;
use maps::layout::{SplitPath, VALIDATION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::{check_data_group, check_selection_metrics, inside_split, selection_column};
use crate::listed::some;
use crate::metrics::{BINS, OwnedOutcomes, edge, reliability};
use crate::predictions::{Answers, Predictions, groups_of, is_prediction_of};
use fit::{Aim, TEMPERATURES, sharpened, temperature, threshold};

/// How the class is chosen from two probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    /// The greater one.
    None,
    /// By the greatest sum of sensitivity and specificity on the validation group.
    Youden,
    /// By the least sensitivity that is wanted on the validation group.
    Sensitivity,
}

engine::params! {
    /// Parameters of `calibrate`.
    pub struct CalibrateParams {
        /// Name of the data group whose predictions are calibrated. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// What the calibrated group is called, a folder of the MAPS; null (default): the name with `-calibrated`.
        semantic name: Option<String> = None,
        /// Models, by the metric that selected them. Empty (default): every one that predicted the group.
        semantic selection_metrics: Vec<String> = Vec::new(),
        /// Scale logits by a temperature. Default true.
        semantic temperature: bool = true,
        /// How the class is chosen, of two classes: `none` (default), `youden` or `sensitivity`.
        semantic threshold: Threshold = Threshold::None,
        /// The sensitivity that the threshold `sensitivity` has at least, above 0 up to 1. Default 0.9.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic target_sensitivity: f64 = 0.9,
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
    }
}

impl CalibrateParams {
    fn name(&self) -> String {
        let default = || format!("{}-calibrated", self.data_group);
        self.name.clone().unwrap_or_else(default)
    }
}

/// Calibrates predictions by those of the validation group.
#[derive(Debug)]
pub struct Calibrate;

impl Stage for Calibrate {
    const ID: &'static str = "calibrate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Fits a temperature and a threshold to validation, applies them to a data group.";
    type Params = CalibrateParams;

    fn is_seeded(_: &CalibrateParams) -> bool {
        true
    }

    fn ports(_: &CalibrateParams) -> Ports {
        let model = "the model, whose predictions of its validation group are read";
        let predictions = "its predictions of a data group";
        let calibrated = "calibrated predictions with their metrics, and what was fitted";
        Ports {
            inputs: vec![
                InputPort::new("model", &["model", "maps"], model).per_split(),
                InputPort::new("predictions", &["predictions", "maps"], predictions).per_split(),
            ],
            outputs: vec![OutputPort::new("calibrated", "predictions", calibrated)],
        }
    }

    fn check(params: &CalibrateParams) -> Vec<ParamIssue> {
        let mut issues = check_selection_metrics(&params.selection_metrics, None);
        issues.extend(check_data_group(&params.data_group));
        let rename = |issue: ParamIssue| ParamIssue::new("name", issue.message);
        issues.extend(check_data_group(&params.name()).into_iter().map(rename));
        let mut refuse =
            |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.name() == params.data_group {
            refuse(
                "name",
                "expected another name than that of the data group".to_owned(),
            );
        }
        if !params.temperature && params.threshold == Threshold::None {
            refuse(
                "temperature",
                "there is nothing to fit: set this or `threshold`".to_owned(),
            );
        }
        let target = params.target_sensitivity;
        if !(target > 0.0 && target <= 1.0) {
            refuse(
                "target_sensitivity",
                format!("expected above 0 up to 1, got {target}"),
            );
        }
        issues
    }

    fn selects(params: &CalibrateParams, port: &str, path: &str) -> bool {
        let path = inside_split(path);
        match port {
            // Nothing but its validation can be fitted to.
            "model" => is_prediction_of(VALIDATION, path),
            _ => {
                let group = params.data_group.as_str();
                is_prediction_of(group, path) || path == SplitPath::Data { group }.in_artifact()
            }
        }
    }
}

/// What was fitted for one model.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fitted {
    /// Each where it was wanted.
    temperature: Option<f64>,
    threshold: Option<f64>,
    images: usize,
}

impl Run for Calibrate {
    fn run(params: &CalibrateParams, context: &Context) -> Result<(), StageError> {
        let (model, input) = (context.input("model")?, context.input("predictions")?);
        let output = context.output("calibrated")?;
        let name = params.name();
        let metrics = metrics(params, input)?;
        write_data(params, input, output, &name)?;
        let stream = context.stream().child("bootstrap");
        for metric in metrics {
            let (fitted_to, validation) = classes(model, VALIDATION, &metric)?;
            let (mut tested, mut outcomes) = classes(input, &params.data_group, &metric)?;
            let kinds = [(&fitted_to, &validation), (&tested, &outcomes)];
            let [of_model, of_input] = kinds
                .map(|(read, outcomes)| format!("{} classes per {}", outcomes.classes, read.level));
            if of_model != of_input {
                let message = format!(
                    "`{}` predicts {of_model}, `{}` {of_input}",
                    model.shown, input.shown
                );
                return Err(
                    StageError::new(message).hint("connect the model that made the predictions")
                );
            }
            let fitted = fit(params, &validation, &model.shown, &metric, context)?;
            let before = outcomes.clone();
            apply(fitted, &mut outcomes);
            let folder = format!("best-{metric}/{name}");
            output.write(&format!("{folder}/calibration.tsv"), &fitted.table(params))?;
            let bins = reliability_table(&before, &outcomes);
            output.write(&format!("{folder}/reliability.tsv"), &bins)?;
            tested.answers = Answers::Classes(outcomes);
            let estimates = tested.estimates(params.bootstrap as usize, &stream);
            tested.write(output, &metric, &name, &estimates)?;
        }
        Ok(())
    }
}

/// The models to calibrate, by what selected them.
fn metrics(params: &CalibrateParams, input: &Input) -> Result<Vec<String>, StageError> {
    let group = &params.data_group;
    let found = groups_of(input, "", group);
    let found: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    if found.is_empty() {
        let message = format!(
            "`{}` has no predictions of data group `{group}`",
            input.shown
        );
        return Err(StageError::new(message).hint("set `data_group`"));
    }
    let wanted = params.selection_metrics.iter();
    let wanted = wanted.map(|name| {
        let column = selection_column(name).unwrap_or(name);
        if found.iter().any(|known| known == column) {
            return Ok(column.to_owned());
        }
        let message = format!(
            "`{}` has no predictions of the model selected by `{name}`",
            input.shown
        );
        Err(StageError::new(message).hint(format!("it has those of {}", some(&found))))
    });
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    Ok(if wanted.is_empty() { found } else { wanted })
}

fn classes(
    input: &Input,
    group: &str,
    metric: &str,
) -> Result<(Predictions, OwnedOutcomes), StageError> {
    let found = groups_of(input, "", group);
    let Some((_, file)) = found.iter().find(|(name, _)| name == metric) else {
        let shown = &input.shown;
        let message =
            format!("`{shown}` has no predictions of group `{group}` by the model of `{metric}`");
        return Err(StageError::new(message).hint("connect the model that made the predictions"));
    };
    let read = Predictions::read(file)?;
    match read.answers.clone() {
        Answers::Classes(outcomes) if outcomes.probabilities.iter().any(|p| p.is_nan()) => {
            Err(StageError::new(format!(
                "`{}` has probabilities that are no numbers",
                file.shown
            )))
        }
        Answers::Classes(outcomes) => Ok((read, outcomes)),
        other => {
            let task = other.task().name();
            let message = format!("`{}` is of a {task}, expected a classification", file.shown);
            Err(StageError::new(message))
        }
    }
}

fn fit(
    params: &CalibrateParams,
    validation: &OwnedOutcomes,
    shown: &str,
    metric: &str,
    context: &Context,
) -> Result<Fitted, StageError> {
    let mut fitted = Fitted {
        temperature: None,
        threshold: None,
        images: validation.truth.len(),
    };
    if params.temperature {
        let (found, is_inside) = temperature(validation);
        if !is_inside {
            let (least, most) = TEMPERATURES;
            context.warn(format!(
                "`{metric}`: the temperature ends at {found}, expected between {least} and {most}: \
                 validation is all right or no better than chance"
            ));
        }
        fitted.temperature = Some(found);
    }
    let aim = match params.threshold {
        Threshold::None => return Ok(fitted),
        Threshold::Youden => Aim::Youden,
        Threshold::Sensitivity => Aim::Sensitivity(params.target_sensitivity),
    };
    if validation.classes != 2 {
        let classes = validation.classes;
        let message = format!("`{shown}` has {classes} classes, a threshold is between two");
        return Err(StageError::new(message).hint("leave `threshold` out"));
    }
    let mut scaled = validation.clone();
    apply(fitted, &mut scaled);
    fitted.threshold = threshold(&scaled, aim);
    if fitted.threshold.is_none() {
        let message =
            format!("`{shown}` has one class only in its validation, a threshold needs both");
        return Err(StageError::new(message));
    }
    Ok(fitted)
}

/// Probabilities at the temperature, and classes by the threshold or the greatest probability.
fn apply(fitted: Fitted, outcomes: &mut OwnedOutcomes) {
    let k = outcomes.classes;
    for (row, predicted) in outcomes
        .probabilities
        .chunks_mut(k)
        .zip(&mut outcomes.predicted)
    {
        if let Some(temperature) = fitted.temperature {
            row.copy_from_slice(&sharpened(row, 1.0 / temperature));
        }
        if let Some(threshold) = fitted.threshold {
            *predicted = usize::from(row[0] < threshold);
        }
    }
}

impl Fitted {
    fn table(&self, params: &CalibrateParams) -> Vec<u8> {
        let threshold = match (params.threshold, self.threshold) {
            (Threshold::Youden, Some(_)) => "youden".to_owned(),
            (Threshold::Sensitivity, Some(_)) => {
                format!("sensitivity {:?}", params.target_sensitivity)
            }
            _ => "none".to_owned(),
        };
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:?}"));
        format!(
            "fitted_to\timages\ttemperature\taim\tthreshold\n{VALIDATION}\t{}\t{}\t{threshold}\t{}\n",
            self.images,
            number(self.temperature),
            number(self.threshold)
        )
        .into_bytes()
    }
}

/// How often what was said came true, by bins of the probability of the predicted class.
fn reliability_table(before: &OwnedOutcomes, after: &OwnedOutcomes) -> Vec<u8> {
    let mut text = "calibration\tlower\tupper\timages\tprobability\tright\n".to_owned();
    for (name, outcomes) in [("before", before), ("after", after)] {
        let told = (0..outcomes.truth.len()).map(|i| {
            let predicted = outcomes.predicted[i];
            let is_right = outcomes.truth[i] == predicted;
            (outcomes.as_ref().probability(i, predicted), is_right)
        });
        let bins = reliability(told).unwrap_or_default();
        for (i, bin) in bins.iter().enumerate() {
            let upper = if i + 1 == BINS { 1.0 } else { edge(i + 1) };
            let mean = |sum: f64| match bin.count {
                0 => String::new(),
                count => format!("{:?}", sum / count as f64),
            };
            text.push_str(&format!(
                "{name}\t{:?}\t{upper:?}\t{}\t{}\t{}\n",
                edge(i),
                bin.count,
                mean(bin.probability),
                mean(bin.right)
            ));
        }
    }
    text.into_bytes()
}

/// The sessions of the group, under its new name; those of a MAPS are not below its splits.
fn write_data(
    params: &CalibrateParams,
    input: &Input,
    output: &engine::Output,
    name: &str,
) -> Result<(), StageError> {
    let group = params.data_group.as_str();
    let file = input.require(&SplitPath::Data { group }.in_artifact())?;
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    let table = DataTable::read(&bytes, &file.shown).map_err(StageError::new)?;
    let path = SplitPath::Data { group: name };
    output.write(&path.in_artifact(), &table.to_bytes())
}

#[cfg(test)]
mod tests;
