//! What else can be asked of a MAPS: models, tables at every level, attribution maps.

use std::fs;
use std::path::PathBuf;

use crate::files::{
    GroupJson, MeasuredTable, MetricsTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
};
use crate::folder::{read, subfolders};
use crate::layout::{
    ENSEMBLE, ENVIRONMENT, GROUPS, INFORMATION_LOG, INTERPRET, LEVELS, MAPS_JSON, SplitPath, TRAIN,
    VALIDATION, in_ensemble, interpretation_of, selection_metric_of,
};
use crate::weights::{Weights, WeightsError, read_safetensors};
use crate::{Maps, MapsError};

impl Maps {
    /// The ensembles, sorted: what the models of all splits say together.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn ensembles(&self) -> Result<Vec<String>, MapsError> {
        let folder = self.folder().join(ENSEMBLE);
        match folder.is_dir() {
            true => subfolders(&folder),
            false => Ok(Vec::new()),
        }
    }

    /// What selected the models of an ensemble, sorted.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn ensemble_selections(&self, name: &str) -> Result<Vec<String>, MapsError> {
        let folders = subfolders(&self.folder().join(ENSEMBLE).join(name))?;
        let metrics = folders.iter().filter_map(|name| selection_metric_of(name));
        Ok(metrics.map(str::to_owned).collect())
    }

    /// Where a file of an ensemble is.
    pub fn ensemble_path(&self, name: &str, path: SplitPath<'_>) -> PathBuf {
        self.folder().join(in_ensemble(name, &path.in_artifact()))
    }

    /// The metrics of an ensemble on a data group, at every level that has any.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn ensemble_metrics(
        &self,
        name: &str,
        metric: &str,
        group: &str,
    ) -> Result<Vec<(&'static str, MetricsTable)>, MapsError> {
        let mut tables = Vec::new();
        for level in LEVELS {
            let path = SplitPath::Metrics {
                metric,
                group,
                level,
            };
            let path = self.ensemble_path(name, path);
            if path.is_file() {
                let table = MetricsTable::read(&read(&path)?, &path.display().to_string())?;
                tables.push((level, table));
            }
        }
        Ok(tables)
    }

    /// The metric that selected the model of a split, where there is only one.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// assert_eq!(maps.only_metric(0)?.as_deref(), Some("loss"));
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn only_metric(&self, split: usize) -> Result<Option<String>, MapsError> {
        let mut metrics = self.selection_metrics(split)?;
        let first = metrics.pop();
        Ok(first.filter(|_| metrics.is_empty()))
    }

    /// The epoch after which the weights of a model were saved, counted from 0; `None` where the file does
    /// not tell.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// assert_eq!(maps.best_epoch(0, "loss")?, Some(1));
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    ///
    /// # Errors
    /// The weights cannot be read.
    pub fn best_epoch(&self, split: usize, metric: &str) -> Result<Option<u64>, MapsError> {
        let checkpoint = self.checkpoint(split, metric)?;
        Ok(checkpoint.epoch.and_then(|epoch| u64::try_from(epoch).ok()))
    }

    /// The state dict of a model, in the order of the network's definition.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// let weights = maps.state_dict(0, "loss")?;
    /// let (name, array) = &weights.get_index(0).unwrap();
    /// println!("{name}: {:?} of {}", array.shape(), array.dtype().name());
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    ///
    /// # Errors
    /// The weights cannot be read.
    pub fn state_dict(&self, split: usize, metric: &str) -> Result<Weights, MapsError> {
        Ok(self.checkpoint(split, metric)?.model)
    }

    /// The same from the safetensors file, in order of the names; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn safetensors(&self, split: usize, metric: &str) -> Result<Option<Weights>, MapsError> {
        let path = SplitPath::Safetensors { metric };
        if !self.path(split, path).is_file() {
            return Ok(None);
        }
        let parse = |bytes: &[u8], file: &str| {
            read_safetensors(bytes).map_err(|source: WeightsError| MapsError::Weights {
                file: file.to_owned(),
                source,
            })
        };
        self.read(split, path, parse).map(Some)
    }

    /// Where the images of a data group came from; `split` matters for `train` and `validation`.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// assert!(!maps.group("test", 0)?.multi_cohort);
    /// let sessions = maps.data("test", 0)?;
    /// assert_eq!(sessions.label.as_deref(), Some("diagnosis"));
    /// assert_eq!(sessions.rows.len(), 2);
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn group(&self, group: &str, split: usize) -> Result<GroupJson, MapsError> {
        let data = self.path(split, SplitPath::Data { group });
        let path = data.with_file_name(MAPS_JSON);
        GroupJson::read(&read(&path)?, &path.display().to_string())
    }

    /// Whether a data group belongs to a split: `train` and `validation` are another one in each.
    pub fn has_group(&self, group: &str, split: usize) -> bool {
        let is_of_split = [TRAIN, VALIDATION].contains(&group);
        let folder = self.folder().join(GROUPS).join(group);
        folder.is_dir() && (!is_of_split || self.path(split, SplitPath::Data { group }).is_file())
    }

    /// What the predictions of a model on a data group are of, of [`LEVELS`].
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// assert_eq!(maps.levels(0, "loss", "test"), ["image"]);
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    pub fn levels(&self, split: usize, metric: &str, group: &str) -> Vec<&'static str> {
        let is_there = |level: &&str| {
            let path = SplitPath::Prediction {
                metric,
                group,
                level,
            };
            self.path(split, path).is_file()
        };
        LEVELS.into_iter().filter(is_there).collect()
    }

    /// The predictions of a model of a regression, or the measures of one of a reconstruction.
    ///
    /// # Errors
    /// The file cannot be read; the task is a classification, whose predictions are
    /// [`Self::predictions`].
    pub fn measures(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<MeasuredTable, MapsError> {
        let columns: &'static [&'static str] = match self.parameters().network_task()? {
            "reconstruction" => &RECONSTRUCTION_COLUMNS,
            _ => &REGRESSION_COLUMNS,
        };
        let path = |level| SplitPath::Prediction {
            metric,
            group,
            level,
        };
        let path = path(self.level(split, path));
        self.read(split, path, |bytes, file| {
            MeasuredTable::read(bytes, file, columns)
        })
    }

    /// Every metrics table of a model on a data group, with what it is of.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn all_metrics(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<Vec<(&'static str, MetricsTable)>, MapsError> {
        let mut tables = Vec::new();
        for level in LEVELS {
            let path = SplitPath::Metrics {
                metric,
                group,
                level,
            };
            if self.path(split, path).is_file() {
                tables.push((level, self.read(split, path, MetricsTable::read)?));
            }
        }
        Ok(tables)
    }

    /// The names of the interpretations of a model on a data group, sorted.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn interpretations(
        &self,
        split: usize,
        metric: &str,
        group: &str,
    ) -> Result<Vec<String>, MapsError> {
        let folder = self.results(split, metric, group);
        let folders = subfolders(&folder)?.into_iter();
        Ok(folders
            .filter_map(|name| interpretation_of(&name).map(str::to_owned))
            .collect())
    }

    /// The files of an interpretation, sorted; [`crate::weights::read_pt`] reads those that end with `.pt`.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn attributions(
        &self,
        split: usize,
        metric: &str,
        group: &str,
        name: &str,
    ) -> Result<Vec<PathBuf>, MapsError> {
        let folder = self.results(split, metric, group);
        let folder = folder.join(format!("{INTERPRET}{name}"));
        let failed = |source| MapsError::Io {
            act: "list",
            path: folder.clone(),
            source,
        };
        let entries = fs::read_dir(&folder).map_err(failed)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        paths.sort();
        Ok(paths)
    }

    /// What was predicted, in words; `None` where nobody wrote it down.
    pub fn description(&self, split: usize, metric: &str, group: &str) -> Option<String> {
        fs::read_to_string(self.path(split, SplitPath::Description { metric, group })).ok()
    }

    /// What was trained, in words; `None` where nobody wrote it down.
    pub fn information(&self) -> Option<String> {
        fs::read_to_string(self.folder().join(INFORMATION_LOG)).ok()
    }

    /// The software that trained, one package a line; `None` where nobody wrote it down.
    pub fn environment(&self) -> Option<String> {
        fs::read_to_string(self.folder().join(ENVIRONMENT)).ok()
    }

    fn results(&self, split: usize, metric: &str, group: &str) -> PathBuf {
        let folder = self.split_folder(split).join(format!("best-{metric}"));
        folder.join(group)
    }
}
