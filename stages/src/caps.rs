//! Images of a CAPS: one file per participant and session.
//!
//! ```text
//! subjects/<participant>/<session>/…/<participant>_<session>_<what the pattern says>
//! ```
//!
//! # Source
//! Lookup rules of ClinicaDL 1.6.1, with its crash on several runs mended.

use std::collections::BTreeMap;

use engine::{Context, Input, InputFile, StageError};

use crate::preprocessing::fits;

/// Problems shown before the rest is only counted.
const SHOWN: usize = 10;

/// One image of a CAPS.
#[derive(Debug, Clone)]
pub struct CapsImage {
    /// Participant, `sub-…`.
    pub participant: String,
    /// Session, `ses-…`.
    pub session: String,
    /// The file.
    pub file: InputFile,
}

impl CapsImage {
    /// Participant and session, for messages.
    pub fn name(&self) -> String {
        format!("{}, {}", self.participant, self.session)
    }
}

/// Whether a file of a folder given as CAPS is needed: its images, and what tells that it is a BIDS.
pub fn selects(pattern: &str, path: &str) -> bool {
    match parts(path) {
        Some((_, _, below)) => fits(pattern, below),
        None => is_bids_sidecar(path),
    }
}

/// Small files that every BIDS has and no CAPS: hashing them costs nothing.
fn is_bids_sidecar(path: &str) -> bool {
    path.starts_with("sub-") && (path.ends_with(".json") || path.ends_with(".tsv"))
}

/// Participant, session, and the path below the session's folder.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let mut parts = path.strip_prefix("subjects/")?.splitn(3, '/');
    let (participant, session, below) = (parts.next()?, parts.next()?, parts.next()?);
    let named = participant.starts_with("sub-") && session.starts_with("ses-");
    named.then_some((participant, session, below))
}

/// The images of a CAPS whose files were [selected](selects), sorted by participant and session.
///
/// Of several runs of a session the last is taken, with a warning.
///
/// # Errors
/// There is no image at all, or a session has several that are not runs of one another; every such
/// session is named.
pub fn images(
    caps: &Input,
    pattern: &str,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    let mut found: BTreeMap<(&str, &str), Vec<(&str, &InputFile)>> = BTreeMap::new();
    for (path, file) in &caps.files {
        if let Some((participant, session, below)) = parts(path)
            && fits(pattern, below)
        {
            let key = (participant, session);
            found.entry(key).or_default().push((below, file));
        }
    }
    if found.is_empty() {
        return Err(nothing(caps, pattern));
    }
    let mut images = Vec::new();
    let mut repeated = Vec::new();
    let mut problems = Vec::new();
    for ((participant, session), files) in found {
        let Some(file) = choose(&files) else {
            let names: Vec<&str> = files.iter().map(|(below, _)| *below).collect();
            problems.push(format!("{participant}, {session}: {}", names.join(", ")));
            continue;
        };
        let image = CapsImage {
            participant: participant.to_owned(),
            session: session.to_owned(),
            file: file.clone(),
        };
        if files.len() > 1 {
            repeated.push(format!("{} (`{}`)", image.name(), file.shown));
        }
        images.push(image);
    }
    if !problems.is_empty() {
        return Err(StageError::new(format!(
            "expected one image `{pattern}` per session, found several in {}",
            some(&problems)
        )));
    }
    if !repeated.is_empty() {
        context.warn(format!(
            "{} sessions have several runs, of which the last is taken: {}",
            repeated.len(),
            some(&repeated)
        ));
    }
    Ok(images)
}

fn nothing(caps: &Input, pattern: &str) -> StageError {
    let shown = &caps.shown;
    if let Some(path) = caps.files.keys().find(|path| is_bids_sidecar(path)) {
        let participant = path.split('/').next().unwrap_or(path);
        let message = format!(
            "`{shown}` looks like a BIDS (`{participant}` is at its root), expected a CAPS"
        );
        return StageError::new(message)
            .hint("preprocess it with Clinica first, which makes a CAPS from it");
    }
    let message = format!("`{shown}` has no image `subjects/sub-*/ses-*/**/{pattern}`");
    StageError::new(message).hint(
        "expected a CAPS: a folder made by Clinica, whose pipeline has run, with images below `subjects/`",
    )
}

