//! From what networks say about parts to what that means for their images.
//!
//! Classes are voted for (see [`stages::voting`]), numbers are averaged, as in ClinicaDL 1.6.1.
//! Reconstructions of parts are put together where they are predicted (see [`crate::prediction`]).

mod voters;

use std::collections::BTreeMap;

use engine::seed::Stream;
use engine::{Context, Output, StageError};
use indexmap::IndexMap;
use maps::files::{VotingRow, VotingTable};
use maps::layout::SplitPath;
use stages::extraction::Mode;
use stages::learning::names::{Task, VotingName};
use stages::metrics::Outcomes;
use stages::voting::{PartScore, Weights, vote};

use crate::artifact::{Place, predictions_of, write_images};
use crate::evaluation::{Evaluated, Prediction};
use crate::tasks::{Objective, Said, Target};

pub(crate) use voters::Voters;

/// How parts vote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    pub(crate) voting: VotingName,
    /// Parts whose score is below do not vote.
    pub(crate) threshold: f64,
}

/// Whether parts say something about their images together.
pub(crate) fn has_images(task: Task, mode: Mode) -> bool {
    mode != Mode::Image && task != Task::Reconstruction
}

/// The score of each part, of the predictions of a validation set.
pub(crate) fn scores(predictions: &[Prediction], classes: usize) -> Vec<PartScore> {
    let rows = predictions
        .iter()
        .filter_map(|row| match (&row.said, row.target) {
            (Said::Class { predicted, .. }, Some(Target::Class(truth))) => {
                Some((row.part, truth, *predicted))
            }
            _ => None,
        });
    scores_of(rows, classes)
}

/// The same of rows of a part, its true class and the predicted one.
fn scores_of(rows: impl Iterator<Item = (usize, usize, usize)>, classes: usize) -> Vec<PartScore> {
    let mut parts: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (part, truth, predicted) in rows {
        let of_part = parts.entry(part).or_default();
        of_part.0.push(truth);
        of_part.1.push(predicted);
    }
    let score = |(part, (truth, predicted)): (&usize, &(Vec<usize>, Vec<usize>))| {
        let outcomes = Outcomes {
            classes,
            truth,
            predicted,
            probabilities: &[],
        };
        PartScore::of(*part, &outcomes)
    };
    parts.iter().map(score).collect()
}

/// The weights that scores give, with a warning where they give none.
fn weights_of(scores: &[PartScore], rule: Rule, metric: &str, context: &Context) -> Weights {
    let weights = Weights::of(scores, rule.voting, rule.threshold);
    if weights.is_fallback {
        let Rule { voting, threshold } = rule;
        let voting = voting.name();
        context.warn(format!(
            "model selected by `{metric}`: the votes of all parts weigh nothing by `{voting}` with `selection_threshold: {threshold}`, so that all weigh the same"
        ));
    }
    weights
}

/// The weights of votes of a training, which it keeps for later predictions.
pub(crate) fn store_weights(
    output: &Output,
    place: Place<'_>,
    scores: &[PartScore],
    rule: Rule,
    context: &Context,
) -> Result<Weights, StageError> {
    let weights = weights_of(scores, rule, place.metric, context);
    let rows = scores.iter().map(|score| VotingRow {
        part: score.part,
        images: score.images,
        accuracy: score.accuracy,
        balanced_accuracy: score.balanced_accuracy,
        weight: weights.of_part(score.part),
    });
    let table = VotingTable {
        level: place.mode.name().to_owned(),
        rows: rows.collect(),
    };
    let path = SplitPath::Voting {
        metric: place.metric,
    };
    output.write(&path.in_artifact(), &table.to_bytes())?;
    Ok(weights)
}

/// Writes the predictions of images, of those of their parts, and their metrics where labels are used.
pub(crate) struct ImageLevel<'a> {
    pub(crate) output: &'a Output,
    pub(crate) objective: &'a dyn Objective,
    pub(crate) context: &'a Context,
    /// Resamples of confidence intervals; `None` where labels are not used.
    pub(crate) bootstrap: Option<u32>,
}

