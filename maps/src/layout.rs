//! Where files are, in a MAPS and in the artifacts that it is assembled from.
//!
//! ```text
//! artifact of one split                 MAPS
//! maps.json, information.log            the same, once
//! network.pt                            the same, once: the module of a network that is a file
//! groups/train+validation.tsv           the same, once
//! groups/{train,validation}/data.tsv    groups/{train,validation}/split-<i>/data.tsv
//! groups/<group>/data.tsv               the same
//! best-<metric>/…, training_logs/…      split-<i>/best-<metric>/…, split-<i>/training_logs/…
//!
//! artifact of an ensemble               MAPS
//! ensemble/<name>/best-<metric>/…       the same
//! groups/<group>/data.tsv               the same
//! ```
//!
//! Paths are text with `/` and relative, as in the store; no other module spells one.

use crate::files::EVENT_FILE;
use std::fmt;

/// The parameters, in both.
pub const MAPS_JSON: &str = "maps.json";
/// The versions of software that made the MAPS.
pub const ENVIRONMENT: &str = "environment.txt";
/// What was trained, in words.
pub const INFORMATION_LOG: &str = "information.log";
/// The module of TorchScript that was trained, as it was before, in both.
pub const NETWORK_FILE: &str = "network.pt";
/// The folder of data groups, in both.
pub const GROUPS: &str = "groups";
/// Every session that any split could see while training.
pub const TRAIN_VALIDATION: &str = "groups/train+validation.tsv";
/// The data group that models are fitted to.
pub const TRAIN: &str = "train";
/// The data group that models are selected by.
pub const VALIDATION: &str = "validation";

/// The folder of the course of a training.
const TRAINING_LOGS: &str = "training_logs";
/// What names of the files of one of several networks begin with.
const NETWORK: &str = "network-";
/// Begins the folder of a model without a network: nobody takes it for one that can be loaded.
pub const BASELINE: &str = "baseline-";

/// The level of predictions of whole images.
pub const IMAGE_LEVEL: &str = "image";
/// What a prediction is of: whole images, or one kind of their parts.
pub const LEVELS: [&str; 4] = [IMAGE_LEVEL, "patch", "roi", "slice"];
/// What was checked about leakage, of the MAPS as a whole; in an artifact, the folder of one check each.
pub const LEAKAGE_JSON: &str = "leakage.json";
/// The folder of what is known of leakage, in an artifact of one split.
pub const LEAKAGE: &str = "leakage";

/// The folder of what the models of all splits say together, in both: `ensemble/<name>/best-<metric>/…`.
pub const ENSEMBLE: &str = "ensemble";

/// What names of folders with attribution maps begin with.
pub(crate) const INTERPRET: &str = "interpret-";

/// A file that belongs to one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitPath<'a> {
    /// The sessions of a data group.
    Data {
        /// Name of the data group.
        group: &'a str,
    },
    /// The course of the training; of a training on two domains, that of the source.
    Training,
    /// The course of a training on two domains, of the target.
    TrainingTarget,
    /// The course of the training for TensorBoard.
    Events {
        /// Name of the data group.
        group: &'a str,
    },
    /// Best weights as a PyTorch file.
    Model {
        /// The metric that selected them.
        metric: &'a str,
    },
    /// The same weights as a safetensors file.
    Safetensors {
        /// The metric that selected them.
        metric: &'a str,
    },
    /// Weights after an epoch, whether it is a best one or not.
    EveryModel {
        /// Number of the epoch, from 0.
        epoch: u32,
    },
    /// How much each part of an image counts in votes.
    Voting {
        /// The metric that selected the weights of the network.
        metric: &'a str,
    },
    /// Predictions of a data group.
    Prediction {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
        /// What is predicted, one of [`LEVELS`].
        level: &'a str,
    },
    /// Metrics of a data group.
    Metrics {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
        /// What was predicted, one of [`LEVELS`].
        level: &'a str,
    },
    /// What was predicted, in words.
    Description {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
    },
    /// What the network took or gave, or what that means for its image.
    Saved {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
        /// Of whom and what.
        of: Saved<'a>,
    },
    /// A table about attribution maps.
    AttributionTable {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
        /// Name of the interpretation.
        name: &'a str,
        /// Which table.
        table: MapTable,
    },
    /// An attribution map.
    Attribution {
        /// The metric that selected the weights.
        metric: &'a str,
        /// Name of the data group.
        group: &'a str,
        /// Name of the interpretation.
        name: &'a str,
        /// Whose map.
        of: MapOf<'a>,
        /// What the map shows, one of [`LEVELS`].
        level: &'a str,
        /// Number of the part; 0 for a whole image.
        part: usize,
        /// How it is stored.
        format: MapFormat,
    },
}

