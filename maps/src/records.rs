//! What is recorded beside the results of a MAPS.

use std::collections::BTreeMap;
use std::fs;

use engine::Digest;
use engine::provenance::{ENVIRONMENT, LOCK, RUN};
use engine::publish::{PUBLISHED, PublishedList};
use serde_json::Value;

use crate::files::LeakageJson;
use crate::folder::read;
use crate::layout::LEAKAGE_JSON;
use crate::{Maps, MapsError};

/// How a MAPS came to be: a MAPS of ClinicaDL has no such records.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Provenance {
    /// The manifest, as written.
    pub manifest: Option<String>,
    /// Inputs, keys and results by digest.
    pub lock: Option<Value>,
    /// Every action: times, reasons.
    pub run: Option<Value>,
    /// Software and class of hardware.
    pub environment: Option<Value>,
    /// The files that were published, by path.
    pub files: BTreeMap<String, Digest>,
}

impl Maps {
    /// The records of the run that published the folder; `None` where there are none.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
    /// # let maps = maps::Maps::open(folder.as_ref())?;
    /// assert!(maps.provenance()?.is_none(), "ClinicaDL 1.6.1 keeps none");
    /// # Ok::<(), maps::MapsError>(())
    /// ```
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn provenance(&self) -> Result<Option<Provenance>, MapsError> {
        if !self.folder().join("provenance").is_dir() {
            return Ok(None);
        }
        let manifests = ["yaml", "yml", "toml"].into_iter();
        let manifests =
            manifests.map(|end| self.folder().join(format!("provenance/manifest.{end}")));
        let list = self.record(PUBLISHED)?.unwrap_or_default();
        let list: PublishedList = serde_json::from_value(list).unwrap_or_default();
        let files = list.files.into_iter();
        Ok(Some(Provenance {
            manifest: manifests
                .filter_map(|path| fs::read_to_string(path).ok())
                .next(),
            lock: self.record(LOCK)?,
            run: self.record(RUN)?,
            environment: self.record(ENVIRONMENT)?,
            files: files.map(|(path, file)| (path, file.digest)).collect(),
        }))
    }

    /// What was compared between those who were trained on and those who were tested; `None` where nobody
    /// did.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub fn leakage(&self) -> Result<Option<LeakageJson>, MapsError> {
        let path = self.folder().join(LEAKAGE_JSON);
        if !path.is_file() {
            return Ok(None);
        }
        LeakageJson::read(&read(&path)?, &path.display().to_string()).map(Some)
    }

    fn record(&self, path: &str) -> Result<Option<Value>, MapsError> {
        let path = self.folder().join(path);
        if !path.is_file() {
            return Ok(None);
        }
        let value = serde_json::from_slice(&read(&path)?);
        value.map(Some).map_err(|error| MapsError::Json {
            file: path.display().to_string(),
            reason: error.to_string(),
            line: error.line() as u64,
            column: error.column() as u64,
        })
    }
}
