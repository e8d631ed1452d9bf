//! Services that speak JSON over HTTP: one request at a time, which is waited for.

use std::time::Duration;

use engine::remote::RemoteError;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use crate::address::{without_credentials, wrong};

/// Until a connection stands.
const TO_CONNECT: Duration = Duration::from_secs(10);
/// Until a request is answered.
const TO_ANSWER: Duration = Duration::from_secs(60);
/// Of an answer that is no JSON, what is told.
const TOLD: usize = 200;

/// Who is asking.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Whoever the address names, if it does.
    #[default]
    None,
    /// A user with a password.
    Basic(String, String),
    /// Whoever holds this.
    Token(String),
}

/// A service.
pub struct Api {
    root: Url,
    shown: String,
    credentials: Credentials,
    client: Client,
    runtime: Runtime,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("root", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nothing answered.
    #[error("`{address}` does not answer: {problem}")]
    Silent {
        /// The service, without credentials.
        address: String,
        /// What happened.
        problem: String,
    },
    /// The answer was a refusal.
    #[error("`{address}` refused `{path}` with {status}: {message}")]
    Refused {
        /// The service, without credentials.
        address: String,
        /// What was asked.
        path: String,
        /// The status of HTTP.
        status: u16,
        /// The service's own code, such as `RESOURCE_DOES_NOT_EXIST`.
        code: String,
        /// What it says.
        message: String,
    },
}

impl Api {
    /// The service at `https://host/path` or `http://host/path`.
    ///
    /// # Errors
    /// That is no such address.
    pub fn open(address: &str, credentials: Credentials) -> Result<Self, RemoteError> {
        let root = Url::parse(address).ok();
        let root = root.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let root = root.ok_or_else(|| {
            wrong(
                address,
                "expected `https://host/path` or `http://host/path`",
            )
        })?;
        // An error means that it is set already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .connect_timeout(TO_CONNECT)
            .timeout(TO_ANSWER)
            .build()
            .map_err(|error| wrong(address, error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| wrong(address, error))?;
        Ok(Self {
            shown: without_credentials(address)
                .trim_end_matches('/')
                .to_owned(),
            root,
            credentials,
            client,
            runtime,
        })
    }

    /// The address without credentials.
    pub fn address(&self) -> &str {
        &self.shown
    }

    /// Asks for what is at a path.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.answer(path, self.client.request(Method::GET, url))
    }

    /// Sends JSON to a path.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.client.request(Method::POST, self.url(path));
        let request = request.header("Content-Type", "application/json");
        self.answer(path, request.body(body.to_string()))
    }

    /// Puts bytes at a path.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ApiError> {
        let request = self.client.request(Method::PUT, self.url(path));
        let request = request.header("Content-Type", "application/octet-stream");
        self.answer(path, request.body(bytes)).map(drop)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.root.clone();
        url.set_query(None);
        // Every address of HTTP has a path.
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn answer(&self, path: &str, request: RequestBuilder) -> Result<Value, ApiError> {
        let request = match &self.credentials {
            Credentials::None => request,
            Credentials::Basic(user, password) => request.basic_auth(user, Some(password)),
            Credentials::Token(token) => request.bearer_auth(token),
        };
        let answer = self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok((status, answer.text().await?))
        });
        let (status, text) = answer.map_err(|error: reqwest::Error| ApiError::Silent {
            address: self.shown.clone(),
            problem: innermost(&error.without_url()),
        })?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        if status.is_success() {
            return Ok(value.unwrap_or_default());
        }
        let field = |name: &str| Some(value.as_ref()?.get(name)?.as_str()?.to_owned());
        Err(ApiError::Refused {
            address: self.shown.clone(),
            path: path.to_owned(),
            status: status.as_u16(),
            code: field("error_code").unwrap_or_default(),
            message: field("message").unwrap_or_else(|| text.chars().take(TOLD).collect()),
        })
    }
}

/// The cause of causes: `connection refused` rather than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}