/// A file about an image, or a part of one, that a prediction writes beside its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved<'a> {
    /// The participant, `sub-…`.
    pub participant: &'a str,
    /// The session, `ses-…`.
    pub session: &'a str,
    /// What the file shows, one of [`LEVELS`].
    pub level: &'a str,
    /// Number of the part; 0 for a whole image.
    pub part: usize,
    /// What it is of that.
    pub what: SavedAs,
}

/// What a file is of an image or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedAs {
    /// What the network took, a tensor.
    Input,
    /// What it gave, a tensor.
    Output,
    /// The code of an autoencoder, a tensor.
    Latent,
    /// What the network took, an image.
    InputImage,
    /// What it gave, an image.
    OutputImage,
    /// The probability of a class by its code where parts are, an image.
    Probability(usize),
    /// The number that was predicted where parts are, an image.
    Value,
}

/// The folders of a data group with files about images.
pub(crate) const SAVED_FOLDERS: [&str; 3] = ["tensors", "latent_tensors", "nifti_images"];

impl SavedAs {
    fn folder(self) -> &'static str {
        let [tensors, latent, images] = SAVED_FOLDERS;
        match self {
            Self::Input | Self::Output => tensors,
            Self::Latent => latent,
            _ => images,
        }
    }

    fn parse(ending: &str, folder: &str) -> Option<Self> {
        let code = |text: &str| text.strip_prefix("proba")?.parse().ok();
        let found = match ending {
            "input.pt" => Self::Input,
            "output.pt" => Self::Output,
            "latent.pt" => Self::Latent,
            "input.nii.gz" => Self::InputImage,
            "output.nii.gz" => Self::OutputImage,
            "value.nii.gz" => Self::Value,
            _ => Self::Probability(code(ending.strip_suffix(".nii.gz")?)?),
        };
        Some(found).filter(|found| found.folder() == folder)
    }
}

impl fmt::Display for SavedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("input.pt"),
            Self::Output => f.write_str("output.pt"),
            Self::Latent => f.write_str("latent.pt"),
            Self::InputImage => f.write_str("input.nii.gz"),
            Self::OutputImage => f.write_str("output.nii.gz"),
            Self::Probability(code) => write!(f, "proba{code}.nii.gz"),
            Self::Value => f.write_str("value.nii.gz"),
        }
    }
}

impl<'a> Saved<'a> {
    /// What a file of a folder of a data group is, by their names; `None` where it is none of these.
    ///
    /// ```
    /// use maps::layout::{Saved, SavedAs};
    ///
    /// let saved = Saved::parse("tensors", "sub-1_ses-M000_patch-3_output.pt").unwrap();
    /// assert_eq!((saved.participant, saved.session), ("sub-1", "ses-M000"));
    /// assert_eq!((saved.level, saved.part, saved.what), ("patch", 3, SavedAs::Output));
    /// assert_eq!(Saved::parse("tensors", "sub-1_ses-M000_patch-3_latent.pt"), None);
    /// ```
    pub fn parse(folder: &str, name: &'a str) -> Option<Self> {
        let (rest, ending) = name.rsplit_once('_')?;
        let what = SavedAs::parse(ending, folder)?;
        let (rest, shown) = rest.rsplit_once('_')?;
        let (participant, session) = rest.split_once('_')?;
        let (level, part) = match shown.split_once('-') {
            Some((level, part)) => (level, part.parse().ok()?),
            None => (shown, 0),
        };
        let saved = Self {
            participant,
            session,
            level,
            part,
            what,
        };
        let is_it = LEVELS.contains(&level) && saved.to_string() == format!("{folder}/{name}");
        is_it.then_some(saved)
    }
}

impl fmt::Display for Saved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            participant,
            session,
            level,
            part,
            what,
        } = self;
        let folder = what.folder();
        write!(f, "{folder}/{participant}_{session}_{level}")?;
        // ClinicaDL calls the NIfTI file of an image so, of which there is one.
        let is_image = folder == SAVED_FOLDERS[2] && *level == IMAGE_LEVEL;
        if !is_image {
            write!(f, "-{part}")?;
        }
        write!(f, "_{what}")
    }
}

