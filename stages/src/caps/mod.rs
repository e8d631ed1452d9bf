//! Images of a CAPS or a BIDS: one per participant and session.
//!
//! ```text
//! subjects/<participant>/<session>/…/<participant>_<session>_<what the pattern says>      CAPS
//! <participant>/<session>/…/<participant>_<session>_<what the pattern says>               BIDS
//! ```
//!
//! # Source
//! Lookup rules of ClinicaDL 1.6.1, with its crash on several runs mended.

mod layout;
mod restrict;

use std::collections::BTreeMap;

use engine::{Context, Input, InputFile, StageError};
use layout::{is_bids_sidecar, is_image, misplaced, place};

pub use restrict::{Key, OnMissing, Restriction};

use crate::io::nifti::{self, Series, companion};
use crate::listed::some;
use crate::preprocessing::{Layout, Pattern};

/// One image of a CAPS or a BIDS.
#[derive(Debug, Clone)]
pub struct CapsImage {
    /// The cohort, where an experiment has several.
    pub cohort: Option<String>,
    /// Participant, `sub-…`.
    pub participant: String,
    /// Session, `ses-…`.
    pub session: String,
    /// The file.
    pub file: InputFile,
    /// The voxels, where the file is the header of a pair.
    pub voxels: Option<InputFile>,
    /// The path of the file below the folder of its session.
    pub below: String,
}

impl CapsImage {
    /// Participant and session, and the cohort if there are several, for messages.
    pub fn name(&self) -> String {
        let Self {
            participant,
            session,
            ..
        } = self;
        match &self.cohort {
            Some(cohort) => format!("{participant}, {session} of {cohort}"),
            None => format!("{participant}, {session}"),
        }
    }

    /// Cohort, participant and session.
    pub fn key(&self) -> (Option<&str>, &str, &str) {
        (self.cohort.as_deref(), &self.participant, &self.session)
    }

    /// Reads the image.
    ///
    /// # Errors
    /// As for [`nifti::read_series`].
    pub fn read(&self) -> Result<Series, StageError> {
        nifti::read_series(&self.file.path, &self.file.shown, self.voxels.as_ref())
    }

    /// The digest of all its bytes.
    pub fn digest(&self) -> engine::Digest {
        match &self.voxels {
            None => self.file.digest,
            Some(voxels) => {
                let both = format!("{} {}", self.file.digest, voxels.digest);
                engine::Digest::of(both.as_bytes())
            }
        }
    }
}

/// How the images of a folder are found.
#[derive(Debug, Clone)]
pub struct Lookup {
    text: String,
    pattern: Pattern,
    layout: Layout,
}

/// Whether a file of a folder given as CAPS is needed: its images, and what tells that it is a BIDS.
pub fn selects(pattern: &str, path: &str) -> bool {
    Lookup::new(pattern, Layout::Caps).selects(path)
}

/// The images of a CAPS; see [`Lookup::images`].
///
/// # Errors
/// Those of [`Lookup::images`].
pub fn images(
    caps: &Input,
    pattern: &str,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    Lookup::new(pattern, Layout::Caps).images(caps, context)
}

impl Lookup {
    /// Images whose path below their session's folder fits a pattern.
    pub fn new(pattern: &str, layout: Layout) -> Self {
        Self {
            text: pattern.to_owned(),
            pattern: Pattern::new(pattern),
            layout,
        }
    }

    /// Whether a file is needed: images, and what tells that a folder is of the other layout.
    pub fn selects(&self, path: &str) -> bool {
        match place(path, self.layout) {
            Some(place) => is_image(&self.pattern, place.below),
            None => self.layout == Layout::Caps && is_bids_sidecar(path),
        }
    }

