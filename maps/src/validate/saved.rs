//! Tensors and images that predictions write beside their tables.

use std::collections::BTreeSet;

use crate::MapsError;
use crate::files::Session;
use crate::layout::{SAVED_FOLDERS, Saved, SavedAs};
use crate::weights::read_pt;

use super::{Check, Facts, MapsIssue, some};

/// The two bytes that a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Checks the files of a data group below the folder of a model: that they are about its sessions, that
/// tensors can be read and images are compressed, and that what is in one file is in another.
pub(super) fn check(check: &mut Check, folder: &str, sessions: &BTreeSet<Session>, facts: &Facts) {
    for name in SAVED_FOLDERS {
        let path = format!("{folder}/{name}");
        if check.exists(&path) {
            check_folder(check, &path, name, sessions, facts);
        }
    }
}

fn check_folder(
    check: &mut Check,
    path: &str,
    folder: &str,
    sessions: &BTreeSet<Session>,
    facts: &Facts,
) {
    let entries = std::fs::read_dir(check.folder.join(path));
    let entries = entries.into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut strangers = BTreeSet::new();
    for name in &names {
        let file = format!("{path}/{name}");
        let Some(saved) = Saved::parse(folder, name) else {
            check.report(&file, "is none of the files that predictions write here");
            continue;
        };
        let session = Session {
            participant: saved.participant.to_owned(),
            session: saved.session.to_owned(),
        };
        if !sessions.contains(&session) {
            strangers.insert(format!("{}, {}", saved.participant, saved.session));
        }
        if let SavedAs::Probability(code) = saved.what
            && facts.is_known
            && code >= facts.n_classes
        {
            let message = format!("is of class {code}, expected one below {}", facts.n_classes);
            check.report(&file, message);
        }
        check_file(check, &file);
        // Of an input there is an output, and the other way round.
        let other = match saved.what {
            SavedAs::Input => SavedAs::Output,
            SavedAs::Output => SavedAs::Input,
            SavedAs::InputImage => SavedAs::OutputImage,
            SavedAs::OutputImage => SavedAs::InputImage,
            _ => continue,
        };
        let other = Saved {
            what: other,
            ..saved
        };
        let other = other.to_string();
        let other = other.rsplit('/').next().unwrap_or_default();
        if names
            .binary_search_by(|name| name.as_str().cmp(other))
            .is_err()
        {
            check.report(&file, format!("is there without `{other}`"));
        }
    }
    if !strangers.is_empty() {
        let list = some(strangers.iter().map(String::as_str));
        check.report(
            path,
            format!("has files of whom its data group lacks: {list}"),
        );
    }
}

fn check_file(check: &mut Check, path: &str) {
    if path.ends_with(".pt") {
        check.read(path, |bytes, file| {
            read_pt(bytes).map_err(|source| MapsError::Weights {
                file: file.to_owned(),
                source,
            })
        });
        return;
    }
    let start = std::fs::File::open(check.folder.join(path)).and_then(|mut file| {
        let mut start = [0; 2];
        std::io::Read::read_exact(&mut file, &mut start).map(|()| start)
    });
    match start {
        Ok(GZIP) => {}
        Ok(_) => check
            .issues
            .push(MapsIssue::new(path, "is not compressed by gzip")),
        Err(error) => check.report(path, format!("cannot be read: {error}")),
    }
}
