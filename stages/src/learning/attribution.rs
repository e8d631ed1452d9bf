//! What a manifest can say of attribution methods: their names and options.

use std::borrow::Cow;

use engine::ParamIssue;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::options::{Kind, Named, NamedOptions, Options, within};

engine::params! {
    /// Gradient of the output with respect to the image.
    pub struct Gradients {}
}

engine::params! {
    /// The gradient, times the image.
    pub struct GradientInput {}
}

engine::params! {
    /// The gradient, of which every ReLU passes on what is positive only.
    pub struct GuidedBackprop {}
}

engine::params! {
    /// Where the maps of a layer speak for the output.
    pub struct GradCam {
        /// The layer by its name, as the state dict has it: `convolutions.12`, or `convolutions` for the last
        /// of those. Empty (default): what `level` says.
        semantic layer: String = String::new(),
        /// The layer, counted from 1 in the order of computation; 0 (default): the last that gives a map of
        /// more than one voxel.
        semantic level: u32 = 0,
    }
}

engine::params! {
    /// The gradient, averaged on the way from a baseline to the image, times the difference of both.
    pub struct IntegratedGradients {
        /// Points on the way, 1 to 1000. Default 50.
        #[schemars(range(min = 1, max = 1000))]
        semantic n_steps: u32 = 50,
        /// Intensity of the baseline, as the network sees it. Default 0.
        semantic baseline: f64 = 0.0,
    }
}

engine::params! {
    /// The gradient, averaged over noisy copies of the image.
    pub struct SmoothGrad {
        /// Copies, 1 to 1000. Default 25.
        #[schemars(range(min = 1, max = 1000))]
        semantic n_samples: u32 = 25,
        /// Standard deviation of the noise, by the range of the image, at least 0. Default 0.15.
        #[schemars(range(min = 0.0))]
        semantic noise_level: f64 = 0.15,
    }
}

engine::params! {
    /// How much the output falls where a cube of the image is covered.
    pub struct Occlusion {
        /// Voxels along each edge of the cube, at least 1. Default 16.
        #[schemars(range(min = 1))]
        semantic window: u32 = 16,
        /// Voxels from one cube to the next, at least 1 and at most `window`. Default 8.
        #[schemars(range(min = 1))]
        semantic stride: u32 = 8,
        /// Intensity of the cube, as the network sees it. Default 0.
        semantic value: f64 = 0.0,
    }
}

macro_rules! checks {
    ($($type:ident: |$options:ident| $problems:expr;)*) => {
        $(impl NamedOptions for $type {
            fn problems(&self) -> Vec<ParamIssue> {
                let $options = self;
                $problems
            }
        })*
    };
}

checks! {
    Gradients: |_options| Vec::new();
    GradientInput: |_options| Vec::new();
    GuidedBackprop: |_options| Vec::new();
    GradCam: |options| match options.level {
        0 => Vec::new(),
        _ if options.layer.is_empty() => Vec::new(),
        _ => vec![ParamIssue::new("level", "expected none beside `layer`: both choose the layer")],
    };
    IntegratedGradients: |options| within(&[
        ("n_steps", options.n_steps.into(), 1.0, 1000.0),
    ]);
    SmoothGrad: |options| within(&[
        ("n_samples", options.n_samples.into(), 1.0, 1000.0),
        ("noise_level", options.noise_level, 0.0, f64::MAX),
    ]);
    Occlusion: |options| {
        let mut problems = within(&[("window", options.window.into(), 1.0, f64::MAX)]);
        if !(1..=options.window).contains(&options.stride) {
            let message = format!("expected 1 to `window`, got {}", options.stride);
            problems.push(ParamIssue::new("stride", message));
        }
        problems
    };
}