/// The only file, or the last run of files that differ by their run alone.
fn choose<'a>(files: &[(&str, &'a InputFile)]) -> Option<&'a InputFile> {
    if let [(_, file)] = files {
        return Some(file);
    }
    let mut runs: BTreeMap<u64, &InputFile> = BTreeMap::new();
    let mut rest = None;
    for (below, file) in files {
        let (run, without) = run_of(below)?;
        let same = rest.get_or_insert_with(|| without.clone()) == &without;
        let new = runs.insert(run, file).is_none();
        if !(same && new) {
            return None;
        }
    }
    runs.into_values().next_back()
}

/// The number of the `run-<n>` entity of a path, and the path without it.
fn run_of(below: &str) -> Option<(u64, String)> {
    let start = below.rfind("_run-")?;
    let digits = &below[start + "_run-".len()..];
    let end = digits.find('_')?;
    let run = digits[..end].parse().ok()?;
    Some((run, format!("{}{}", &below[..start], &digits[end..])))
}

/// The first of a list of problems, and the count of the others.
pub fn some(problems: &[String]) -> String {
    let shown = problems.iter().take(SHOWN).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join("; ");
    match problems.len() {
        n if n > SHOWN => format!("{shown}; and {} more", n - SHOWN),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERN: &str = "*_T1w.nii.gz";

    #[test]
    fn only_images_below_a_participant_and_session_are_selected() {
        for path in [
            "subjects/sub-1/ses-1/t1_linear/sub-1_ses-1_T1w.nii.gz",
            "subjects/sub-1/ses-1/sub-1_ses-1_T1w.nii.gz",
            "sub-1/ses-1/anat/sub-1_ses-1_T1w.json",
        ] {
            assert!(selects(PATTERN, path), "{path}");
        }
        for path in [
            "subjects/sub-1/ses-1/.hidden/x_T1w.nii.gz",
            "subjects/sub-1/ses-1/t1/.x_T1w.nii.gz",
            "subjects/sub-1/x_T1w.nii.gz",
            "subjects/sub-1/ses-1/t1_linear/x_T1w.json",
            "sub-1/ses-1/anat/x_T1w.nii.gz",
            "subjects/other/ses-1/x_T1w.nii.gz",
            "subjects/sub-1/x/ses-1/x_T1w.nii.gz",
            "dataset_description.json",
        ] {
            assert!(!selects(PATTERN, path), "{path}");
        }
    }

    fn chosen(names: &[&str]) -> Option<String> {
        let files: Vec<InputFile> = names
            .iter()
            .map(|name| InputFile {
                path: name.into(),
                shown: (*name).to_owned(),
                digest: engine::Digest::of(b""),
                size: 0,
            })
            .collect();
        let list: Vec<_> = names.iter().copied().zip(&files).collect();
        choose(&list).map(|file| file.shown.clone())
    }

    #[test]
    fn of_several_runs_the_last_is_taken_by_number() {
        let runs = ["t/s_run-2_T1w", "t/s_run-10_T1w", "t/s_run-9_T1w"];
        assert_eq!(chosen(&runs).as_deref(), Some("t/s_run-10_T1w"));
        assert_eq!(chosen(&["t/s_T1w"]).as_deref(), Some("t/s_T1w"));
    }

    #[test]
    fn several_files_that_are_not_runs_of_one_another_are_refused() {
        for names in [
            ["s_run-1_T1w", "s_acq-a_run-2_T1w"],
            ["a/s_run-1_T1w", "b/s_run-2_T1w"],
            ["s_run-1_T1w", "s_run-01_T1w"],
            ["s_run-1_T1w", "s_T1w"],
            ["s_run-x_T1w", "s_run-y_T1w"],
            ["s_a_T1w", "s_b_T1w"],
        ] {
            assert_eq!(chosen(&names), None, "{names:?}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let problems: Vec<String> = (0..13).map(|i| format!("p{i}")).collect();
        assert_eq!(some(&problems[..2]), "p0; p1");
        assert!(some(&problems).ends_with("p9; and 3 more"));
    }
}