/// Whose attribution map a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOf<'a> {
    /// The mean over the data group.
    Mean,
    /// One image.
    Image {
        /// The participant, `sub-…`.
        participant: &'a str,
        /// The session, `ses-…`.
        session: &'a str,
    },
}

/// A table about attribution maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapTable {
    /// Regions of an atlas in the map of each image.
    Regions,
    /// Regions of an atlas in the mean map.
    MeanRegions,
    /// What the map of each image adds up to.
    Completeness,
    /// Maps beside those of networks with random weights.
    SanityCheck,
}

impl MapTable {
    /// Every table.
    pub const ALL: [Self; 4] = [
        Self::Regions,
        Self::MeanRegions,
        Self::Completeness,
        Self::SanityCheck,
    ];

    fn file(self) -> &'static str {
        match self {
            Self::Regions => "regions.tsv",
            Self::MeanRegions => "mean_regions.tsv",
            Self::Completeness => "completeness.tsv",
            Self::SanityCheck => "sanity_check.tsv",
        }
    }
}

/// How an attribution map is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapFormat {
    /// A PyTorch tensor, `.pt`.
    Tensor,
    /// A compressed NIfTI file, `.nii.gz`.
    Nifti,
}

impl SplitPath<'_> {
    /// The path in an artifact of one split.
    pub fn in_artifact(&self) -> String {
        self.to_string()
    }

    /// The path in an artifact of the file of one network, where each part of images has a network of its
    /// own; tables are of all networks together.
    pub fn of_network(&self, network: Option<usize>) -> String {
        let path = self.to_string();
        let Some(network) = network else {
            return path;
        };
        match self {
            Self::Training | Self::Events { .. } => {
                let rest = path.strip_prefix(TRAINING_LOGS).unwrap_or(&path);
                format!("{TRAINING_LOGS}/{NETWORK}{network}{rest}")
            }
            Self::Model { .. } | Self::Safetensors { .. } | Self::EveryModel { .. } => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
                format!("{folder}/{NETWORK}{network}_{name}")
            }
            _ => path,
        }
    }

    /// The path in a MAPS.
    pub fn in_maps(&self, split: usize) -> String {
        published_path(&self.to_string(), split)
    }
}

impl fmt::Display for SplitPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { group } => write!(f, "{GROUPS}/{group}/data.tsv"),
            Self::Training => write!(f, "{TRAINING_LOGS}/training.tsv"),
            Self::TrainingTarget => write!(f, "{TRAINING_LOGS}/training_target.tsv"),
            Self::Events { group } => {
                write!(f, "{TRAINING_LOGS}/tensorboard/{group}/{EVENT_FILE}")
            }
            Self::Model { metric } => write!(f, "best-{metric}/model.pth.tar"),
            Self::Safetensors { metric } => write!(f, "best-{metric}/model.safetensors"),
            Self::EveryModel { epoch } => write!(f, "all_models/model_epoch_{epoch}.pth.tar"),
            Self::Voting { metric } => write!(f, "best-{metric}/voting.tsv"),
            Self::Prediction {
                metric,
                group,
                level,
            } => {
                let name = format!("{group}_{level}_level_prediction.tsv");
                write!(f, "{}/{group}/{name}", model_folder(metric))
            }
            Self::Metrics {
                metric,
                group,
                level,
            } => {
                let name = format!("{group}_{level}_level_metrics.tsv");
                write!(f, "{}/{group}/{name}", model_folder(metric))
            }
            Self::Description { metric, group } => {
                write!(f, "{}/{group}/description.log", model_folder(metric))
            }
            Self::Saved { metric, group, of } => {
                write!(f, "{}/{group}/{of}", model_folder(metric))
            }
            Self::AttributionTable {
                metric,
                group,
                name,
                table,
            } => {
                let file = table.file();
                write!(
                    f,
                    "{}/{group}/{INTERPRET}{name}/{file}",
                    model_folder(metric)
                )
            }
            Self::Attribution {
                metric,
                group,
                name,
                of,
                level,
                part,
                format,
            } => {
                write!(f, "best-{metric}/{group}/{INTERPRET}{name}/")?;
                match of {
                    MapOf::Mean => f.write_str("mean")?,
                    MapOf::Image {
                        participant,
                        session,
                    } => write!(f, "{participant}_{session}")?,
                }
                write!(f, "_{level}-{part}_map")?;
                f.write_str(match format {
                    MapFormat::Tensor => ".pt",
                    MapFormat::Nifti => ".nii.gz",
                })
            }
        }
    }
}

