//! Images that several parts are cut from, each read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{InputFile, StageError};
use stages::extraction::{Extraction, Mode};

use super::Cohort;
use super::transforms::Image;

/// The images whose parts are being cut: an image is there from its first part to its last.
#[derive(Debug)]
pub(crate) struct Shared {
    open: Mutex<BTreeMap<PathBuf, Open>>,
}

/// An image, and how many of its parts are still to come.
#[derive(Debug)]
struct Open {
    missing: usize,
    /// Threads that need it at once wait for the one that reads it.
    image: Arc<Mutex<Option<Arc<Image>>>>,
}

impl Shared {
    /// The images of a cohort, each of whose samples is read once.
    pub(crate) fn of(cohort: &Cohort) -> Self {
        let mut open: BTreeMap<PathBuf, Open> = BTreeMap::new();
        if Self::is_for(&cohort.extraction) {
            for sample in &cohort.samples {
                let image = open.entry(sample.file.path.clone());
                let image = image.or_insert_with(|| Open {
                    missing: 0,
                    image: Arc::default(),
                });
                image.missing += 1;
            }
        }
        Self {
            open: Mutex::new(open),
        }
    }

    /// Whether parts are cut when they are read.
    pub(crate) fn is_for(extraction: &Extraction) -> bool {
        !extraction.saved && extraction.parts.mode() != Mode::Image
    }

    /// An image for one of its parts.
    ///
    /// # Errors
    /// Those of `read`, which the next part meets again.
    pub(crate) fn read(
        &self,
        file: &InputFile,
        read: impl FnOnce() -> Result<Image, StageError>,
    ) -> Result<Arc<Image>, StageError> {
        let Some(cell) = self.cell(&file.path) else {
            return read().map(Arc::new);
        };
        let image = {
            let mut image = locked(&cell);
            match &*image {
                Some(image) => image.clone(),
                None => image.insert(Arc::new(read()?)).clone(),
            }
        };
        let mut open = locked(&self.open);
        if let Some(found) = open.get_mut(&file.path) {
            found.missing = found.missing.saturating_sub(1);
            if found.missing == 0 {
                open.remove(&file.path);
            }
        }
        Ok(image)
    }

    fn cell(&self, path: &Path) -> Option<Arc<Mutex<Option<Arc<Image>>>>> {
        locked(&self.open)
            .get(path)
            .map(|found| found.image.clone())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often whole images were read, by file.
#[cfg(test)]
pub(crate) mod reads {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    static READS: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

    pub(crate) fn note(path: &Path) {
        let mut reads = READS.lock().unwrap_or_else(PoisonError::into_inner);
        *reads.entry(path.to_owned()).or_default() += 1;
    }

    /// Of each file below a folder that was read, since they were asked for last.
    pub(crate) fn take(folder: &Path) -> Vec<usize> {
        let mut reads = READS.lock().unwrap_or_else(PoisonError::into_inner);
        let files = reads.keys().filter(|path| path.starts_with(folder));
        let files: Vec<PathBuf> = files.cloned().collect();
        files.iter().filter_map(|path| reads.remove(path)).collect()
    }
}
