//! The REST API 2.0 of MLflow, as much of it as telling finished trainings takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ::remote::api::{Api, ApiError, Credentials};
use engine::remote::RemoteError;
use serde_json::{Map, Value, json};

use super::training::{Metric, Training};

const REST: &str = "api/2.0/mlflow";
/// Where a server takes the files of runs whose place begins with [`PROXIED`].
const FILES: &str = "api/2.0/mlflow-artifacts/artifacts";
const PROXIED: &str = "mlflow-artifacts:/";
/// What one request may log: servers take 1000 metrics, 100 params and 100 tags.
const BATCH: usize = 100;
/// Longest values of params and tags that every version takes.
const LONGEST_PARAM: usize = 500;
const LONGEST_TAG: usize = 5000;
const LONGEST_NAME: usize = 250;

/// By which a training is found again.
const KEY: &str = "clinicadl.key";
/// What was told of it, when all of it was.
const TOLD: &str = "clinicadl.told";
/// Whether the metrics of its epochs were.
const COURSE: &str = "clinicadl.course";

/// A server.
#[derive(Debug)]
pub(crate) struct Mlflow {
    api: Api,
}

/// What became of trainings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    experiment: String,
    new: usize,
    updated: usize,
    same: usize,
}

impl Told {
    pub(crate) fn text(&self) -> String {
        format!(
            "MLflow experiment `{}`: {} runs new, {} updated, {} unchanged\n",
            self.experiment, self.new, self.updated, self.same
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "experiment": self.experiment, "new": self.new, "updated": self.updated,
            "unchanged": self.same,
        })
    }
}

/// Why a server was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MlflowError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("`{address}` answered without `{field}`: is it an MLflow server?")]
    Answer {
        address: String,
        field: &'static str,
    },
    #[error("its experiment `{0}` was deleted there: restore it, or use `--mlflow-experiment`")]
    Deleted(String),
    #[error("files of its runs are kept at `{0}`, where only `mlflow` itself can put them")]
    Files(String),
    #[error("failed to read `{0}`: {1}")]
    Read(String, std::io::Error),
}

impl Mlflow {
    pub(super) fn open(address: &str, credentials: Credentials) -> Result<Self, RemoteError> {
        Ok(Self {
            api: Api::open(address, credentials)?,
        })
    }

    /// Tells what is new of these trainings.
    pub(super) fn tell(
        &self,
        experiment: &str,
        trainings: &[Training],
        with_files: bool,
    ) -> Result<Told, MlflowError> {
        let mut told = Told {
            experiment: experiment.to_owned(),
            ..Told::default()
        };
        let experiment = self.experiment(experiment)?;
        for training in trainings {
            let digest = training.digest();
            let known = self.find(&experiment, &training.key)?;
            let (run, is_new) = match known {
                Some(run) if run.tags.get(TOLD) == Some(&digest) => {
                    told.same += 1;
                    continue;
                }
                Some(run) => (run, false),
                None => (self.create(&experiment, training)?, true),
            };
            self.log(&run, training)?;
            if with_files {
                self.put_files(&run, training)?;
            }
            // Last, so that what was interrupted is told again.
            self.log_batch(&run.id, "tags", vec![tag(TOLD, &digest)])?;
            self.end(&run.id, training)?;
            told.new += usize::from(is_new);
            told.updated += usize::from(!is_new);
        }
        Ok(told)
    }

    /// The ID of an experiment, which is made if it is not there.
    fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        let path = format!("{REST}/experiments/get-by-name");
        let found = match self.api.get(&path, &[("experiment_name", name)]) {
            Err(ApiError::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => {
                let made = self.post("experiments/create", &json!({ "name": name }))?;
                return self.text(&made, "experiment_id");
            }
            found => found?,
        };
        let found = &found["experiment"];
        if found["lifecycle_stage"] == "deleted" {
            return Err(MlflowError::Deleted(name.to_owned()));
        }
        self.text(found, "experiment_id")
    }

    /// The run that was told of the training with this key.
    fn find(&self, experiment: &str, key: &str) -> Result<Option<Run>, MlflowError> {
        let asked = json!({
            "experiment_ids": [experiment],
            "filter": format!("tags.\"{KEY}\" = '{key}'"),
            "max_results": 1,
        });
        let found = self.post("runs/search", &asked)?;
        let run = found["runs"].as_array().and_then(|runs| runs.first());
        run.map(|run| self.run(run)).transpose()
    }

    fn create(&self, experiment: &str, training: &Training) -> Result<Run, MlflowError> {
        let started = training.between.map_or_else(now, |(started, _)| started);
        let made = self.post(
            "runs/create",
            &json!({
                "experiment_id": experiment, "run_name": training.name, "start_time": started,
                "tags": [tag(KEY, &training.key), tag("mlflow.runName", &training.name)],
            }),
        )?;
        self.run(&made["run"])
    }