/// The interpretation that a folder of a data group belongs to.
pub fn interpretation_of(folder: &str) -> Option<&str> {
    let name = folder.strip_prefix(INTERPRET);
    name.filter(|name| !name.is_empty())
}

/// The split, model ([`model_in`]) and data group of a metrics table, from its path in a MAPS.
pub fn metrics_table_of(path: &str) -> Option<(usize, &str, &str)> {
    let (split, inside) = path.split_once('/')?;
    let (metric, group) = metrics_table_in(inside, model_in)?;
    Some((split_of(split)?, metric, group))
}

/// The ensemble, what selected its models, and the data group of a metrics table, from its path in a MAPS.
pub fn ensemble_metrics_of(path: &str) -> Option<(&str, &str, &str)> {
    let (name, inside) = ensemble_of(path)?;
    let (metric, group) = metrics_table_in(inside, selection_metric_of)?;
    Some((name, metric, group))
}

/// The model and the data group of a metrics table, from its path beside the folders of models, which `model`
/// knows by their names.
fn metrics_table_in(path: &str, model: fn(&str) -> Option<&str>) -> Option<(&str, &str)> {
    let mut parts = path.split('/');
    let (metric, group) = (model(parts.next()?)?, parts.next()?);
    let is_it = LEVELS.iter().any(|level| {
        let table = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        table.to_string() == path
    });
    is_it.then_some((metric, group))
}

/// The ensemble that a file belongs to, and its path in the folder of this ensemble.
pub fn ensemble_of(path: &str) -> Option<(&str, &str)> {
    let inside = path.strip_prefix(ENSEMBLE)?.strip_prefix('/')?;
    inside.split_once('/')
}

/// Where a file of an ensemble is, from its path in the folder of this ensemble; in an artifact and in a MAPS.
pub fn in_ensemble(name: &str, path: &str) -> String {
    format!("{ENSEMBLE}/{name}/{path}")
}

/// Whether a metrics table is of whole images, from its path.
pub fn is_of_images(path: &str) -> bool {
    path.ends_with("_image_level_metrics.tsv")
}

/// The selection metric, and the network where there is one for each part, of the weights in a PyTorch file
/// of an artifact of one split.
pub fn model_of(path: &str) -> Option<(&str, Option<usize>)> {
    let (folder, name) = path.split_once('/')?;
    let metric = selection_metric_of(folder)?;
    let network = match name.strip_prefix(NETWORK) {
        None => None,
        Some(rest) => Some(rest.split_once('_')?.0.parse().ok()?),
    };
    let model = SplitPath::Model { metric };
    (model.of_network(network) == path).then_some((metric, network))
}

/// Where a file of an artifact of one split is in a MAPS.
pub fn published_path(path: &str, split: usize) -> String {
    if [MAPS_JSON, INFORMATION_LOG, NETWORK_FILE, TRAIN_VALIDATION].contains(&path) {
        return path.to_owned();
    }
    let Some(in_groups) = path.strip_prefix("groups/") else {
        return format!("{}/{path}", split_folder(split));
    };
    match in_groups.split_once('/') {
        Some((group @ (TRAIN | VALIDATION), file)) => {
            format!("{GROUPS}/{group}/{}/{file}", split_folder(split))
        }
        _ => path.to_owned(),
    }
}

/// The folder of a split.
pub fn split_folder(split: usize) -> String {
    format!("split-{split}")
}

/// The split that a folder of a MAPS belongs to; `fold-<i>` is the name of old versions.
pub fn split_of(folder: &str) -> Option<usize> {
    let number = folder
        .strip_prefix("split-")
        .or_else(|| folder.strip_prefix("fold-"))?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain)
}

/// The folder of a model in a split: `best-<metric>`, by what selected it, or `baseline-<name>`.
pub fn model_folder(model: &str) -> String {
    match model.starts_with(BASELINE) {
        true => model.to_owned(),
        false => format!("best-{model}"),
    }
}

/// The model that a folder of a split belongs to: what selected it, or the folder of one without a network.
pub fn model_in(folder: &str) -> Option<&str> {
    let baseline = || Some(folder).filter(|name| name.starts_with(BASELINE));
    selection_metric_of(folder).or_else(baseline)
}

/// The selection metric that a folder of a split belongs to.
pub fn selection_metric_of(folder: &str) -> Option<&str> {
    folder
        .strip_prefix("best-")
        .filter(|metric| !metric.is_empty())
}
