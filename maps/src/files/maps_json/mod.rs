//! `maps.json`: everything that a training was asked to do.
//!
//! The object is kept as it is, keys in their order and unknown keys included; what this program
//! uses is read through typed accessors. Files of older versions are brought up to date on reading.

mod retro;
mod training;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::MapsError;

use super::python::python_json;
use training::validation_scheme;

pub use training::TrainingParams;

/// More networks than this are a mistake: an image has fewer parts.
const MOST_NETWORKS: usize = 100_000;

/// The content of `maps.json`.
#[derive(Debug, Clone)]
pub struct MapsJson {
    file: String,
    fields: Map<String, Value>,
}

impl PartialEq for MapsJson {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl MapsJson {
    /// The parameters of a training, every key of ClinicaDL 1.6.1 in its order.
    pub fn of_training(params: &TrainingParams) -> Self {
        Self {
            file: "maps.json".to_owned(),
            fields: params.fields(),
        }
    }

    /// Reads the file and brings old names and missing keys up to date, as ClinicaDL 1.6.1 does.
    ///
    /// # Errors
    /// It is no JSON object, or its `preprocessing_dict` is none.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let mut fields = parse_object(bytes, file)?;
        retro::update(&mut fields);
        let maps_json = Self {
            file: file.to_owned(),
            fields,
        };
        maps_json.preprocessing()?;
        Ok(maps_json)
    }

    /// The same for a validation scheme of `count` splits: one split is no k-fold.
    #[must_use]
    pub fn with_splits(mut self, count: usize) -> Self {
        let count = if count > 1 { count as u64 } else { 0 };
        self.fields.insert("n_splits".to_owned(), count.into());
        self.fields
            .insert("validation".to_owned(), validation_scheme(count).into());
        self
    }

