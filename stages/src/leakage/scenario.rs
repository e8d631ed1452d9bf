//! The ways in which a test set leaks, each with an explanation and a way out.

/// A way to leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// What is tested was used to fit or to select the model.
    NoIndependentTest,
    /// Sessions, slices or patches were split instead of participants.
    BiasedSplit,
    /// Data were multiplied or fitted before they were split.
    LateSplit,
    /// The test set was seen when the network was trained before.
    BiasedTransfer,
    /// A model of an ensemble saw the test set.
    BiasedEnsembling,
    /// The same scan under several names.
    Duplicates,
}

impl Scenario {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoIndependentTest => "no independent test set",
            Self::BiasedSplit => "biased split",
            Self::LateSplit => "late split",
            Self::BiasedTransfer => "biased transfer learning",
            Self::BiasedEnsembling => "biased ensembling",
            Self::Duplicates => "duplicated images",
        }
    }

    /// Why it matters.
    pub fn why(self) -> &'static str {
        match self {
            Self::NoIndependentTest => {
                "a result on data that shaped the model tells how well it remembers, not how well it works"
            }
            Self::BiasedSplit => {
                "scans and parts of scans of one person are alike: a network recognises the person"
            }
            Self::LateSplit => {
                "what was made or fitted from everybody carries the test set into training"
            }
            Self::BiasedTransfer => "weights remember whom they were trained on before",
            Self::BiasedEnsembling => "one model that saw the test set spoils the vote of all",
            Self::Duplicates => "two names for one scan put it on both sides",
        }
    }

    /// What to do.
    pub fn way_out(self) -> &'static str {
        match self {
            Self::NoIndependentTest => {
                "hold participants out first (stage `split`), train on its output `train`, test on `test`"
            }
            Self::BiasedSplit => "split participants, not sessions: stages `split` and `kfold` do",
            Self::LateSplit => {
                "split first and fit on the training part; copies of one person stay together with `group: derived_from`"
            }
            Self::BiasedTransfer => "test on participants that no earlier training saw",
            Self::BiasedEnsembling => {
                "test the ensemble on participants that none of its models was trained or selected on"
            }
            Self::Duplicates => "remove one of the two, or give both the same participant",
        }
    }
}
