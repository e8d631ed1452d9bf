//! Reading a MAPS folder, ours or one of ClinicaDL 1.6.1.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::MapsError;
use crate::files::{
    DataTable, MapsJson, MetricsTable, NetworkMetrics, PredictionTable, SessionsTable,
    TrainingTable, VotingTable,
};
use crate::layout::{
    GROUPS, IMAGE_LEVEL, LEVELS, MAPS_JSON, SplitPath, TRAIN, TRAIN_VALIDATION, VALIDATION,
    selection_metric_of, split_of,
};
use crate::weights::{Checkpoint, read_pth};

/// A MAPS folder whose `maps.json` was read; everything else is read when asked for.
///
/// ```
/// use maps::Maps;
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
/// let maps = Maps::open(folder.as_ref())?;
/// assert_eq!(maps.parameters().architecture()?, "Conv5_FC3");
/// for split in maps.splits() {
///     for metric in maps.selection_metrics(split)? {
///         let epoch = maps.best_epoch(split, &metric)?;
///         let table = maps.metrics(split, &metric, "test")?;
///         let accuracy = table.get("BA").map(|column| column.value);
///         println!("split {split}, best-{metric}, epoch {epoch:?}: {accuracy:?}");
///     }
/// }
/// # Ok::<(), maps::MapsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Maps {
    folder: PathBuf,
    parameters: MapsJson,
    splits: BTreeMap<usize, String>,
}

impl Maps {
    /// Opens a folder.
    ///
    /// # Errors
    /// It has no `maps.json`, or one that cannot be read.
    pub fn open(folder: &Path) -> Result<Self, MapsError> {
        let path = folder.join(MAPS_JSON);
        if is_version_2(folder) {
            return Err(MapsError::Version2(folder.to_owned()));
        }
        if !path.is_file() {
            return Err(MapsError::NotAMaps(folder.to_owned()));
        }
        Ok(Self {
            parameters: MapsJson::read(&read(&path)?, &path.display().to_string())?,
            splits: splits(folder)?,
            folder: folder.to_owned(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the training was asked to do.
    pub fn parameters(&self) -> &MapsJson {
        &self.parameters
    }

    /// The splits that were trained, ascending.
    pub fn splits(&self) -> Vec<usize> {
        self.splits.keys().copied().collect()
    }

    /// The metrics that selected models of a split, sorted.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn selection_metrics(&self, split: usize) -> Result<Vec<String>, MapsError> {
        let folders = subfolders(&self.split_folder(split))?;
        let metrics = folders.iter().filter_map(|name| selection_metric_of(name));
        Ok(metrics.map(str::to_owned).collect())
    }

    /// The data groups, sorted, `train` and `validation` included.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn groups(&self) -> Result<Vec<String>, MapsError> {
        subfolders(&self.folder.join(GROUPS))
    }

    /// The data groups with results of a model, sorted.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn result_groups(&self, split: usize, metric: &str) -> Result<Vec<String>, MapsError> {
        let folder = self.split_folder(split).join(format!("best-{metric}"));
        let is_group = |group: &String| {
            LEVELS.iter().any(|level| {
                let path = SplitPath::Prediction {
                    metric,
                    group,
                    level,
                };
                self.path(split, path).is_file()
            })
        };
        Ok(subfolders(&folder)?.into_iter().filter(is_group).collect())
    }

    /// Every session that any split could see while training.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn train_validation(&self) -> Result<SessionsTable, MapsError> {
        let path = self.folder.join(TRAIN_VALIDATION);
        SessionsTable::read(&read(&path)?, &path.display().to_string())
    }