    /// The bytes of the file: four spaces, ASCII only, no newline at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        python_json(&Value::Object(self.fields.clone())).into_bytes()
    }

    /// Every key.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Name of the network, such as `Conv5_FC3`.
    ///
    /// # Errors
    /// The key is missing or of another type; so for the accessors below.
    pub fn architecture(&self) -> Result<&str, MapsError> {
        self.text("architecture")
    }

    /// `classification`, `regression` or `reconstruction`.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn network_task(&self) -> Result<&str, MapsError> {
        self.text("network_task")
    }

    /// `image`, `patch`, `roi` or `slice`.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn mode(&self) -> Result<&str, MapsError> {
        match self.fields.get("mode") {
            Some(_) => self.text("mode"),
            None => match self.preprocessing()?.get("mode") {
                Some(Value::String(mode)) => Ok(mode),
                Some(other) => Err(self.wrong("preprocessing_dict.mode", "a string", other)),
                None => Err(self.missing("mode")),
            },
        }
    }

    /// The column that was learned; a reconstruction has none.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn label(&self) -> Result<Option<&str>, MapsError> {
        match self.fields.get("label") {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text("label").map(Some),
        }
    }

    /// The code of each label; empty unless the task is a classification.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn label_code(&self) -> Result<IndexMap<String, i64>, MapsError> {
        let code = match self.fields.get("label_code") {
            None | Some(Value::Null) => return Ok(IndexMap::new()),
            Some(Value::Object(code)) => code,
            Some(other) => return Err(self.wrong("label_code", "an object", other)),
        };
        let pairs = code.iter().map(|(label, code)| match code.as_i64() {
            Some(number) => Ok((label.clone(), number)),
            None => Err(self.wrong(&format!("label_code.{label}"), "an integer", code)),
        });
        pairs.collect()
    }

    /// The metrics that selected models.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn selection_metrics(&self) -> Result<Vec<String>, MapsError> {
        self.texts("selection_metrics")
    }

    /// The values of `diagnosis` that were kept.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn diagnoses(&self) -> Result<Vec<String>, MapsError> {
        self.texts("diagnoses")
    }

    /// Shape of one input, channel first.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn input_size(&self) -> Result<Vec<usize>, MapsError> {
        let value = self.get("input_size")?;
        let sizes = value.as_array().and_then(|items| {
            let sizes = items
                .iter()
                .map(|item| usize::try_from(item.as_u64()?).ok());
            sizes.collect::<Option<Vec<usize>>>()
        });
        sizes.ok_or_else(|| self.wrong("input_size", "a list of sizes", value))
    }

    /// Number of networks where each part of an image has one of its own; `None` where one network learnt
    /// all parts.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn networks(&self) -> Result<Option<usize>, MapsError> {
        if !self.switch("multi_network")? {
            return Ok(None);
        }
        let value = self.get("num_networks")?;
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count
            .filter(|count| (1..=MOST_NETWORKS).contains(count))
            .map(Some)
            .ok_or_else(|| self.wrong("num_networks", "a number of networks", value))
    }

    /// Shape of the input of each network, where they differ; empty else.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn input_sizes(&self) -> Result<Vec<Vec<usize>>, MapsError> {
        let Some(value) = self.fields.get("input_sizes") else {
            return Ok(Vec::new());
        };
        serde_json::from_value(value.clone())
            .map_err(|_| self.wrong("input_sizes", "a list of shapes", value))
    }

    /// Number of outputs of the network.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn output_size(&self) -> Result<usize, MapsError> {
        let value = self.get("output_size")?;
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.wrong("output_size", "a size", value))
    }

    /// The extraction that prepared the images.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn preprocessing(&self) -> Result<&Map<String, Value>, MapsError> {
        match self.get("preprocessing_dict")? {
            Value::Object(fields) => Ok(fields),
            other => Err(self.wrong("preprocessing_dict", "an object", other)),
        }
    }

    /// The extraction that prepared the images of the target, where there are two domains.
    pub fn preprocessing_target(&self) -> Option<&Map<String, Value>> {
        self.fields.get("preprocessing_dict_target")?.as_object()
    }

    /// A number, such as `dropout`.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn number(&self, key: &str) -> Result<f64, MapsError> {
        let value = self.get(key)?;
        value
            .as_f64()
            .ok_or_else(|| self.wrong(key, "a number", value))
    }

    /// A switch, such as `normalize`.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn switch(&self, key: &str) -> Result<bool, MapsError> {
        let value = self.get(key)?;
        value
            .as_bool()
            .ok_or_else(|| self.wrong(key, "true or false", value))
    }

    /// A text, such as `loss`.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn text(&self, key: &str) -> Result<&str, MapsError> {
        let value = self.get(key)?;
        value
            .as_str()
            .ok_or_else(|| self.wrong(key, "a string", value))
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, MapsError> {
        let value = self.get(key)?;
        let texts = value.as_array().and_then(|items| {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>()
        });
        texts.ok_or_else(|| self.wrong(key, "a list of strings", value))
    }

    fn get(&self, key: &str) -> Result<&Value, MapsError> {
        self.fields.get(key).ok_or_else(|| self.missing(key))
    }

    fn missing(&self, key: &str) -> MapsError {
        MapsError::MissingKey {
            file: self.file.clone(),
            key: key.to_owned(),
        }
    }

    fn wrong(&self, key: &str, expected: &'static str, got: &Value) -> MapsError {
        wrong_value(&self.file, key, expected, got)
    }
}

/// Parses a JSON object.
pub(super) fn parse_object(bytes: &[u8], file: &str) -> Result<Map<String, Value>, MapsError> {
    let value = serde_json::from_slice(bytes).map_err(|error| MapsError::Json {
        file: file.to_owned(),
        reason: error.to_string(),
        line: error.line() as u64,
        column: error.column() as u64,
    })?;
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong_value(file, "", "an object", &other)),
    }
}

/// A value of the wrong type, shown short.
pub(super) fn wrong_value(file: &str, key: &str, expected: &'static str, got: &Value) -> MapsError {
    let text = got.to_string();
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    MapsError::Value {
        file: file.to_owned(),
        key: key.to_owned(),
        expected,
        got: shown,
    }
}
