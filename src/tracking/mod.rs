//! Finished trainings, told to a tracking server.
//!
//! Tracking consumes results: nothing of it is in keys, in the store or in the published folder, and a
//! server that fails is warned of and fails no run. Each training, that is each split of each cell, is
//! found again by the key of its action, so that it is told once.

mod mlflow;
mod training;

use ::remote::api::Credentials;

pub(crate) use mlflow::{Mlflow, Told};
pub(crate) use training::{Facts, Training};

use crate::failure::{Code, Failure, warn};

/// Where the server is, if `--mlflow` does not say.
const ADDRESS: &str = "MLFLOW_TRACKING_URI";
const USER: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";

/// What a run is asked to tell.
#[derive(Debug)]
pub(crate) struct Tracker {
    mlflow: Mlflow,
    /// The experiment's name there, if it is not that of the manifest.
    experiment: Option<String>,
    with_files: bool,
}

impl Tracker {
    /// The tracker at an address, an empty one standing for that of the environment.
    ///
    /// # Errors
    /// That is no address.
    pub(crate) fn open(
        address: &str,
        experiment: Option<String>,
        with_files: bool,
    ) -> Result<Self, Failure> {
        let address = match address {
            "" => told(ADDRESS).ok_or_else(|| {
                let message = format!("`--mlflow` without an address needs `{ADDRESS}`");
                Failure::new(Code::Invalid, message).hint("`--mlflow http://localhost:5000`")
            })?,
            given => given.to_owned(),
        };
        let mlflow = Mlflow::open(&address, credentials()).map_err(|error| {
            Failure::from(error)
                .hint("a folder or database is served by `mlflow server --backend-store-uri …`")
        })?;
        Ok(Self {
            mlflow,
            experiment,
            with_files,
        })
    }

    /// Tells what is new of these trainings.
    pub(crate) fn tell(&self, name: &str, trainings: &[Training]) -> Option<Told> {
        if trainings.is_empty() {
            warn(
                "there is no training to tell MLflow of",
                "it shows what a published MAPS holds",
            );
            return None;
        }
        let experiment = self.experiment.as_deref().unwrap_or(name);
        match self.mlflow.tell(experiment, trainings, self.with_files) {
            Ok(told) => Some(told),
            Err(error) => {
                warn(
                    &format!("MLflow was not told everything: {error}"),
                    "results are complete; the next run with `--mlflow` tries again",
                );
                None
            }
        }
    }
}

/// As the tools of MLflow take them.
fn credentials() -> Credentials {
    match (told(TOKEN), told(USER)) {
        (_, Some(user)) => Credentials::Basic(user, told(PASSWORD).unwrap_or_default()),
        (Some(token), None) => Credentials::Token(token),
        (None, None) => Credentials::None,
    }
}

fn told(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
