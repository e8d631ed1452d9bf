//! Stage `ensemble`: what the models of all splits say together about one data group.
//!
//! ```text
//! predictions of each split ─▶ members ─▶ join (mean, vote) ─▶ ensemble/<name>/best-<metric>/<group>/…
//! model of each split       ─▶ separation: nobody of the group was seen by any member
//! ```
//!
//! The models of k folds are trained on each other's validation: an ensemble of them can be tested only on
//! participants that stood aside of all folds.

mod join;
mod members;
mod separation;
#[cfg(test)]
mod tests;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use maps::layout::{
    IMAGE_LEVEL, LEVELS, SplitPath, TRAIN, TRAIN_VALIDATION, VALIDATION, in_ensemble,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::leakage::{Certificate, SEEN};
use crate::learning::{check_data_group, check_selection_metrics, inside_split, is_folder_name};
use crate::predictions::{Predictions, describe, is_prediction_of, metrics_table};
use join::Joined;
use members::Members;

/// How predictions become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The mean of probabilities, or of numbers.
    Mean,
    /// One vote a model, for the class that it predicts.
    Vote,
}

engine::params! {
    /// Parameters of `ensemble`.
    pub struct EnsembleParams {
        /// Name of the data group that every model has predicted. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// `mean` (default): the mean of the models' probabilities, or of their numbers; `vote`: one vote a model for the class that it predicts, in a classification.
        semantic rule: Rule = Rule::Mean,
        /// What the ensemble is called, a folder of the MAPS; null (default): as its rule.
        semantic name: Option<String> = None,
        /// Models, by the metric that selected them: one ensemble each. Empty (default): every one that predicted the group.
        semantic selection_metrics: Vec<String> = Vec::new(),
        /// Why participants whom a model has seen may be predicted; empty (default): they may not.
        semantic allow_leakage: String = String::new(),
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
    }
}

/// What an ensemble with these parameters is called.
pub fn name_of(params: &Value) -> Option<&str> {
    let text = |field: &str| params.get(field).and_then(Value::as_str);
    text("name").or_else(|| text("rule"))
}

impl EnsembleParams {
    fn name(&self) -> &str {
        let of_rule = match self.rule {
            Rule::Mean => "mean",
            Rule::Vote => "vote",
        };
        self.name.as_deref().unwrap_or(of_rule)
    }
}

/// Joins the predictions of the models of all splits.
#[derive(Debug)]
pub struct Ensemble;

impl Stage for Ensemble {
    const ID: &'static str = "ensemble";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Joins the predictions of the models of all splits.";
    type Params = EnsembleParams;

    fn is_seeded(_: &EnsembleParams) -> bool {
        true
    }

    fn ports(_: &EnsembleParams) -> Ports {
        let model = "the models, which tell whom they have seen";
        let predictions = "their predictions of one data group, as they are or calibrated";
        let ensemble = "predictions of the ensembles with their metrics";
        Ports {
            inputs: vec![
                InputPort::new("model", &["model", "maps"], model).all_splits(),
                InputPort::new("predictions", &["predictions", "maps"], predictions).all_splits(),
            ],
            outputs: vec![OutputPort::new("ensemble", "ensemble", ensemble)],
        }
    }

    fn check(params: &EnsembleParams) -> Vec<ParamIssue> {
        let mut issues = check_selection_metrics(&params.selection_metrics, None);
        let group = params.data_group.as_str();
        if [TRAIN, VALIDATION].contains(&group) {
            let message = format!(
                "data leakage (biased ensembling): the group `{group}` of a split is of participants whom \
                 the models of other splits were trained on; hold participants out first (stage `split`), \
                 and predict them with every model"
            );
            issues.push(ParamIssue::new("data_group", message));
        } else {
            issues.extend(check_data_group(group));
        }
        if !is_folder_name(params.name()) {
            let name = params.name();
            let message = format!(
                "`{name}` cannot be a folder name, use letters, digits, `-`, `_`, `.` and `+`"
            );
            issues.push(ParamIssue::new("name", message));
        }
        issues
    }

    fn selects(params: &EnsembleParams, port: &str, path: &str) -> bool {
        let path = inside_split(path);
        let group = params.data_group.as_str();
        match port {
            "model" => [SEEN, TRAIN_VALIDATION, &Certificate::path("training")].contains(&path),
            _ => {
                is_prediction_of(group, path)
                    || path == SplitPath::Data { group }.in_artifact()
                    || path == Certificate::path(group)
            }
        }
    }
}

impl Run for Ensemble {
    fn run(params: &EnsembleParams, context: &Context) -> Result<(), StageError> {
        let group = params.data_group.as_str();
        let members = Members::open(context.input("predictions")?, group)?;
        let metrics = members.metrics(&params.selection_metrics)?;
        let data = members.data()?;
        let certificate = separation::certify(params, &members, &data, context)?;
        let output = context.output("ensemble")?;
        let place = |path: &str| in_ensemble(params.name(), path);
        output.write(&SplitPath::Data { group }.in_artifact(), &data.to_bytes())?;
        certificate.write_to(output, &place(&Certificate::path(group)))?;
        // The same resamples for every ensemble, and level, so that intervals compare.
        let stream = context.stream().child("bootstrap");
        for (done, metric) in metrics.iter().enumerate() {
            context.progress(done, metrics.len(), format!("models selected by {metric}"));
            let mut described = None;
            for level in LEVELS {
                context.check_cancelled()?;
                let Some(tables) = members.tables(metric, level, &data)? else {
                    continue;
                };
                let leakage = separation::mark(&certificate, &tables);
                let joined = Joined::of(&tables, params.rule, leakage.as_deref())?;
                let path = SplitPath::Prediction {
                    metric,
                    group,
                    level,
                };
                let path = place(&path.in_artifact());
                output.write(&path, &joined.bytes)?;
                let sessions = joined.sessions.iter();
                let sessions = sessions.map(|(p, s)| (p.as_str(), s.as_str()));
                let mut text = describe(group, sessions);
                text.push_str(&members.describe());
                if let Some(leakage) = &leakage {
                    text.push_str(&format!("Data leakage, allowed: {leakage}\n"));
                }
                described = Some(text);
                if !joined.has_truth {
                    continue;
                }
                let predictions = Predictions::parse(&joined.bytes, &path)?;
                let estimates = predictions.estimates(params.bootstrap as usize, &stream);
                // Shares of votes are no probabilities, and images of parts have no loss in `predict` either.
                let has_loss = params.rule == Rule::Mean
                    && (level != IMAGE_LEVEL || !members.has_parts(metric));
                let loss = has_loss.then(|| predictions.answers.loss()).flatten();
                let mut table = metrics_table(&estimates, loss);
                table.leakage = leakage;
                let path = SplitPath::Metrics {
                    metric,
                    group,
                    level,
                };
                output.write(&place(&path.in_artifact()), &table.to_bytes())?;
            }
            let path = SplitPath::Description { metric, group };
            let text = described.unwrap_or_default();
            output.write(&place(&path.in_artifact()), text.as_bytes())?;
        }
        context.progress(metrics.len(), metrics.len(), "joined");
        Ok(())
    }
}
