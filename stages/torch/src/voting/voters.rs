//! What the votes of parts weigh in a trained model, of this program or of ClinicaDL 1.6.1.

use engine::{Context, Input, InputFile, StageError};
use maps::files::{MapsJson, PredictionTable, VotingTable};
use maps::layout::{LEVELS, SplitPath, VALIDATION};
use stages::extraction::Mode;
use stages::learning::names::VotingName;
use stages::voting::{PartScore, Weights};

use super::{Rule, scores_of, weights_of};

/// How the parts of a trained model vote, as its training says or as it is asked for.
#[derive(Debug)]
pub(crate) struct Voters<'a> {
    model: &'a Input,
    rule: Rule,
    /// Neither rule nor threshold was asked for: what the training stored counts.
    as_trained: bool,
    classes: usize,
    /// The number of the first part in tables of the training.
    first: usize,
}

impl<'a> Voters<'a> {
    /// Reads the rule of a training; ClinicaDL 1.6.1 has one only.
    ///
    /// # Errors
    /// The rule is unknown.
    pub(crate) fn open(
        model: &'a Input,
        definition: &MapsJson,
        classes: usize,
    ) -> Result<Self, StageError> {
        let named = definition.text("voting").unwrap_or("accuracy");
        let mut all = VotingName::ALL.iter().copied();
        let voting = all.find(|known| known.name() == named).ok_or_else(|| {
            let known: Vec<&str> = VotingName::ALL.iter().map(|name| name.name()).collect();
            let known = known.join("`, `");
            StageError::new(format!(
                "unknown `voting` `{named}`, expected one of `{known}`"
            ))
        })?;
        // There, null is no threshold.
        let threshold = definition.number("selection_threshold").unwrap_or(0.0);
        Ok(Self {
            model,
            rule: Rule { voting, threshold },
            as_trained: true,
            classes,
            first: first_part(definition),
        })
    }

    /// The same, with what is asked for instead.
    pub(crate) fn asked(mut self, voting: Option<VotingName>, threshold: Option<f64>) -> Self {
        self.as_trained = voting.is_none() && threshold.is_none();
        self.rule.voting = voting.unwrap_or(self.rule.voting);
        self.rule.threshold = threshold.unwrap_or(self.rule.threshold);
        self
    }

    /// What votes weigh in the model that a metric selected: as it was stored, or by the predictions of the
    /// validation set where only those are there.
    ///
    /// # Errors
    /// The model tells nothing of its validation set.
    pub(crate) fn weights(&self, metric: &str, context: &Context) -> Result<Weights, StageError> {
        if self.rule.voting == VotingName::Equal {
            return Ok(Weights::equal());
        }
        let read = |file: &InputFile| {
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))
        };
        if let Some(file) = self.model.file(&SplitPath::Voting { metric }.in_artifact()) {
            let table = VotingTable::read(&read(file)?, &file.shown)?;
            if self.as_trained {
                return Ok(Weights::given(
                    table.rows.iter().map(|row| (row.part, row.weight)),
                ));
            }
            let scores = table.rows.iter().map(|row| PartScore {
                part: row.part,
                images: row.images,
                accuracy: row.accuracy,
                balanced_accuracy: row.balanced_accuracy,
            });
            let scores: Vec<PartScore> = scores.collect();
            return Ok(weights_of(&scores, self.rule, metric, context));
        }
        let mut tables = LEVELS
            .into_iter()
            .skip(1)
            .map(|level| SplitPath::Prediction {
                metric,
                group: VALIDATION,
                level,
            });
        let Some(file) = tables.find_map(|path| self.model.file(&path.in_artifact())) else {
            let shown = &self.model.shown;
            let message = format!(
                "`{shown}` has neither `{}` nor predictions of its validation set, so nothing tells what votes of parts weigh",
                SplitPath::Voting { metric }.in_artifact()
            );
            return Err(StageError::new(message).hint("set `voting: equal`"));
        };
        let table = PredictionTable::read(&read(file)?, &file.shown)?;
        let rows = table.rows().iter().filter_map(|row| {
            let truth = usize::try_from(row.true_label?).ok()?;
            let predicted = usize::try_from(row.predicted_label).ok()?;
            let part = row.image_id as usize;
            Some((part.saturating_sub(self.first), truth, predicted))
        });
        let scores = scores_of(rows, self.classes);
        Ok(weights_of(&scores, self.rule, metric, context))
    }
}

/// The number of the first part of images in tables: ClinicaDL 1.6.1 numbers slices from the first of the
/// image, whether it is discarded or not.
fn first_part(definition: &MapsJson) -> usize {
    let is_ours = definition.fields().contains_key("voting");
    if is_ours || definition.mode().ok() != Some(Mode::Slice.name()) {
        return 0;
    }
    let discarded = definition.preprocessing().ok();
    let discarded = discarded.and_then(|record| record.get("discarded_slices"));
    let first = discarded.and_then(|value| value.get(0).unwrap_or(value).as_u64());
    usize::try_from(first.unwrap_or(0)).unwrap_or(0)
}
