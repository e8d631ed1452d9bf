//! Stores elsewhere, reached through `object_store`: folders, S3 and what speaks like it, HTTP.
//!
//! | address | what it is |
//! |---|---|
//! | `/mnt/lab/store`, `file:///mnt/lab/store` | a folder |
//! | `s3://bucket/prefix` | S3; credentials, region and endpoint as of the AWS tools (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …) |
//! | `https://host/path`, `http://host/path` | a web server, which is only read |
//!
//! What a remote means to a run is [`engine::remote`]; here are bytes only. The runtime that waits for
//! the network lives in here and nowhere else.

mod address;
pub mod api;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use engine::remote::{Remote, RemoteError};
use futures_util::StreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path as Name;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

/// Opens the remote with this address; a folder is created when something is put there.
///
/// # Errors
/// The address names no kind of remote, or what it needs is not set.
pub fn open(address: &str) -> Result<Arc<dyn Remote>, RemoteError> {
    let address::Place {
        shown,
        store,
        prefix,
        is_read_only,
    } = address::parse(address)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| address::wrong(address, error))?;
    Ok(Arc::new(Objects {
        shown,
        store,
        prefix,
        is_read_only,
        runtime,
    }))
}

#[derive(Debug)]
struct Objects {
    shown: String,
    store: Arc<dyn ObjectStore>,
    prefix: Name,
    is_read_only: bool,
    runtime: Runtime,
}

impl Objects {
    /// The name of a file in the object store. Ours are digits and letters, so none needs escaping.
    fn name(&self, path: &str) -> Name {
        let parts = path.split('/').map(Into::into);
        self.prefix.parts().chain(parts).collect()
    }

    fn failed(&self, act: &'static str, path: &str, error: impl Into<BoxedError>) -> RemoteError {
        RemoteError::Transfer {
            act,
            path: path.to_owned(),
            address: self.shown.clone(),
            source: error.into(),
        }
    }
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl Remote for Objects {
    fn address(&self) -> &str {
        &self.shown
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn size(&self, path: &str) -> Result<Option<u64>, RemoteError> {
        let name = self.name(path);
        match self.runtime.block_on(self.store.head(&name)) {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    fn get(&self, path: &str, to: &mut dyn Write) -> Result<bool, RemoteError> {
        let name = self.name(path);
        let failed = |error: BoxedError| self.failed("read", path, error);
        let found = match self.runtime.block_on(self.store.get(&name)) {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(failed(error.into())),
        };
        let mut chunks = found.into_stream();
        while let Some(chunk) = self.runtime.block_on(chunks.next()) {
            let chunk = chunk.map_err(|error| failed(error.into()))?;
            to.write_all(&chunk).map_err(|error| failed(error.into()))?;
        }
        Ok(true)
    }

    fn put(&self, path: &str, from: &Path) -> Result<(), RemoteError> {
        if self.is_read_only {
            return Err(RemoteError::ReadOnly {
                address: self.shown.clone(),
            });
        }
        let name = self.name(path);
        let copied = self.runtime.block_on(async {
            let mut file = tokio::fs::File::open(from).await?;
            // In parts if it is large.
            let mut writer = BufWriter::new(Arc::clone(&self.store), name);
            match tokio::io::copy(&mut file, &mut writer).await {
                Ok(_) => writer.shutdown().await,
                Err(error) => {
                    // Whatever the clean-up says, the copy is what failed.
                    drop(writer.abort().await);
                    Err(error)
                }
            }
        });
        copied.map_err(|error| self.failed("write", path, error))
    }
}

#[cfg(test)]
mod tests;
