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

/// One field of a parameter struct.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it can change.
    pub class: FieldClass,
    /// The value that does what was done before the field existed. A field that has it is left out
    /// of the key, so that results from before keep their names; the default may change later.
    pub neutral: Option<fn() -> Value>,
}

/// Implemented by [`crate::params!`] for every parameter struct.
pub trait Fields {
    /// Every field, in order of declaration.
    const FIELDS: &'static [Field];
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

/// Keeps the fields of `params` (with every default explicit) that belong to the key.
pub fn semantic(params: &Value, fields: &[Field]) -> Value {
    let Value::Object(values) = params else {
        return params.clone();
    };
    values
        .iter()
        .filter(|(name, value)| {
            fields.iter().any(|field| {
                field.name == *name
                    && field.class == FieldClass::Semantic
                    && field.neutral.is_none_or(|neutral| neutral() != **value)
            })
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
/// A field added to a stage that already has users names its neutral value, the one with which the
/// stage does what it did before. Old results then stay valid, and a later change of the default does
/// what it should: it computes anew.
///
/// ```
/// engine::params! {
///     pub struct Smooth {
///         /// Standard deviation of the Gaussian, in millimetres.
///         semantic sigma_mm: f64 = 2.0,
///         /// Number of times to smooth.
///         semantic(neutral = 1) passes: u32 = 1,
///     }
/// }
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
            $(
                $(#[$field_meta:meta])*
                $class:ident $( (neutral = $neutral:expr) )? $field:ident : $type:ty = $default:expr
            ),* $(,)?
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
            const FIELDS: &'static [$crate::params::Field] = &[
                $( $crate::params::Field {
                    name: stringify!($field),
                    class: $crate::field_class!($class),
                    neutral: $crate::neutral_value!($type $(, $neutral)?),
                }, )*
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

/// The neutral value written in [`params!`], as it looks among resolved parameters.
#[doc(hidden)]
#[macro_export]
macro_rules! neutral_value {
    ($type:ty) => {
        None
    };
    ($type:ty, $neutral:expr) => {
        Some(|| {
            let value: $type = $neutral;
            $crate::params::to_value(&value)
        })
    };
}

/// The JSON form of a parameter's value.
///
/// # Panics
/// The type has no JSON form, which its schema would have refused before.
#[doc(hidden)]
pub fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("parameters have a JSON form")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    crate::params! {
        /// Parameters of a test.
        struct Smooth {
            /// Width.
            semantic sigma: f64 = 2.0,
            /// Added in a later version.
            semantic(neutral = 1) passes: u32 = 3,
            /// Threads.
            resource threads: usize = 4,
            /// A title.
            cosmetic title: String = String::new(),
        }
    }

    #[test]
    fn a_neutral_value_is_not_in_the_key_and_a_default_that_is_not_neutral_is() {
        let key = |params: Smooth| semantic(&to_value(&params), Smooth::FIELDS);
        assert_eq!(key(Smooth::default()), json!({ "sigma": 2.0, "passes": 3 }));
        let before = Smooth {
            passes: 1,
            ..Smooth::default()
        };
        assert_eq!(key(before), json!({ "sigma": 2.0 }));
    }

    #[test]
    fn resources_and_titles_are_not_in_the_key() {
        let params = Smooth {
            threads: 9,
            title: "t".into(),
            ..Smooth::default()
        };
        assert_eq!(
            semantic(&to_value(&params), Smooth::FIELDS),
            semantic(&to_value(&Smooth::default()), Smooth::FIELDS)
        );
    }
}