    /// The images of a folder whose files were [selected](Self::selects), sorted by participant and
    /// session.
    ///
    /// Of several runs of a session the last is taken, with a warning.
    ///
    /// # Errors
    /// There is no image at all, a session has several that are not runs of one another, or a file is
    /// named after another participant or session than its folder; every such session is named.
    pub fn images(&self, input: &Input, context: &Context) -> Result<Vec<CapsImage>, StageError> {
        let mut found: BTreeMap<(&str, &str), Vec<(&str, &InputFile)>> = BTreeMap::new();
        let mut problems = Vec::new();
        for (path, file) in &input.files {
            if let Some(place) = place(path, self.layout)
                && self.pattern.fits(place.below)
                && is_image(&self.pattern, place.below)
            {
                problems.extend(misplaced(place));
                let key = (place.participant, place.session);
                found.entry(key).or_default().push((place.below, file));
            }
        }
        if found.is_empty() {
            return Err(self.nothing(input));
        }
        if !problems.is_empty() {
            let message = format!(
                "images of `{}` are misplaced: {}",
                input.shown,
                some(&problems)
            );
            return Err(StageError::new(message).hint(
                "a scan in the folder of another person makes two people of one: move or rename it",
            ));
        }
        let mut images = Vec::new();
        let mut repeated = Vec::new();
        for ((participant, session), files) in found {
            let Some(&(below, file)) = choose(&files) else {
                let names: Vec<&str> = files.iter().map(|(below, _)| *below).collect();
                problems.push(format!("{participant}, {session}: {}", names.join(", ")));
                continue;
            };
            let image = CapsImage {
                cohort: None,
                participant: participant.to_owned(),
                session: session.to_owned(),
                voxels: if companion(&file.shown).is_empty() {
                    None
                } else {
                    voxels_of(file, input)
                },
                file: file.clone(),
                below: below.to_owned(),
            };
            if files.len() > 1 {
                repeated.push(format!("{} (`{}`)", image.name(), file.shown));
            }
            images.push(image);
        }
        if !problems.is_empty() {
            return Err(StageError::new(format!(
                "expected one image `{}` per session, found several in {}",
                self.text,
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

    fn nothing(&self, input: &Input) -> StageError {
        let (shown, pattern) = (&input.shown, &self.text);
        if let Some(path) = input.files.keys().find(|path| is_bids_sidecar(path)) {
            let participant = path.split('/').next().unwrap_or(path);
            let message = format!(
                "`{shown}` looks like a BIDS (`{participant}` is at its root), expected a CAPS"
            );
            return StageError::new(message)
                .hint("preprocess it with Clinica first, which makes a CAPS from it")
                .hint("or extract its raw images: `preprocessing: t1`, `flair`, `pet` or `dwi`");
        }
        let (folder, kind) = match self.layout {
            Layout::Bids => ("", "a BIDS, with `sub-*` folders at its root"),
            Layout::Caps | Layout::Any => (
                "subjects/",
                "a CAPS: a folder made by Clinica, whose pipeline has run, with images below `subjects/`",
            ),
        };
        let message = format!("`{shown}` has no image `{folder}sub-*/ses-*/**/{pattern}`");
        StageError::new(message).hint(format!("expected {kind}"))
    }
}

/// The voxels that belong to a header.
fn voxels_of(header: &InputFile, input: &Input) -> Option<InputFile> {
    let (path, _) = input.files.iter().find(|(_, file)| *file == header)?;
    let mut names = companion(path).into_iter();
    names.find_map(|name| input.file(&name).cloned())
}

/// The only file, or the last run of files that differ by their run alone.
fn choose<'f, 'a>(files: &'f [(&'a str, &'a InputFile)]) -> Option<&'f (&'a str, &'a InputFile)> {
    if let [file] = files {
        return Some(file);
    }
    let mut runs: BTreeMap<u64, &(&str, &InputFile)> = BTreeMap::new();
    let mut rest = None;
    for file in files {
        let (below, _) = file;
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
        choose(&list).map(|(_, file)| file.shown.clone())
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
}
