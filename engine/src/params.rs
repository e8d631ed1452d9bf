//! Parameters of stages: typed, documented, and each field classified.
//!
//! The class of a field decides whether it belongs to the action key (see [`crate::key`]).
//! A field without a class does not compile: forgetting one would mean stale results.

use serde_json::Value;

/// What a parameter field can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldClass {
    /// It can change the bytes of an output: part of the action key.
    Semantic,
    /// It changes how much of the machine is used, never the result: not in the key.
    Resource,
    /// It changes what is shown, never the result: not in the key.
    Cosmetic,
}

/// Implemented by [`crate::params!`] for every parameter struct.
pub trait Fields {
    /// Every field with its class, in order of declaration.
    const CLASSES: &'static [(&'static str, FieldClass)];
}

/// What a stage's parameters must be able to do; satisfied by [`crate::params!`].
pub trait StageParams:
    Fields
    + Default
    + Clone
    + serde::Serialize
    + serde::de::DeserializeOwned
    + schemars::JsonSchema
    + Send
    + Sync
    + 'static
{
}

impl<T> StageParams for T where
    T: Fields
        + Default
        + Clone
        + serde::Serialize
        + serde::de::DeserializeOwned
        + schemars::JsonSchema
        + Send
        + Sync
        + 'static
{
}

/// Keeps the fields of `params` (with every default explicit) that are semantic.
pub fn semantic(params: &Value, classes: &[(&str, FieldClass)]) -> Value {
    let Value::Object(fields) = params else {
        return params.clone();
    };
    fields
        .iter()
        .filter(|(name, _)| {
            classes
                .iter()
                .any(|(field, class)| field == name && *class == FieldClass::Semantic)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Declares a parameter struct: each field has documentation, a class, a type and a default.
///
/// ```
/// engine::params! {
///     /// Parameters of a stage that smooths images.
///     pub struct Smooth {
///         /// Standard deviation of the Gaussian, in millimetres.
///         #[schemars(range(min = 0))]
///         semantic sigma_mm: f64 = 2.0,
///         /// Images held in memory at once.
///         resource images_in_memory: usize = 4,
///     }
/// }
/// assert_eq!(Smooth::default().sigma_mm, 2.0);
/// ```
///
/// A field without a class is a compile error:
///
/// ```compile_fail
/// engine::params! {
///     pub struct Smooth { sigma_mm: f64 = 2.0 }
/// }
/// ```
#[macro_export]
macro_rules! params {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $class:ident $field:ident : $type:ty = $default:expr ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $( $(#[$field_meta])* $vis $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::params::Fields for $name {
            const CLASSES: &'static [(&'static str, $crate::params::FieldClass)] = &[
                $( (stringify!($field), $crate::field_class!($class)), )*
            ];
        }
    };
}

/// Turns the class written in [`params!`] into a [`FieldClass`].
#[doc(hidden)]
#[macro_export]
macro_rules! field_class {
    (semantic) => {
        $crate::params::FieldClass::Semantic
    };
    (resource) => {
        $crate::params::FieldClass::Resource
    };
    (cosmetic) => {
        $crate::params::FieldClass::Cosmetic
    };
}
