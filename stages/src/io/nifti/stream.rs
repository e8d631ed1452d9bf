//! The bytes of a file, compressed or not; never more memory than the file can fill.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use engine::StageError;

use super::header::Header;
use super::truncated;
use crate::io::{gzip, spare};

/// How many bytes one byte of deflate can become at most.
const DEFLATE_MOST: u64 = 1032;
/// Compressed files that are larger than their voxels by more than this hold something else.
const COMPRESSED_MORE: u64 = 1 << 20;
/// Voxels of fewer bytes are not worth to read their file a second time.
const WORTH_A_SECOND_LOOK: usize = 1 << 16;

/// Where a file is.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// On the disk.
    File(&'a Path),
    /// In memory.
    Memory(&'a [u8]),
}

/// The decompressed bytes of a file.
pub(super) struct Stream<'a> {
    bytes: Bytes<'a>,
    origin: Origin<'a>,
    /// Bytes of the file.
    size: u64,
}

enum Bytes<'a> {
    Plain(Box<dyn BufRead + 'a>),
    Gzip(Box<gzip::Members<Box<dyn BufRead + 'a>>>),
}

impl<'a> Stream<'a> {
    /// Compression is recognised by content.
    pub(super) fn open(origin: Origin<'a>, shown: &str) -> Result<Self, StageError> {
        let (mut file, size): (Box<dyn BufRead + 'a>, u64) = match origin {
            Origin::Memory(bytes) => (Box::new(bytes), bytes.len() as u64),
            Origin::File(path) => {
                let failed = |e: std::io::Error| StageError::io("read", path, &e);
                let file = File::open(path).map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    return Err(StageError::new(format!("`{shown}` is not a file")));
                }
                let file = BufReader::with_capacity(1 << 18, file);
                (Box::new(file), metadata.len())
            }
        };
        let start = file.fill_buf().map_err(|e| match origin {
            Origin::File(path) => StageError::io("read", path, &e),
            Origin::Memory(_) => unreadable(shown, &e),
        })?;
        let bytes = if start.starts_with(&gzip::MAGIC) {
            Bytes::Gzip(Box::new(gzip::Members::new(file)))
        } else {
            Bytes::Plain(file)
        };
        Ok(Self {
            bytes,
            origin,
            size,
        })
    }

    /// Fills as much of `buffer` as there is.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader().read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    fn reader(&mut self) -> &mut dyn Read {
        match &mut self.bytes {
            Bytes::Plain(file) => file,
            Bytes::Gzip(members) => members,
        }
    }

    /// Reads to the end: the checksum is there, and a damaged file may decompress to something.
    pub(super) fn finish(mut self, shown: &str) -> Result<(), StageError> {
        if let Bytes::Gzip(members) = &mut self.bytes {
            std::io::copy(members, &mut std::io::sink()).map_err(|e| unreadable(shown, &e))?;
        }
        Ok(())
    }

    /// The bytes of all voxels, each `width` bytes wide, and where they start among what is returned;
    /// `used` bytes of the stream were read before.
    pub(super) fn voxels(
        mut self,
        header: &Header,
        used: u64,
        width: usize,
        shown: &str,
    ) -> Result<(Vec<u8>, usize), StageError> {
        let voxels = header.voxels();
        let wanted = voxels as u64 * width as u64;
        let is_gzip = matches!(self.bytes, Bytes::Gzip(_));
        if is_gzip && self.size.saturating_mul(DEFLATE_MOST) < wanted {
            let sizes = &header.sizes;
            let message = format!(
                "`{shown}` declares {sizes:?} voxels, more than a file of its size can hold"
            );
            return Err(StageError::new(message).hint("copy or make the file again"));
        }
        if is_gzip && let Some(found) = self.in_one_go(header.start, wanted) {
            return Ok(found);
        }
        let skip = header.start - used;
        let skipped = std::io::copy(&mut self.reader().take(skip), &mut std::io::sink())
            .map_err(|e| unreadable(shown, &e))?;
        let left = self.size.saturating_sub(header.start);
        if skipped < skip || (!is_gzip && left < wanted) {
            let found = if skipped < skip {
                0
            } else {
                left / width as u64
            };
            let found = usize::try_from(found).unwrap_or(usize::MAX);
            return Err(truncated(shown, found, voxels));
        }
        let mut bytes = Vec::new();
        if !is_gzip {
            bytes.reserve_exact(usize::try_from(wanted).unwrap_or(0));
        }
        self.reader()
            .take(wanted)
            .read_to_end(&mut bytes)
            .map_err(|e| unreadable(shown, &e))?;
        if (bytes.len() as u64) < wanted {
            return Err(truncated(shown, bytes.len() / width, voxels));
        }
        self.finish(shown)?;
        Ok((bytes, 0))
    }

    /// All bytes of an ordinary compressed image and where its voxels start.
    fn in_one_go(&self, start: u64, wanted: u64) -> Option<(Vec<u8>, usize)> {
        let all = start.checked_add(wanted)?;
        if self.size > all + COMPRESSED_MORE || self.size.saturating_mul(DEFLATE_MOST) < all {
            return None;
        }
        let (start, all) = (usize::try_from(start).ok()?, usize::try_from(all).ok()?);
        if all < WORTH_A_SECOND_LOOK {
            return None;
        }
        let mut bytes = spare::take(all);
        let is_whole = match self.origin {
            Origin::Memory(file) => gzip::only_member(file, &mut bytes),
            Origin::File(path) => {
                let mut file = spare::take(usize::try_from(self.size).ok()?);
                let read = File::open(path).and_then(|mut source| source.read_exact(&mut file));
                let is_whole = read.is_ok() && gzip::only_member(&file, &mut bytes);
                spare::give(file);
                is_whole
            }
        };
        is_whole.then_some((bytes, start))
    }
}

pub(super) fn unreadable(shown: &str, error: &std::io::Error) -> StageError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    if matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof) {
        let message = format!("`{shown}` is a truncated or damaged gzip file: {error}");
        StageError::new(message).hint("copy or make the file again")
    } else {
        StageError::new(format!("failed to read `{shown}`: {error}"))
    }
}