    fn run(&self, run: &Value) -> Result<Run, MlflowError> {
        let tags = run["data"]["tags"].as_array().into_iter().flatten();
        let tags = tags.filter_map(|tag| {
            Some((
                tag["key"].as_str()?.to_owned(),
                tag["value"].as_str()?.to_owned(),
            ))
        });
        Ok(Run {
            id: self.text(&run["info"], "run_id")?,
            started: run["info"]["start_time"].as_u64(),
            files: run["info"]["artifact_uri"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            tags: tags.collect(),
        })
    }

    fn log(&self, run: &Run, training: &Training) -> Result<(), MlflowError> {
        let params = training
            .params
            .iter()
            .map(|(name, value)| json!({ "key": name, "value": cut(value, LONGEST_PARAM) }));
        self.log_batch(&run.id, "params", params.collect())?;
        let tags = training.tags.iter().map(|(name, value)| tag(name, value));
        self.log_batch(&run.id, "tags", tags.collect())?;
        if !run.tags.contains_key(COURSE) {
            let started = training.between.map(|(started, _)| started).or(run.started);
            let started = started.unwrap_or_else(now);
            let metrics = training.course.iter().map(|m| metric(m, started + m.after));
            self.log_batch(&run.id, "metrics", metrics.collect())?;
            self.log_batch(&run.id, "tags", vec![tag(COURSE, "told")])?;
        }
        // Of one step the latest is shown.
        let now = now();
        let metrics = training.results.iter().map(|m| metric(m, now));
        self.log_batch(&run.id, "metrics", metrics.collect())
    }

    fn log_batch(&self, run: &str, what: &str, all: Vec<Value>) -> Result<(), MlflowError> {
        for some in all.chunks(BATCH) {
            let mut body = Map::from_iter([("run_id".to_owned(), json!(run))]);
            body.insert(what.to_owned(), json!(some));
            self.post("runs/log-batch", &Value::Object(body))?;
        }
        Ok(())
    }

    fn end(&self, run: &str, training: &Training) -> Result<(), MlflowError> {
        let ended = training.between.map_or_else(now, |(_, ended)| ended);
        let body = json!({ "run_id": run, "status": "FINISHED", "end_time": ended });
        self.post("runs/update", &body).map(drop)
    }

    fn put_files(&self, run: &Run, training: &Training) -> Result<(), MlflowError> {
        let Some(place) = run.files.strip_prefix(PROXIED) else {
            return Err(MlflowError::Files(run.files.clone()));
        };
        // A server may be named before the path.
        let place = match place.strip_prefix('/') {
            Some(named) => named.split_once('/').map_or("", |(_, path)| path),
            None => place,
        };
        for path in &training.files {
            let read = |error| MlflowError::Read(path.display().to_string(), error);
            let bytes = std::fs::read(path).map_err(read)?;
            let name = path.file_name().map(Path::new).unwrap_or(path).display();
            self.api.put(&format!("{FILES}/{place}/{name}"), bytes)?;
        }
        Ok(())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, MlflowError> {
        Ok(self.api.post(&format!("{REST}/{path}"), body)?)
    }

    fn text(&self, value: &Value, field: &'static str) -> Result<String, MlflowError> {
        let text = value[field].as_str().map(str::to_owned);
        text.ok_or_else(|| MlflowError::Answer {
            address: self.api.address().to_owned(),
            field,
        })
    }
}

/// A run as the server has it.
struct Run {
    id: String,
    started: Option<u64>,
    /// Where its files are.
    files: String,
    tags: BTreeMap<String, String>,
}

fn tag(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": cut(value, LONGEST_TAG) })
}

/// JSON has no infinite numbers and none that are none; MLflow takes their names.
fn metric(metric: &Metric, at: u64) -> Value {
    let value = match metric.value {
        value if value.is_nan() => json!("NaN"),
        value if value.is_infinite() && value > 0.0 => json!("Infinity"),
        value if value.is_infinite() => json!("-Infinity"),
        value => json!(value),
    };
    json!({ "key": metric.name, "value": value, "timestamp": at, "step": metric.step })
}

/// A name of a metric or a param, of the characters that MLflow takes.
pub(super) fn named(name: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || "_-./ ".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().map(allowed).take(LONGEST_NAME).collect()
}

/// The beginning of a text, at most so many bytes with what says that it is one.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest - '…'.len_utf8());
    format!("{}…", &text[..end])
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_those_that_mlflow_takes() {
        assert_eq!(
            named("train/sensitivity-CN (1)"),
            "train/sensitivity-CN _1_"
        );
        assert_eq!(named(&"é".repeat(300)), "_".repeat(250));
        assert_eq!(cut("ab", 2), "ab");
        let long = cut(&"é".repeat(300), LONGEST_PARAM);
        assert!(
            long.len() <= LONGEST_PARAM && long.ends_with("é…"),
            "{long}"
        );
        let of = |value| {
            let name = "loss".to_owned();
            metric(
                &Metric {
                    name,
                    value,
                    step: 3,
                    after: 0,
                },
                7,
            )
        };
        assert_eq!(
            of(0.5),
            json!({ "key": "loss", "value": 0.5, "timestamp": 7, "step": 3 })
        );
        assert_eq!(of(f64::NAN)["value"], "NaN");
        assert_eq!(of(f64::NEG_INFINITY)["value"], "-Infinity");
    }
}
