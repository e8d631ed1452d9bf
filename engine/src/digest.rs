//! Content digests: what identifies every artifact, input file and stored object.
//!
//! A [`Digest`] names bytes; an action key (see [`crate::key`]) names a computation.
//! The two are distinct types without a conversion, so that one can never be taken for the other.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes read at a time while hashing: large enough for sequential disks, small enough for caches.
const BUFFER: usize = 1 << 20;
/// From this size on, one file is worth all threads.
const LARGE: u64 = 256 << 20;
/// Bytes given to all threads at a time.
const LARGE_BUFFER: usize = 32 << 20;

thread_local! {
    static BUFFERS: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The BLAKE3 digest of some content, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests bytes held in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Digests a file's content and tells its size in bytes.
    ///
    /// # Errors
    /// Any error of opening or reading the file.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() >= LARGE {
            return Self::of_large_file(file);
        }
        BUFFERS.with_borrow_mut(|buffer| {
            buffer.resize(BUFFER, 0);
            let mut hasher = blake3::Hasher::new();
            let mut size = 0;
            loop {
                let read = file.read(buffer)?;
                if read == 0 {
                    return Ok((Self(*hasher.finalize().as_bytes()), size));
                }
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        })
    }

    /// The same with all threads on one file.
    fn of_large_file(mut file: File) -> io::Result<(Self, u64)> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; LARGE_BUFFER];
        let mut size = 0;
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                let read = file.read(&mut buffer[filled..])?;
                if read == 0 {
                    break;
                }
                filled += read;
            }
            if filled == 0 {
                return Ok((Self(*hasher.finalize().as_bytes()), size));
            }
            hasher.update_rayon(&buffer[..filled]);
            size += filled as u64;
        }
    }

    /// The first twelve digits, enough to tell artifacts apart in a message.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// A digest from its 32 bytes.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Digests content that comes in pieces: `update` with each, then `finish`.
#[derive(Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Digests what is written through it, as long as the bytes are in the cache.
#[derive(Debug)]
pub struct Digesting<W> {
    to: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Digesting<W> {
    /// Of what goes to `to`.
    pub fn new(to: W) -> Self {
        Self {
            to,
            hasher: Hasher::default(),
            size: 0,
        }
    }

    /// The digest of everything that was written, and its size in bytes.
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// What fits in a cache.
        const PIECE: usize = 1 << 18;
        let written = self.to.write(&bytes[..bytes.len().min(PIECE)])?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(digit(byte >> 4));
            text.push(digit(byte));
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// Twelve hexadecimal digits that stand for a text, the same wherever the salt is, and that tell
/// nothing of it to whoever lacks the salt.
pub fn pseudonym(salt: &[u8], text: &str) -> String {
    let key = blake3::derive_key("clinicadl 2026 pseudonym v1", salt);
    Digest(*blake3::keyed_hash(&key, text.as_bytes()).as_bytes()).short()
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: expected 64 hexadecimal digits")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| ParseDigestError(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_published_blake3_vector() {
        let expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").to_string(), expected);
        assert_eq!(expected.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn a_pseudonym_depends_on_text_and_salt_and_on_nothing_else() {
        let of = |salt: &str, text: &str| pseudonym(salt.as_bytes(), text);
        assert_eq!(of("s", "sub-001"), of("s", "sub-001"));
        assert_ne!(of("s", "sub-001"), of("s", "sub-002"));
        assert_ne!(of("s", "sub-001"), of("t", "sub-001"));
        assert_ne!(of("s", "sub-001"), Digest::of(b"sub-001").short());
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_refused() {
        assert!("af13".parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }
}
