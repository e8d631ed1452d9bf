//! The zip archive around a pickle, read with suspicion and written in one way only.
//!
//! Entries are looked up by name and never written to disk. Nothing compressed is accepted and no
//! bytes may belong to two entries, so what is read is never larger than the file.

use std::io::{self, Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::WeightsError;
use super::numbers::{Numbers, n_bytes};

/// The largest pickle accepted; a state dict needs some hundred bytes per tensor.
const MAX_PICKLE_BYTES: u64 = 16 << 20;

/// An archive of `torch.save` in memory.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    root: String,
    size_bytes: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        if !bytes.starts_with(b"PK\x03\x04") {
            return Err(WeightsError::NotAnArchive);
        }
        let damaged = |error: zip::result::ZipError| WeightsError::Archive(error.to_string());
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        if zip.has_duplicate_names() || zip.has_overlapping_files().map_err(damaged)? {
            return Err(WeightsError::OverlappingEntries);
        }
        let roots: Vec<String> = zip
            .file_names()
            .filter_map(|name| {
                let name = name.ok()?;
                let root = name.strip_suffix("/data.pkl")?;
                (!root.contains('/')).then(|| root.to_owned())
            })
            .collect();
        let [root] = roots.as_slice() else {
            return Err(WeightsError::Pickles(roots.len()));
        };
        let root = root.clone();
        let size_bytes = bytes.len() as u64;
        let mut archive = Self {
            zip,
            root,
            size_bytes,
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// The pickle.
    pub(super) fn pickle(&mut self) -> Result<Vec<u8>, WeightsError> {
        self.read("data.pkl", MAX_PICKLE_BYTES)
    }

    /// The bytes of a storage.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>, WeightsError> {
        self.read(&format!("data/{key}"), u64::MAX)
    }

    /// The names of all entries, in the order of the archive.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().filter_map(Result::ok);
        names.map(|name| name.into_owned()).collect()
    }

    /// The bytes of any entry, which must not be compressed.
    pub(super) fn entry(&mut self, name: &str) -> Result<Vec<u8>, WeightsError> {
        self.read_entry(name.to_owned(), u64::MAX)
    }

    /// The bytes of an entry as they are in the archive, and whether they are compressed.
    pub(super) fn raw(&mut self, name: &str) -> Result<(Vec<u8>, bool), WeightsError> {
        let Some(index) = self.zip.index_for_name(name) else {
            return Err(WeightsError::MissingEntry(name.to_owned()));
        };
        let damaged = |reason: String| WeightsError::DamagedEntry {
            entry: name.to_owned(),
            reason,
        };
        let raw = self.zip.by_index_raw(index);
        let mut raw = raw.map_err(|error| damaged(error.to_string()))?;
        let method = raw.compression();
        let is_deflated = method == CompressionMethod::DEFLATE;
        if !is_deflated && method != CompressionMethod::STORE {
            return Err(WeightsError::NotStored(name.to_owned()));
        }
        let mut bytes = Vec::new();
        raw.read_to_end(&mut bytes)
            .map_err(|error| damaged(error.to_string()))?;
        Ok((bytes, is_deflated))
    }

    /// Writers before PyTorch 2.1 do not tell, and were little-endian in practice.
    fn check_byte_order(&mut self) -> Result<(), WeightsError> {
        let order = match self.read("byteorder", 64) {
            Ok(order) => String::from_utf8_lossy(&order).into_owned(),
            Err(WeightsError::MissingEntry(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        match order.as_str() {
            "little" => Ok(()),
            _ => Err(WeightsError::ByteOrder(order)),
        }
    }

    fn read(&mut self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, WeightsError> {
        self.read_entry(format!("{}/{name}", self.root), limit_bytes)
    }

    fn read_entry(&mut self, entry: String, limit_bytes: u64) -> Result<Vec<u8>, WeightsError> {
        let Some(index) = self.zip.index_for_name(&entry) else {
            return Err(WeightsError::MissingEntry(entry));
        };
        let damaged = |reason: String| WeightsError::DamagedEntry {
            entry: entry.clone(),
            reason,
        };
        let raw = self.zip.by_index_raw(index);
        let raw = raw.map_err(|error| damaged(error.to_string()))?;
        let is_stored = raw.compression() == CompressionMethod::Stored && !raw.encrypted();
        if !is_stored || raw.size() != raw.compressed_size() {
            return Err(WeightsError::NotStored(entry));
        }
        let (size_bytes, limit_bytes) = (raw.size(), limit_bytes.min(self.size_bytes));
        drop(raw);
        if size_bytes > limit_bytes {
            return Err(WeightsError::EntryTooLarge {
                entry,
                size_bytes,
                limit_bytes,
            });
        }
        let file = self.zip.by_index(index);
        let mut file = file.map_err(|error| damaged(error.to_string()))?;
        let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
        file.read_to_end(&mut bytes)
            .map_err(|error| damaged(error.to_string()))?;
        if bytes.len() as u64 != size_bytes {
            return Err(damaged(format!(
                "has {} of {size_bytes} bytes",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

/// Writes an archive as `torch.save` lays it out.
///
/// # Determinism
/// The root has a fixed name and no entry a time, so equal content gives equal bytes.
pub(super) fn write(
    to: impl Write + Seek,
    pickle: &[u8],
    storages: &[&dyn Numbers],
) -> io::Result<()> {
    let mut zip = ZipWriter::new(to);
    start(&mut zip, "data.pkl", pickle.len())?;
    zip.write_all(pickle)?;
    for (name, text) in [
        (".format_version", "1"),
        (".storage_alignment", "64"),
        ("byteorder", "little"),
    ] {
        start(&mut zip, name, text.len())?;
        zip.write_all(text.as_bytes())?;
    }
    for (key, &data) in storages.iter().enumerate() {
        start(&mut zip, &format!("data/{key}"), n_bytes(data))?;
        data.write(&mut zip)?;
    }
    start(&mut zip, "version", 2)?;
    zip.write_all(b"3\n")?;
    zip.finish()?;
    Ok(())
}

/// Begins an entry of so many bytes.
fn start(zip: &mut ZipWriter<impl Write + Seek>, name: &str, size: usize) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .with_alignment(64)
        .large_file(u32::try_from(size).is_err());
    Ok(zip.start_file(format!("archive/{name}"), options)?)
}
