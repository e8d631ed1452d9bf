//! Labelled random streams.
//!
//! Every random draw of an experiment comes from a stream named by what it is for:
//! the manifest's seed, the stage, the split, and labels such as the epoch and the purpose.
//! Two streams with different labels are independent; the same labels give the same numbers on any
//! machine, with any number of threads and in any order of execution.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A point in the tree of random streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream([u8; 32]);

impl Stream {
    /// The root stream of an experiment.
    pub fn root(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("clinicadl random stream v1");
        hasher.update(&seed.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The independent stream below this one named by `label`.
    pub fn child(&self, label: impl std::fmt::Display) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(label.to_string().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// A generator at the start of this stream.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// A 63-bit seed for generators of other libraries, never negative as an `i64`.
    pub fn seed(&self) -> u64 {
        let bytes = [
            self.0[0], self.0[1], self.0[2], self.0[3], self.0[4], self.0[5], self.0[6], self.0[7],
        ];
        u64::from_le_bytes(bytes) >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_one_stream_whatever_was_drawn_before() {
        let root = Stream::root(42);
        assert_eq!(root.child("epoch").child(3), root.child("epoch").child(3));
        assert_ne!(root.child("epoch").child(3), root.child("epoch").child(4));
        assert_ne!(root.child("a"), Stream::root(43).child("a"));
    }

    #[test]
    fn seeds_for_other_libraries_are_never_negative() {
        for i in 0..100 {
            assert!(i64::try_from(Stream::root(1).child(i).seed()).is_ok());
        }
    }
}
