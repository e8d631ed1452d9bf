//! TensorBoard event files: numbers by step.
//!
//! A file is a sequence of records, each with its length and two checksums; a record is a protocol
//! buffer `Event`. Wall times are left at 0: they would make equal trainings differ.
//!
//! # Source
//! TensorFlow `core/util/event.proto`, `core/framework/summary.proto`, `core/lib/io/record_writer.cc`.

use crc::{CRC_32_ISCSI, Crc};

/// The checksum of records, Castagnoli's.
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What is added to a rotated checksum, so that checksums of checksums are none.
const MASK: u32 = 0xa282_ead8;

/// The name that TensorBoard knows an event file by.
pub const EVENT_FILE: &str = "events.out.tfevents.0.clinicadl";

/// An event file that grows.
#[derive(Debug, Clone)]
pub struct EventFile {
    bytes: Vec<u8>,
}

impl Default for EventFile {
    fn default() -> Self {
        let mut file = Self { bytes: Vec::new() };
        file.record(&field(3, b"brain.Event:2"));
        file
    }
}

impl EventFile {
    /// Adds a number; numbers that are none are left out, as TensorBoard cannot draw them.
    pub fn add(&mut self, step: u64, tag: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the format has float32")]
        let simple = value as f32;
        let mut inner = field(1, tag.as_bytes());
        // Field 2, four bytes.
        inner.push(2 << 3 | 5);
        inner.extend(simple.to_le_bytes());
        let summary = field(1, &inner);
        let mut event = Vec::new();
        if step > 0 {
            // Field 2, a number; 0 is what its absence means.
            event.push(2 << 3);
            event.extend(varint(step));
        }
        event.extend(field(5, &summary));
        self.record(&event);
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn record(&mut self, data: &[u8]) {
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked(&length).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.extend(masked(data).to_le_bytes());
    }
}

fn masked(data: &[u8]) -> u32 {
    CHECKSUM.checksum(data).rotate_right(15).wrapping_add(MASK)
}

/// A field of a protocol buffer that has a length.
fn field(number: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    bytes.extend(varint(data.len() as u64));
    bytes.extend(data);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by TensorBoard 2.21 (`tests/reference/maps/events.py`), wall times 0.
    #[test]
    fn a_file_is_the_one_that_tensorboard_writes() {
        let expected = include_bytes!("../../../tests/reference/maps/events.out.tfevents");
        let mut file = EventFile::default();
        file.add(0, "loss", 0.693_25);
        file.add(300, "BA", 0.5);
        file.add(300, "loss", f64::NAN);
        file.add(5_000_000_000, "a longer tag with spaces", -1.5e-7);
        assert_eq!(file.to_bytes(), expected);
    }
}
