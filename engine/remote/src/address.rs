//! What an address means.

use std::path::{Path, absolute};
use std::sync::Arc;
use std::time::Duration;

use engine::remote::RemoteError;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);
const TO_CONNECT: Duration = Duration::from_secs(10);
/// How long a request is tried again that a server could not answer.
const TO_RETRY: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    /// For messages.
    pub(crate) shown: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Name,
    pub(crate) is_read_only: bool,
}

pub(crate) fn parse(address: &str) -> Result<Place, RemoteError> {
    let Some((scheme, _)) = address.split_once("://") else {
        return folder(address, Path::new(address));
    };
    let url = Url::parse(address).map_err(|error| wrong(address, error))?;
    match scheme {
        "file" => {
            let path = url.to_file_path();
            folder(address, &path.map_err(|()| wrong(address, "not a path"))?)
        }
        "s3" => s3(&url),
        "http" | "https" => http(&url),
        _ => Err(wrong(
            address,
            "expected a folder, `file://`, `s3://`, `https://` or `http://`",
        )),
    }
}

pub(crate) fn wrong(address: &str, problem: impl ToString) -> RemoteError {
    RemoteError::Address {
        address: without_credentials(address),
        problem: problem.to_string(),
    }
}

fn folder(address: &str, path: &Path) -> Result<Place, RemoteError> {
    if address.is_empty() {
        return Err(wrong(address, "expected an address"));
    }
    let path = absolute(path).map_err(|error| wrong(address, error))?;
    Ok(Place {
        shown: path.display().to_string(),
        prefix: Name::from_absolute_path(&path).map_err(|error| wrong(address, error))?,
        store: Arc::new(LocalFileSystem::new()),
        is_read_only: false,
    })
}

fn s3(url: &Url) -> Result<Place, RemoteError> {
    let bucket = url.host_str().unwrap_or_default();
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options().with_allow_http(is_plain_endpoint()))
        .with_retry(retries())
        .build()
        .map_err(|error| wrong(url.as_str(), error))?;
    place(url, Arc::new(store), false)
}

/// A server of one's own in one's own network may do without encryption.
fn is_plain_endpoint() -> bool {
    let set = |name| std::env::var(name).is_ok_and(|value| value.starts_with("http://"));
    set("AWS_ENDPOINT_URL") || set("AWS_ENDPOINT") || set("AWS_ENDPOINT_URL_S3")
}

fn http(url: &Url) -> Result<Place, RemoteError> {
    let mut root = url.clone();
    root.set_path("");
    let store = HttpBuilder::new()
        .with_url(root)
        .with_client_options(options().with_allow_http(url.scheme() == "http"))
        .with_retry(retries())
        .build()
        .map_err(|error| wrong(url.as_str(), error))?;
    place(url, Arc::new(store), true)
}

fn place(url: &Url, store: Arc<dyn ObjectStore>, is_read_only: bool) -> Result<Place, RemoteError> {
    let prefix = Name::from_url_path(url.path());
    Ok(Place {
        shown: without_credentials(url.as_str()),
        store,
        prefix: prefix.map_err(|error| wrong(url.as_str(), error))?,
        is_read_only,
    })
}

fn options() -> ClientOptions {
    // An error means that it is set already.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A large file takes as long as it takes.
    ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_connect_timeout(TO_CONNECT)
}

fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 3,
        retry_timeout: TO_RETRY,
        ..RetryConfig::default()
    }
}

/// An address as it may be shown.
pub(crate) fn without_credentials(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if url.has_authority() => {
            // Both fail for addresses that have no place for them only.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        _ => address.to_owned(),
    }
}
