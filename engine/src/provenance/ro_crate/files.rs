//! Published files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::graph::Graph;
use crate::provenance::checksums::{BLAKE3_SUMS, FileSums, SHA256_SUMS};
use crate::provenance::history::uri;
use crate::publish::PUBLISHED;

/// Files that hold the digests of the crate, which therefore cannot hold theirs.
const WITHOUT_SUMS: [&str; 3] = [BLAKE3_SUMS, SHA256_SUMS, PUBLISHED];

/// The identifiers of every file in the folder, sorted by path.
pub(super) fn listed(sums: &BTreeMap<String, FileSums>) -> Vec<String> {
    let with = sums.keys().map(String::as_str);
    let mut paths: Vec<&str> = with.chain(WITHOUT_SUMS).collect();
    paths.sort_unstable();
    paths.into_iter().map(uri).collect()
}

pub(super) fn describe_all(graph: &mut Graph, sums: &BTreeMap<String, FileSums>, manifest: &str) {
    // The manifest is described as the workflow that it is.
    for (path, sums) in sums.iter().filter(|(path, _)| *path != manifest) {
        graph.add(&uri(path), "File", describe(path, Some(sums)));
    }
    for path in WITHOUT_SUMS {
        graph.add(&uri(path), "File", describe(path, None));
    }
}

/// The properties of a file that follow from its path and content.
pub(in crate::provenance) fn describe(path: &str, sums: Option<&FileSums>) -> Value {
    let mut properties = json!({
        "name": path.rsplit('/').next(),
        "encodingFormat": encoding_format(path),
    });
    if let Some(sums) = sums {
        properties["contentSize"] = sums.size.to_string().into();
        properties["sha256"] = sums.sha256.clone().into();
        properties["identifier"] = blake3_urn(&sums.blake3.to_string()).into();
    }
    properties
}

/// A content named by its BLAKE3 digest.
pub(super) fn blake3_urn(digest: &str) -> String {
    format!("urn:blake3:{digest}")
}

/// The media type of a file, by its name.
pub(in crate::provenance) fn encoding_format(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "tsv" => "text/tab-separated-values",
        "csv" => "text/csv",
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "html" => "text/html",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}
