//! From stored numbers to float32, with the header's scaling, in nibabel's arithmetic.

use engine::StageError;

use super::header::Header;
use crate::io::spare;

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

/// The voxels of an image, once their bytes are there.
pub(super) struct Decoder<'a> {
    header: &'a Header,
    scaling: Option<Scaling>,
    width: usize,
}

impl<'a> Decoder<'a> {
    /// # Errors
    /// The header's scaling is none, or its numbers are not real ones.
    pub(super) fn of(header: &'a Header, shown: &str) -> Result<Self, StageError> {
        let scaling = Scaling::of(header, shown)?;
        let Some(width) = header.width() else {
            let name = match header.datatype {
                32 | 1792 | 2048 => "complex numbers",
                128 | 2304 => "colours",
                1 => "single bits",
                1536 => "128-bit floating-point numbers",
                _ => "numbers of an unknown type",
            };
            let message = format!(
                "`{shown}` holds {name} (datatype {}), expected real numbers",
                header.datatype
            );
            return Err(StageError::new(message));
        };
        Ok(Self {
            header,
            scaling,
            width,
        })
    }

    /// Bytes of a voxel.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The volumes, each `[X, Y, Z]` with the last axis fastest.
    pub(super) fn decode(&self, bytes: &[u8]) -> Vec<Vec<f32>> {
        let scaling = self.scaling;
        let big = self.header.big_endian;
        macro_rules! numbers {
            ($type:ty, $plain:expr, $scaled:expr) => {{
                let plain = of_one::<$type, _>($plain);
                let scaled = of_two::<Scaling, $type, _>($scaled);
                let value = move |bytes: [u8; size_of::<$type>()]| {
                    if big {
                        <$type>::from_be_bytes(bytes)
                    } else {
                        <$type>::from_le_bytes(bytes)
                    }
                };
                match scaling {
                    None => self.arrange(bytes, |bytes| plain(value(bytes))),
                    Some(scaling) => self.arrange(bytes, |bytes| scaled(scaling, value(bytes))),
                }
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
        match self.header.datatype {
            2 => small!(u8),
            4 => small!(i16),
            8 => large!(i32, f64::from),
            16 => numbers!(f32, |v| v, |s, v| s.single(v)),
            64 => large!(f64, f64::from),
            256 => small!(i8),
            512 => small!(u16),
            768 => large!(u32, f64::from),
            1024 => large!(i64, (|v: i64| v as f64)),
            // The only other type that has a width.
            _ => large!(u64, (|v: u64| v as f64)),
        }
    }

    /// Converts numbers of `N` bytes, from the order on disk, first axis fastest, to the last axis fastest.
    fn arrange<const N: usize>(
        &self,
        bytes: &[u8],
        convert: impl Fn([u8; N]) -> f32,
    ) -> Vec<Vec<f32>> {
        let [nx, ny, nz] = self.header.shape();
        let (numbers, _) = bytes.as_chunks::<N>();
        let volume = |fortran: &[[u8; N]]| {
            let mut data = spare::take(fortran.len());
            // Tiles of x and z that stay in the cache: long rows to read, a cache line of each row to write.
            const ROW: usize = 256;
            const LINE: usize = 16;
            for x0 in (0..nx).step_by(ROW) {
                let x1 = (x0 + ROW).min(nx);
                for y in 0..ny {
                    for z0 in (0..nz).step_by(LINE) {
                        for z in z0..(z0 + LINE).min(nz) {
                            let row = &fortran[(z * ny + y) * nx..][x0..x1];
                            for (x, number) in (x0..).zip(row) {
                                data[(x * ny + y) * nz + z] = convert(*number);
                            }
                        }
                    }
                }
            }
            data
        };
        numbers.chunks_exact(nx * ny * nz).map(volume).collect()
    }
}

/// A function of a type that the compiler would otherwise not know, as itself: behind a pointer it would be
/// called for every voxel.
fn of_one<A, F: Fn(A) -> f32>(function: F) -> F {
    function
}

/// The same with two arguments.
fn of_two<A, B, F: Fn(A, B) -> f32>(function: F) -> F {
    function
}
