//! Arrays of numbers as they lie in a weights file: a shape and C-ordered elements.
//!
//! Every element type is one line of the table at the end: its name, its size, what PyTorch and
//! safetensors call it. The product of a shape is always the number of elements.

use std::io::{self, Write};

use super::WeightsError;

/// A dense array in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: ArrayData,
}

impl Array {
    /// An array of `shape`.
    ///
    /// # Errors
    /// The shape does not have as many elements as `data`.
    pub fn try_new(shape: Vec<usize>, data: ArrayData) -> Result<Self, WeightsError> {
        if n_elements(&shape) != Some(data.len()) {
            return Err(WeightsError::Shape {
                shape,
                n_elements: data.len(),
            });
        }
        Ok(Self { shape, data })
    }

    /// The shape; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in C order, without the shape.
    pub fn into_data(self) -> ArrayData {
        self.data
    }

    /// The elements in C order.
    pub fn data(&self) -> &ArrayData {
        &self.data
    }

    /// The elements, if they are float32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            ArrayData::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, ArrayData) {
        (self.shape, self.data)
    }
}

/// The number of elements of a shape, or `None` where it does not fit a `usize`.
pub(super) fn n_elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1_usize, |count, &axis| count.checked_mul(axis))
}

/// Elements that are converted at a time: what fits in a cache.
const PIECE: usize = 1 << 15;

macro_rules! element_types {
    ($($variant:ident: $type:ty, $size:literal bytes, $storage:literal, $safe:ident,
       $name:literal, $from:expr, $to:expr;)*) => {
        /// The type of an array's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Dtype {
            $(#[doc = $name] $variant,)*
        }

        /// The elements of an array.
        #[derive(Debug, Clone, PartialEq)]
        pub enum ArrayData {
            $(#[doc = concat!("Elements of type ", $name, ".")] $variant(Vec<$type>),)*
        }

        impl Dtype {
            /// Bytes of one element.
            pub const fn size(self) -> usize {
                match self { $(Self::$variant => $size,)* }
            }

            /// PyTorch's name, such as `float32`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// PyTorch's storage class in module `torch`, such as `FloatStorage`.
            pub(super) const fn storage(self) -> &'static str {
                match self { $(Self::$variant => $storage,)* }
            }

            pub(super) fn from_storage(name: &str) -> Option<Self> {
                match name { $($storage => Some(Self::$variant),)* _ => None }
            }

            pub(super) const fn to_safetensors(self) -> safetensors::Dtype {
                match self { $(Self::$variant => safetensors::Dtype::$safe,)* }
            }

            pub(super) const fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
                match dtype { $(safetensors::Dtype::$safe => Some(Self::$variant),)* _ => None }
            }
        }

        impl ArrayData {
            /// The element type.
            pub const fn dtype(&self) -> Dtype {
                match self { $(Self::$variant(_) => Dtype::$variant,)* }
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            /// Writes the elements as little-endian bytes.
            pub(super) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
                match self {
                    $(Self::$variant(values) => {
                        let convert: fn($type) -> [u8; $size] = $to;
                        let mut bytes = vec![[0; $size]; PIECE.min(values.len())];
                        for piece in values.chunks(PIECE) {
                            let places = &mut bytes[..piece.len()];
                            places.iter_mut().zip(piece).for_each(|(place, &value)| *place = convert(value));
                            to.write_all(places.as_flattened())?;
                        }
                        Ok(())
                    })*
                }
            }

            /// Elements from little-endian bytes; an incomplete last element is left out.
            pub(super) fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Self {
                match dtype {
                    $(Dtype::$variant => {
                        let from: fn([u8; $size]) -> $type = $from;
                        let (elements, _) = bytes.as_chunks::<$size>();
                        Self::$variant(elements.iter().map(|&element| from(element)).collect())
                    })*
                }
            }
        }
    };
}

element_types! {
    F32: f32, 4 bytes, "FloatStorage", F32, "float32", f32::from_le_bytes, f32::to_le_bytes;
    F64: f64, 8 bytes, "DoubleStorage", F64, "float64", f64::from_le_bytes, f64::to_le_bytes;
    F16: half::f16, 2 bytes, "HalfStorage", F16, "float16",
        half::f16::from_le_bytes, half::f16::to_le_bytes;
    BF16: half::bf16, 2 bytes, "BFloat16Storage", BF16, "bfloat16",
        half::bf16::from_le_bytes, half::bf16::to_le_bytes;
    I64: i64, 8 bytes, "LongStorage", I64, "int64", i64::from_le_bytes, i64::to_le_bytes;
    I32: i32, 4 bytes, "IntStorage", I32, "int32", i32::from_le_bytes, i32::to_le_bytes;
    I16: i16, 2 bytes, "ShortStorage", I16, "int16", i16::from_le_bytes, i16::to_le_bytes;
    I8: i8, 1 bytes, "CharStorage", I8, "int8", i8::from_le_bytes, i8::to_le_bytes;
    U8: u8, 1 bytes, "ByteStorage", U8, "uint8", u8::from_le_bytes, u8::to_le_bytes;
    Bool: bool, 1 bytes, "BoolStorage", BOOL, "bool",
        |[byte]| byte != 0, |value| [u8::from(value)];
}

impl ArrayData {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
