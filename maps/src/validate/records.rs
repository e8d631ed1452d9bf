//! What is recorded beside the results, where it is there: checksums, the certificate of leakage, the
//! records of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::Digest;
use engine::provenance::{
    BLAKE3_SUMS, ENVIRONMENT, FileSums, LOCK, PROV, RO_CRATE, RUN, SHA256_SUMS,
};
use engine::publish::{PUBLISHED, PublishedList};
use serde_json::Value;

use super::{Check, MapsIssue};
use crate::MapsError;
use crate::files::LeakageJson;
use crate::layout::{GROUPS, LEAKAGE_JSON};

/// Records that are JSON.
const JSON: [&str; 5] = [LOCK, RUN, ENVIRONMENT, PROV, RO_CRATE];

/// Checks what is there of them.
pub(super) fn check(check: &mut Check) {
    for path in JSON {
        if check.exists(path) {
            check.read(path, json);
        }
    }
    if check.exists(LEAKAGE_JSON) {
        certificates(check);
    }
    if check.exists(PUBLISHED) {
        published(check);
    }
    for (path, digest) in [
        (
            SHA256_SUMS,
            (|sums: &FileSums| sums.sha256.clone()) as fn(&FileSums) -> String,
        ),
        (BLAKE3_SUMS, |sums: &FileSums| sums.blake3.to_string()),
    ] {
        if check.exists(path) {
            checksums(check, path, digest);
        }
    }
}

fn json(bytes: &[u8], file: &str) -> Result<Value, MapsError> {
    serde_json::from_slice(bytes).map_err(|error| MapsError::Json {
        file: file.to_owned(),
        reason: error.to_string(),
        line: error.line() as u64,
        column: error.column() as u64,
    })
}

/// That the certificate of the MAPS is that of its splits.
fn certificates(check: &mut Check) {
    let Some(certificate) = check.read(LEAKAGE_JSON, LeakageJson::read) else {
        return;
    };
    for group in certificate.models_tested_on.keys() {
        if !check.exists(&format!("{GROUPS}/{group}")) {
            check.report(
                LEAKAGE_JSON,
                format!("tells of tests on `{group}`, which is no data group"),
            );
        }
    }
    for (path, expected) in &certificate.checked {
        if let Some(found) = check.read(path, json)
            && found != *expected
        {
            check.report(path, format!("is not what `{LEAKAGE_JSON}` holds of it"));
        }
    }
}

/// That the published files are those that were published.
fn published(check: &mut Check) {
    let read = |bytes: &[u8], file: &str| {
        let value = json(bytes, file)?;
        serde_json::from_value::<PublishedList>(value).map_err(|error| MapsError::Json {
            file: file.to_owned(),
            reason: error.to_string(),
            line: 1,
            column: 1,
        })
    };
    let Some(list) = check.read(PUBLISHED, read) else {
        return;
    };
    for (path, file) in &list.files {
        match Digest::of_file(&check.folder.join(path)) {
            Ok((digest, _)) if digest == file.digest => {}
            Ok(_) => changed(check, path, "was changed after it was published"),
            Err(_) => changed(check, path, "was published, and cannot be read now"),
        }
    }
}

fn changed(check: &mut Check, path: &str, message: &str) {
    check.issues.push(MapsIssue {
        hints: vec!["`clinicadl run --restore` publishes the experiment anew".to_owned()],
        ..MapsIssue::new(path, message)
    });
}

/// That the files have the digests of a list for `sha256sum -c` or `b3sum -c`.
fn checksums(check: &mut Check, list: &str, digest: fn(&FileSums) -> String) {
    let text = match fs::read_to_string(check.folder.join(list)) {
        Ok(text) => text,
        Err(error) => {
            check.report(list, format!("cannot be read: {error}"));
            return;
        }
    };
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        // Names with line breaks are written in another way, and no file of a MAPS has one.
        let parts = line
            .split_once("  ")
            .filter(|(sum, path)| is_sum(sum, path));
        let Some((sum, path)) = parts else {
            let issue = MapsIssue::new(
                list,
                "expected a digest, two spaces and a path inside the MAPS",
            );
            check.issues.push(issue.at(Some(number)));
            continue;
        };
        if seen.insert(path, sum).is_some() {
            let issue = MapsIssue::new(list, format!("lists `{path}` twice"));
            check.issues.push(issue.at(Some(number)));
        }
        let problem = match FileSums::of_file(&check.folder.join(path)) {
            Ok(sums) if digest(&sums) == sum => continue,
            Ok(_) => format!("`{path}` has another digest"),
            Err(error) => format!("`{path}` cannot be read: {error}"),
        };
        let issue = MapsIssue::new(list, problem);
        check.issues.push(issue.at(Some(number)));
    }
}

fn is_sum(sum: &str, path: &str) -> bool {
    let is_inside = Path::new(path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    is_inside && sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
}