/// Every attribution method, sorted by name.
pub static ATTRIBUTIONS: &[(&str, Options)] = &[
    ("GradCAM", Options::of::<GradCam>()),
    ("GradientInput", Options::of::<GradientInput>()),
    ("GuidedBackprop", Options::of::<GuidedBackprop>()),
    ("IntegratedGradients", Options::of::<IntegratedGradients>()),
    ("Occlusion", Options::of::<Occlusion>()),
    ("SmoothGrad", Options::of::<SmoothGrad>()),
    ("gradients", Options::of::<Gradients>()),
];

/// The kind of things in [`ATTRIBUTIONS`].
pub struct Attributions;

impl Kind for Attributions {
    const WHAT: &'static str = "method";
    const DEFAULT: &'static str = "gradients";

    fn all() -> Vec<(&'static str, &'static Options)> {
        ATTRIBUTIONS
            .iter()
            .map(|(name, options)| (*name, options))
            .collect()
    }
}

/// An attribution method: its name, or its name and options.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Given")]
pub struct MethodParams(Named<Attributions>);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of an attribution method, or a name and options"
)]
enum Given {
    Name(String),
    Named(Named<Attributions>),
}

impl From<Given> for MethodParams {
    fn from(given: Given) -> Self {
        match given {
            Given::Name(name) => Self(Named::new(&name, serde_json::Map::new())),
            Given::Named(named) => Self(named),
        }
    }
}

impl MethodParams {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What is wrong with the name or the options; fields are relative to it.
    pub fn problems(&self) -> Vec<ParamIssue> {
        self.0.problems()
    }

    /// Its options as their own type.
    pub fn options<O: NamedOptions>(&self) -> O {
        self.0.options()
    }

    /// Whether it draws random numbers.
    pub fn is_random(&self) -> bool {
        self.name() == "SmoothGrad"
    }
}

/// A method without options is its name, as it was before there were any: keys stay.
impl Serialize for MethodParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.complete() {
            Ok(options) if options.is_empty() => self.0.name.serialize(serializer),
            _ => self.0.serialize(serializer),
        }
    }
}

impl JsonSchema for MethodParams {
    fn schema_name() -> Cow<'static, str> {
        "AttributionMethod".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = ATTRIBUTIONS.iter().map(|(name, _)| *name).collect();
        let named = Value::from(generator.subschema_for::<Named<Attributions>>());
        schemars::json_schema!({
            "description": "An attribution method by its name, or by its name with options.",
            "anyOf": [json!({ "type": "string", "enum": names }), named],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(value: Value) -> MethodParams {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_name_alone_means_its_defaults_and_a_method_without_options_is_its_name() {
        let text = |value: Value| serde_json::to_value(method(value)).unwrap();
        assert_eq!(text(json!("gradients")), json!("gradients"));
        assert_eq!(text(json!({ "name": "gradients" })), json!("gradients"));
        assert_eq!(text(json!({})), json!("gradients"));
        let complete = json!({ "name": "IntegratedGradients", "n_steps": 50, "baseline": 0.0 });
        assert_eq!(text(json!("IntegratedGradients")), complete);
        assert_eq!(method(complete.clone()), method(text(complete)));
    }

    #[test]
    fn every_wrong_option_is_told() {
        let told = |value: Value| -> Vec<String> {
            let issues = method(value).problems().into_iter();
            issues.map(|issue| issue.field).collect()
        };
        let wrong = json!({ "name": "Occlusion", "window": 4, "stride": 5 });
        assert_eq!(told(wrong), ["stride"]);
        let wrong = json!({ "name": "SmoothGrad", "n_samples": 0, "noise_level": -1 });
        assert_eq!(told(wrong), ["n_samples", "noise_level"]);
        assert_eq!(told(json!({ "name": "GradCAM", "levle": 3 })), ["levle"]);
        let wrong = json!({ "name": "GradCAM", "layer": "convolutions", "level": 3 });
        assert_eq!(told(wrong), ["level"]);
        assert_eq!(told(json!("Gradients")), ["name"]);
        assert!(ATTRIBUTIONS.is_sorted_by_key(|(name, _)| *name));
    }
}