impl ImageLevel<'_> {
    /// `weights` are those of votes; a number needs none.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write(
        &self,
        place: Place<'_>,
        evaluated: &[Evaluated],
        weights: &Weights,
        stream: &Stream,
    ) -> Result<(), StageError> {
        let (images, even) = images(&predictions_of(evaluated), weights);
        if even > 0 {
            let (metric, group) = (place.metric, place.group);
            self.context.warn(format!(
                "model selected by `{metric}`, group `{group}`: {even} of {} images have no part whose vote counts, all of their parts weigh the same",
                images.len()
            ));
        }
        self.write_joined(place, &images, stream)
    }

    /// The same of images that say something themselves: reconstructions that were put together.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write_joined(
        &self,
        place: Place<'_>,
        images: &[Prediction],
        stream: &Stream,
    ) -> Result<(), StageError> {
        let estimates = self
            .bootstrap
            .map(|resamples| self.objective.estimates(images, resamples, stream));
        write_images(
            self.output,
            place,
            self.objective,
            images,
            estimates.as_deref(),
        )
    }
}

/// What parts say together about each image, in the order of the images; and of how many images no part has a
/// weight.
fn images(predictions: &[Prediction], weights: &Weights) -> (Vec<Prediction>, usize) {
    let mut parts: IndexMap<(&str, &str, &str), Vec<&Prediction>> = IndexMap::new();
    for row in predictions {
        let image = (&*row.cohort, &*row.participant, &*row.session);
        parts.entry(image).or_default().push(row);
    }
    let mut even = 0;
    let mut images = Vec::with_capacity(parts.len());
    for rows in parts.into_values() {
        let said = match rows[0].said {
            Said::Class { .. } => {
                let votes = rows.iter().filter_map(|row| match &row.said {
                    Said::Class { probabilities, .. } => Some((row.part, probabilities.as_slice())),
                    _ => None,
                });
                let vote = vote(weights, &votes.collect::<Vec<_>>());
                even += usize::from(vote.is_even);
                Said::Class {
                    predicted: vote.predicted,
                    probabilities: vote.probabilities,
                }
            }
            Said::Number(_) => {
                let numbers = rows.iter().filter_map(|row| match row.said {
                    Said::Number(number) => Some(number),
                    _ => None,
                });
                Said::Number(numbers.sum::<f64>() / rows.len() as f64)
            }
            Said::Measures(_) => continue,
        };
        images.push(Prediction {
            part: 0,
            said,
            ..rows[0].clone()
        });
    }
    (images, even)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, reference};

    fn prediction(session: (&str, &str), part: usize, target: Target, said: Said) -> Prediction {
        Prediction {
            cohort: "single".to_owned(),
            participant: session.0.to_owned(),
            session: session.1.to_owned(),
            part,
            target: Some(target),
            said,
        }
    }

    #[test]
    fn numbers_are_averaged_as_in_clinicadl() {
        let case = &reference("voting.json")["regression"];
        let rows: Vec<(String, String, usize, f64, f64)> =
            serde_json::from_value(case["rows"].clone()).unwrap();
        let rows = rows
            .iter()
            .map(|(participant, session, part, truth, said)| {
                let who = (participant.as_str(), session.as_str());
                prediction(who, *part, Target::Number(*truth), Said::Number(*said))
            });
        let mut rows: Vec<Prediction> = rows.collect();
        // Network by network, as tables of several are.
        rows.sort_by_key(|row| row.part);
        let (images, even) = images(&rows, &Weights::equal());
        let said = images.iter().map(|image| match image.said {
            Said::Number(number) => number,
            _ => f64::NAN,
        });
        let expected = crate::testing::floats(&case["predicted"]);
        assert_close(&said.collect::<Vec<_>>(), &expected, 1e-9, "means");
        assert_eq!(even, 0);
        let values = crate::tasks::Regression.values(&images);
        let columns = crate::tasks::Regression.columns();
        for name in ["R2_score", "MAE", "RMSE"] {
            let expected = case["metrics"][name].as_f64().unwrap();
            let at = columns.iter().position(|column| column.column == name);
            assert_close(&[values[at.unwrap()]], &[expected], 1e-9, name);
        }
    }

    #[test]
    fn participants_of_one_name_in_two_cohorts_are_two() {
        let said = |first: f64| Said::Class {
            predicted: usize::from(first < 0.5),
            probabilities: vec![first, 1.0 - first],
        };
        let mut rows = vec![
            prediction(("sub-1", "ses-1"), 0, Target::Class(0), said(0.9)),
            prediction(("sub-1", "ses-1"), 0, Target::Class(1), said(0.2)),
        ];
        rows[1].cohort = "other".to_owned();
        let (images, _) = images(&rows, &Weights::equal());
        let predicted: Vec<Said> = images.into_iter().map(|image| image.said).collect();
        assert_eq!(predicted, [said(0.9), said(0.2)]);
    }
}
