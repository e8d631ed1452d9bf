//! From stored numbers to float32, with the header's scaling, in nibabel's arithmetic.

use std::io::Read;

use engine::StageError;

use super::header::Header;
use super::{read_up_to, truncated, unreadable};

/// Bytes decoded at a time.
const CHUNK: usize = 1 << 20;

/// How one stored number becomes a float32. Adding 0 is left out: it would turn -0 into 0.
#[derive(Clone, Copy)]
struct Scaling {
    slope: f64,
    inter: f64,
    /// Both as float32, where it can hold them.
    single: Option<[f32; 2]>,
}

impl Scaling {
    /// None for the identity and for slopes that mean "not scaled" (zero, infinite, NaN).
    fn of(header: &Header, shown: &str) -> Result<Option<Self>, StageError> {
        let (slope, inter) = (header.slope, header.inter);
        if slope == 0.0 || !slope.is_finite() {
            return Ok(None);
        }
        if !inter.is_finite() {
            let message = format!("`{shown}`: scl_inter is {inter} while scl_slope is {slope}");
            return Err(StageError::new(message));
        }
        #[expect(clippy::float_cmp, reason = "exactly the identity is left out")]
        Ok((slope != 1.0 || inter != 0.0).then(|| {
            let single = [slope, inter].map(narrow);
            Self {
                slope,
                inter,
                single: single.iter().all(|v| v.is_finite()).then_some(single),
            }
        }))
    }

    /// Small integers and float32: arithmetic in float32 if that can hold slope and intercept.
    fn single(self, value: f32) -> f32 {
        match self.single {
            None => self.double(f64::from(value)),
            Some([slope, 0.0]) => value * slope,
            Some([slope, inter]) => value * slope + inter,
        }
    }

    /// Large integers and float64: arithmetic in float64, rounded once at the end.
    fn double(self, value: f64) -> f32 {
        let (slope, inter) = match self.single {
            // They are rounded to float32 first, where that is possible.
            Some([slope, inter]) => (f64::from(slope), f64::from(inter)),
            None => (self.slope, self.inter),
        };
        let scaled = value * slope;
        narrow(if inter == 0.0 { scaled } else { scaled + inter })
    }

    /// Whether float32 can hold the scaled extremes of an integer type.
    fn fits_single(self, least: f32, most: f32) -> bool {
        self.single(least).is_finite() && self.single(most).is_finite()
    }
}

/// The nearest float32.
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Reads all voxels in the order of the file.
pub(super) fn read(
    stream: &mut impl Read,
    header: &Header,
    known: Option<u64>,
    shown: &str,
) -> Result<Vec<f32>, StageError> {
    let scaling = Scaling::of(header, shown)?;
    let big = header.big_endian;
    let voxels = header.voxels();
    macro_rules! numbers {
        ($type:ty, $plain:expr, $scaled:expr) => {{
            let plain: fn($type) -> f32 = $plain;
            let scaled: fn(Scaling, $type) -> f32 = $scaled;
            decode(
                stream,
                voxels,
                known,
                shown,
                |bytes: [u8; size_of::<$type>()]| {
                    let value = if big {
                        <$type>::from_be_bytes(bytes)
                    } else {
                        <$type>::from_le_bytes(bytes)
                    };
                    match scaling {
                        None => plain(value),
                        Some(scaling) => scaled(scaling, value),
                    }
                },
            )
        }};
    }
    macro_rules! small {
        ($type:ty) => {{
            let (least, most) = (f32::from(<$type>::MIN), f32::from(<$type>::MAX));
            if scaling.is_none_or(|s| s.fits_single(least, most)) {
                numbers!($type, |v| f32::from(v), |s, v| s.single(f32::from(v)))
            } else {
                numbers!($type, |v| f32::from(v), |s, v| s.double(f64::from(v)))
            }
        }};
    }
    // Whole numbers go through float64 on the way to float32, as in nibabel.
    macro_rules! large {
        ($type:ty, $wide:expr) => {
            numbers!($type, |v| narrow($wide(v)), |s, v| s.double($wide(v)))
        };
    }
    match header.datatype {
        2 => small!(u8),
        4 => small!(i16),
        8 => large!(i32, f64::from),
        16 => numbers!(f32, |v| v, |s, v| s.single(v)),
        64 => large!(f64, f64::from),
        256 => small!(i8),
        512 => small!(u16),
        768 => large!(u32, f64::from),
        1024 => large!(i64, (|v: i64| v as f64)),
        1280 => large!(u64, (|v: u64| v as f64)),
        other => {
            let name = match other {
                32 | 1792 | 2048 => "complex numbers",
                128 | 2304 => "colours",
                1 => "single bits",
                1536 => "128-bit floating-point numbers",
                _ => "numbers of an unknown type",
            };
            let message =
                format!("`{shown}` holds {name} (datatype {other}), expected real numbers");
            Err(StageError::new(message))
        }
    }
}

/// Decodes numbers of `N` bytes; memory grows with what is really there.
fn decode<const N: usize>(
    stream: &mut impl Read,
    voxels: usize,
    known: Option<u64>,
    shown: &str,
    convert: impl Fn([u8; N]) -> f32,
) -> Result<Vec<f32>, StageError> {
    if let Some(known) = known
        && known < (voxels * N) as u64
    {
        let found = usize::try_from(known).unwrap_or(usize::MAX) / N;
        return Err(truncated(shown, found, voxels));
    }
    let mut values = Vec::new();
    if known.is_some() {
        values.reserve_exact(voxels);
    }
    let mut chunk = vec![0; CHUNK];
    while values.len() < voxels {
        let wanted = ((voxels - values.len()) * N).min(CHUNK);
        let filled = read_up_to(stream, &mut chunk[..wanted]).map_err(|e| unreadable(shown, &e))?;
        let (numbers, _) = chunk[..filled].as_chunks::<N>();
        values.extend(numbers.iter().map(|bytes| convert(*bytes)));
        if filled < wanted {
            return Err(truncated(shown, values.len(), voxels));
        }
    }
    Ok(values)
}