    /// The sessions of a data group; `split` matters for `train` and `validation`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn data(&self, group: &str, split: usize) -> Result<DataTable, MapsError> {
        self.read(split, SplitPath::Data { group }, DataTable::read)
    }

    /// The networks: one without a number, or one for each part of images.
    ///
    /// # Errors
    /// The parameters do not tell.
    pub fn networks(&self) -> Result<Vec<Option<usize>>, MapsError> {
        let count = self.parameters.networks()?;
        Ok(count.map_or_else(|| vec![None], |count| (0..count).map(Some).collect()))
    }

    /// The course of a training.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn training(&self, split: usize) -> Result<TrainingTable, MapsError> {
        self.training_of(split, None)
    }

    /// The course of the training of one network.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn training_of(
        &self,
        split: usize,
        network: Option<usize>,
    ) -> Result<TrainingTable, MapsError> {
        self.read_of(split, SplitPath::Training, network, TrainingTable::read)
    }

    /// What the votes of parts weigh.
    ///
    /// # Errors
    /// The file cannot be read; ClinicaDL 1.6.1 has none.
    pub fn voting(&self, split: usize, metric: &str) -> Result<VotingTable, MapsError> {
        self.read(split, SplitPath::Voting { metric }, VotingTable::read)
    }

    /// The metrics of each network on the parts that are its own; none where one network learnt all.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn network_metrics(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<NetworkMetrics, MapsError> {
        let level = self.parameters.mode()?;
        let path = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        self.read(split, path, NetworkMetrics::read)
    }

    /// The predictions of a model of a classification: of images, or of their parts where only those are
    /// there. [`Self::measures`] has those of other tasks.
    ///
    /// # Errors
    /// The file cannot be read, or has no probabilities.
    pub fn predictions(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<PredictionTable, MapsError> {
        let path = |level| SplitPath::Prediction {
            metric,
            group,
            level,
        };
        let mut level = self.level(split, path);
        // ClinicaDL 1.6.1 forgets whose predictions of images these are where images have one part.
        if level == IMAGE_LEVEL && is_nameless(&self.path(split, path(level))) {
            let parts = LEVELS.into_iter().skip(1);
            let mut there = parts.filter(|level| self.path(split, path(level)).is_file());
            level = there.next().unwrap_or(level);
        }
        self.read(split, path(level), PredictionTable::read)
    }

    /// The metrics of a model.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn metrics(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<MetricsTable, MapsError> {
        let path = |level| SplitPath::Metrics {
            metric,
            group,
            level,
        };
        let path = path(self.level(split, path));
        self.read(split, path, MetricsTable::read)
    }

    /// The level at which a file is there: that of images if there are several or none.
    pub(crate) fn level<'a>(
        &self,
        split: usize,
        path: impl Fn(&'static str) -> SplitPath<'a>,
    ) -> &'static str {
        let there = |level: &&&'static str| self.path(split, path(level)).is_file();
        LEVELS.iter().find(there).copied().unwrap_or(IMAGE_LEVEL)
    }

    /// Where the weights of a model are.
    pub fn weights_path(&self, split: usize, metric: &str) -> PathBuf {
        self.path(split, SplitPath::Model { metric })
    }

    /// The weights of a model.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checkpoint(&self, split: usize, metric: &str) -> Result<Checkpoint, MapsError> {
        self.checkpoint_of(split, metric, None)
    }

    /// The weights of one network of a model.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checkpoint_of(
        &self,
        split: usize,
        metric: &str,
        network: Option<usize>,
    ) -> Result<Checkpoint, MapsError> {
        let path = SplitPath::Model { metric };
        self.read_of(split, path, network, |bytes, file| {
            read_pth(bytes).map_err(|source| MapsError::Weights {
                file: file.to_owned(),
                source,
            })
        })
    }

    /// Where a file of a split is; old versions name the split's folder otherwise.
    pub fn path(&self, split: usize, path: SplitPath<'_>) -> PathBuf {
        match path {
            SplitPath::Data { group } if group == TRAIN || group == VALIDATION => {
                let folder = self.folder.join(GROUPS).join(group);
                folder.join(self.split_name(split)).join("data.tsv")
            }
            SplitPath::Data { .. } => self.folder.join(path.in_maps(split)),
            SplitPath::Training if !self.has_training(split) => {
                self.folder.join(path.in_maps(split))
            }
            _ => self.split_folder(split).join(path.in_artifact()),
        }
    }

    fn has_training(&self, split: usize) -> bool {
        let file = SplitPath::Training.in_artifact();
        self.split_folder(split).join(file).is_file()
    }

    pub(crate) fn read<T>(
        &self,
        split: usize,
        path: SplitPath<'_>,
        parse: impl FnOnce(&[u8], &str) -> Result<T, MapsError>,
    ) -> Result<T, MapsError> {
        let path = self.path(split, path);
        parse(&read(&path)?, &path.display().to_string())
    }

    /// Reads the file of one network.
    fn read_of<T>(
        &self,
        split: usize,
        path: SplitPath<'_>,
        network: Option<usize>,
        parse: impl FnOnce(&[u8], &str) -> Result<T, MapsError>,
    ) -> Result<T, MapsError> {
        let path = self.split_folder(split).join(path.of_network(network));
        parse(&read(&path)?, &path.display().to_string())
    }

    fn split_name(&self, split: usize) -> String {
        let known = self.splits.get(&split).cloned();
        known.unwrap_or_else(|| crate::layout::split_folder(split))
    }

    pub(crate) fn split_folder(&self, split: usize) -> PathBuf {
        self.folder.join(self.split_name(split))
    }
}

/// Whether a folder is a MAPS of ClinicaDL 2.0.
pub(crate) fn is_version_2(folder: &Path) -> bool {
    !folder.join(MAPS_JSON).exists()
        && folder.join("model.json").is_file()
        && folder.join("training").is_dir()
}

/// Whether a table has no column of participants.
pub(crate) fn is_nameless(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| {
        let header = text.lines().next().unwrap_or_default();
        !header.split('\t').any(|name| name == "participant_id")
    })
}

/// The trained splits of a folder with the names of their folders.
pub(crate) fn splits(folder: &Path) -> Result<BTreeMap<usize, String>, MapsError> {
    let mut splits = BTreeMap::new();
    for name in subfolders(folder)? {
        if let Some(split) = split_of(&name) {
            // ClinicaDL 1.6.1 writes logs to `split-<i>` where the rest is in `fold-<i>`.
            splits.entry(split).or_insert(name);
        }
    }
    Ok(splits)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, MapsError> {
    fs::read(path).map_err(|source| MapsError::Io {
        act: "read",
        path: path.to_owned(),
        source,
    })
}

/// The names of the folders in a folder, sorted; names that are not Unicode are none of ours.
pub(crate) fn subfolders(folder: &Path) -> Result<Vec<String>, MapsError> {
    let failed = |source| MapsError::Io {
        act: "list",
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(name) = entry.file_name().to_str()
            && entry.path().is_dir()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
