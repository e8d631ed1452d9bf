//! Gzip streams of one or several members, as compressors in parallel and block compressors write them.
//!
//! Zeros or other bytes after the last member are ignored, as `gzip` does: they come from storage that
//! pads files. Every member's checksum is verified when its end is reached.

use std::io::{BufRead, Read, Result};

use flate2::bufread::GzDecoder;
use libdeflater::{CompressionError, CompressionLvl, Compressor, Decompressor};

/// The first two bytes of every member.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decompressed bytes of all members, one after the other.
pub struct Members<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// Members of a stream that starts with one.
    pub fn new(stream: R) -> Self {
        Self {
            member: Some(GzDecoder::new(stream)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if let Some(ended) = self.member.take() {
                let mut stream = ended.into_inner();
                if stream.fill_buf()?.first() == Some(&MAGIC[0]) {
                    self.member = Some(GzDecoder::new(stream));
                }
            }
        }
        Ok(0)
    }
}

/// Decompresses a file whose one member has exactly as many bytes as `bytes` and ends with the file, in
/// one go, which takes half as long as reading it in pieces. False for any other file, damaged ones among
/// them: what is wrong with it is found out by reading its [`Members`].
pub fn only_member(file: &[u8], bytes: &mut [u8]) -> bool {
    let Some(&end) = file.last_chunk::<4>() else {
        return false;
    };
    // The decompressor verifies the checksum, but does not tell where the member ended: with the file, if
    // these bytes are its length modulo 2^32.
    let filled = Decompressor::new().gzip_decompress(file, bytes);
    filled.is_ok_and(|filled| filled == bytes.len())
        && end == bytes.len().to_le_bytes()[..size_of_val(&end)]
}

/// Compresses bytes to one member, quickly and not far. Equal bytes give equal members.
///
/// # Errors
/// The compressor wants more room than it said.
pub fn one_member(bytes: &[u8]) -> std::result::Result<Vec<u8>, CompressionError> {
    // 0 is no compression at all.
    let level = CompressionLvl::new(1).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    let mut member = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let length = compressor.gzip_compress(bytes, &mut member)?;
    member.truncate(length);
    Ok(member)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn in_one_go(file: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        only_member(file, &mut bytes).then_some(bytes)
    }

    fn all(stream: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Members::new(stream).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn members_follow_one_another_and_padding_is_ignored() {
        let mut stream = member(b"one ");
        stream.extend(member(b""));
        stream.extend(member(b"two"));
        assert_eq!(all(&stream).unwrap(), b"one two");
        stream.extend([0; 100]);
        assert_eq!(all(&stream).unwrap(), b"one two");
    }

    #[test]
    fn what_is_compressed_reads_back() {
        let bytes: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| (n % 977 * (n % 13)).to_le_bytes())
            .collect();
        let member = one_member(&bytes).unwrap();
        assert!(member.len() < bytes.len());
        assert_eq!(all(&member).unwrap(), bytes);
        assert_eq!(in_one_go(&member, bytes.len()).unwrap(), bytes);
        assert_eq!(all(&one_member(b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn in_one_go_is_only_one_member_of_the_size_that_ends_with_the_file() {
        let whole = member(b"some bytes");
        assert_eq!(in_one_go(&whole, 10).unwrap(), b"some bytes");
        for size in [0, 9, 11, 1 << 20] {
            assert_eq!(in_one_go(&whole, size), None, "{size} bytes");
        }
        for (first, second) in [(&b"some bytes"[..], &b""[..]), (b"", b"some bytes")] {
            let mut several = member(first);
            several.extend(member(second));
            assert_eq!(in_one_go(&several, 10), None);
        }
        let mut padded = whole.clone();
        padded.extend([0; 8]);
        assert_eq!(in_one_go(&padded, 10), None);
        for length in 0..whole.len() {
            assert_eq!(in_one_go(&whole[..length], 10), None);
        }
    }

    #[test]
    fn a_wrong_checksum_and_a_missing_end_are_errors() {
        let whole = member(b"some bytes");
        let mut wrong = whole.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert!(all(&wrong).is_err());
        assert_eq!(in_one_go(&wrong, 10), None);
        for length in 0..whole.len() {
            assert!(all(&whole[..length]).is_err(), "{length} bytes");
            assert_eq!(in_one_go(&whole[..length], 10), None, "{length} bytes");
        }
        assert_eq!(
            all(&whole[..whole.len() - 1]).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
    }
}
