//! What a manifest chooses besides the type of images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A map of a diffusion tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DtiMeasure {
    /// Fractional anisotropy.
    Fa,
    /// Mean diffusivity.
    Md,
    /// Axial diffusivity.
    Ad,
    /// Radial diffusivity.
    Rd,
}

/// The space of maps of a diffusion tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DtiSpace {
    /// That of the session's own image.
    Native,
    /// MNI space.
    Normalized,
}

/// The region whose mean uptake is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SuvrRegion {
    /// Pons.
    Pons,
    /// Cerebellum and pons.
    CerebellumPons,
    /// Pons, of the masks of 2021.
    Pons2,
    /// Cerebellum and pons, of the masks of 2021.
    CerebellumPons2,
}

/// A tissue of SPM's segmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tissue {
    /// Grey matter.
    GrayMatter,
    /// White matter.
    WhiteMatter,
    /// Cerebrospinal fluid.
    Csf,
}

/// What is chosen; every field that a type does not use is unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Whole images rather than those cut to the brain's surroundings.
    pub use_uncropped_image: bool,
    /// The PET tracer, such as `18FFDG`.
    pub tracer: Option<String>,
    /// The reference region of PET.
    pub suvr_reference_region: Option<SuvrRegion>,
    /// The map of a diffusion tensor; FA if unset.
    pub dti_measure: Option<DtiMeasure>,
    /// The space of that map; native if unset.
    pub dti_space: Option<DtiSpace>,
    /// The end of the names of images of one's own.
    pub custom_suffix: Option<String>,
    /// The tissue; grey matter if unset.
    pub tissue: Option<Tissue>,
    /// Whether tissue maps are modulated by the change of volume; false if unset.
    pub modulated: Option<bool>,
    /// The DARTEL group template that tissue maps were registered to; none for Ixi549Space alone.
    pub group_label: Option<String>,
    /// Full width at half maximum of the smoothing of tissue maps, in millimetres; none for unsmoothed.
    pub fwhm_mm: Option<u32>,
}

macro_rules! fields {
    ($($variant:ident: $name:ident),* $(,)?) => {
        /// A field of a [`Choice`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", stringify!($name), "`.")] $variant,)*
        }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in manifests.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// Whether a choice has it.
            pub fn is_set(self, choice: &Choice) -> bool {
                !matches!(self.value(choice), Value::Null | Value::Bool(false))
            }

            /// Its value, as extraction files hold it.
            pub fn value(self, choice: &Choice) -> Value {
                match self { $(Self::$variant => json!(choice.$name),)* }
            }
        }
    };
}

fields! {
    UseUncroppedImage: use_uncropped_image,
    CustomSuffix: custom_suffix,
    Tracer: tracer,
    SuvrReferenceRegion: suvr_reference_region,
    DtiSpace: dti_space,
    DtiMeasure: dti_measure,
    Tissue: tissue,
    Modulated: modulated,
    GroupLabel: group_label,
    FwhmMm: fwhm_mm,
}

impl Choice {
    /// The entries of an extraction file that tell the choice of a type with these fields.
    pub fn record(&self, fields: &[Field]) -> Map<String, Value> {
        fields
            .iter()
            .filter(|field| **field != Field::UseUncroppedImage)
            .map(|field| (field.name().to_owned(), field.value(self)))
            .collect()
    }

    pub(super) fn tracer(&self) -> &str {
        self.tracer.as_deref().unwrap_or_default()
    }
}

/// The name of a value in files.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
