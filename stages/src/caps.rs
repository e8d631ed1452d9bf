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

/// Whether a path in a CAPS is an image of this pattern.
pub fn is_image(pattern: &str, path: &str) -> bool {
    parts(path).is_some_and(|(_, _, name)| fits(pattern, name))
}

/// Participant, session and file name of a path below `subjects/`; nothing hidden.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let mut parts = path.strip_prefix("subjects/")?.split('/');
    let (participant, session) = (parts.next()?, parts.next()?);
    let name = parts.next_back()?;
    let visible = !name.starts_with('.') && !parts.any(|folder| folder.starts_with('.'));
    let named = participant.starts_with("sub-") && session.starts_with("ses-");
    (visible && named).then_some((participant, session, name))
}

/// The images of a CAPS, sorted by participant and session.
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
        if let Some((participant, session, name)) = parts(path) {
            found.entry((participant, session)).or_default().push((name, file));
        }
    }
    if found.is_empty() {
        let shown = &caps.shown;
        let message = format!("`{shown}` has no image `subjects/sub-*/ses-*/**/{pattern}`");
        return Err(StageError::new(message).hint(
            "expected a CAPS: a folder made by Clinica, with images below `subjects/`; a BIDS has \
             to be preprocessed first",
        ));
    }
    let mut images = Vec::new();
    let mut problems = Vec::new();
    for ((participant, session), files) in found {
        match choose(&files) {
            Some((file, runs)) => {
                if runs > 1 {
                    context.warn(format!(
                        "{participant}, {session}: {runs} runs, `{}` is taken",
                        file.shown
                    ));
                }
                images.push(CapsImage {
                    participant: participant.to_owned(),
                    session: session.to_owned(),
                    file: file.clone(),
                });
            }
            None => {
                let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
                problems.push(format!("{participant}, {session}: {}", names.join(", ")));
            }
        }
    }
    if !problems.is_empty() {
        return Err(StageError::new(format!(
            "expected one image `{pattern}` per session, found several in {}",
            some(&problems)
        )));
    }
    Ok(images)
}

/// The only file, or the last run of files that differ by their run alone, and how many there are.
fn choose<'a>(files: &[(&str, &'a InputFile)]) -> Option<(&'a InputFile, usize)> {
    let mut runs: Vec<(u64, String, &InputFile)> = files
        .iter()
        .map(|(name, file)| {
            let (run, rest) = run_of(name);
            (run, rest, *file)
        })
        .collect();
    let same = runs.iter().all(|(_, rest, _)| *rest == runs[0].1);
    runs.sort_by_key(|(run, _, _)| *run);
    let distinct = runs.windows(2).all(|pair| pair[0].0 != pair[1].0);
    (same && distinct).then(|| runs.last().map(|(_, _, file)| (*file, runs.len())))?
}

/// The number of a `run-<n>` entity and the name without it.
fn run_of(name: &str) -> (u64, String) {
    let mut run = 0;
    let rest: Vec<&str> = name
        .split('_')
        .filter(|entity| match entity.strip_prefix("run-").and_then(|n| n.parse().ok()) {
            Some(number) => {
                run = number;
                false
            }
            None => true,
        })
        .collect();
    (run, rest.join("_"))
}

/// The first of a list of problems, and the count of the others.
pub fn some(problems: &[String]) -> String {
    let shown = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
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
    fn only_images_below_a_participant_and_session_count() {
        assert!(is_image(PATTERN, "subjects/sub-1/ses-1/t1_linear/sub-1_ses-1_T1w.nii.gz"));
        assert!(is_image(PATTERN, "subjects/sub-1/ses-1/sub-1_ses-1_T1w.nii.gz"));
        for path in [
            "subjects/sub-1/ses-1/.hidden/x_T1w.nii.gz",
            "subjects/sub-1/ses-1/t1/.x_T1w.nii.gz",
            "subjects/sub-1/x_T1w.nii.gz",
            "sub-1/ses-1/anat/x_T1w.nii.gz",
            "subjects/other/ses-1/x_T1w.nii.gz",
        ] {
            assert!(!is_image(PATTERN, path), "{path}");
        }
    }

    #[test]
    fn of_several_runs_the_last_is_taken_by_number() {
        let file = |shown: &str| InputFile {
            path: shown.into(),
            shown: shown.into(),
            digest: engine::Digest::of(b""),
            size: 0,
        };
        let files = ["s_run-2_T1w", "s_run-10_T1w", "s_run-9_T1w"].map(|name| (name, file(name)));
        let list: Vec<_> = files.iter().map(|(name, file)| (*name, file)).collect();
        assert_eq!(choose(&list).map(|(f, n)| (f.shown.as_str(), n)), Some(("s_run-10_T1w", 3)));
        let other = file("s_acq-a_T1w");
        assert!(choose(&[list[0], ("s_acq-a_T1w", &other)]).is_none());
    }
}
