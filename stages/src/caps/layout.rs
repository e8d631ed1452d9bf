//! Paths of a CAPS and of a BIDS: whose image a file is.

use crate::io::nifti::companion;
use crate::preprocessing::{Layout, Pattern};

/// The session of images of a BIDS that has no folders of sessions.
const ONLY_SESSION: &str = "ses-M000";

/// Where a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) participant: &'a str,
    pub(super) session: &'a str,
    /// The path below the session's folder.
    pub(super) below: &'a str,
}

/// Whose file a path is, if it is in the folder of a participant.
pub(super) fn place(path: &str, layout: Layout) -> Option<Place<'_>> {
    match (layout, path.strip_prefix("subjects/")) {
        (Layout::Caps | Layout::Any, Some(path)) => in_caps(path),
        (Layout::Bids | Layout::Any, None) => in_bids(path),
        (Layout::Caps, None) | (Layout::Bids, Some(_)) => None,
    }
}

fn in_caps(path: &str) -> Option<Place<'_>> {
    let mut parts = path.splitn(3, '/');
    let (participant, session, below) = (parts.next()?, parts.next()?, parts.next()?);
    (participant.starts_with("sub-") && session.starts_with("ses-")).then_some(Place {
        participant,
        session,
        below,
    })
}

fn in_bids(path: &str) -> Option<Place<'_>> {
    let (participant, rest) = path.split_once('/')?;
    if !participant.starts_with("sub-") {
        return None;
    }
    let (session, below) = match rest.split_once('/')? {
        (session, below) if session.starts_with("ses-") => (session, below),
        _ => (ONLY_SESSION, rest),
    };
    Some(Place {
        participant,
        session,
        below,
    })
}

/// Whether a file is an image, or the voxels of one in two files.
pub(super) fn is_image(pattern: &Pattern, below: &str) -> bool {
    if is_tensor(below) {
        return false;
    }
    pattern.fits(below) || header_of(below).is_some_and(|header| pattern.fits(&header))
}

/// Tensors of ClinicaDL lie among the images of a CAPS.
fn is_tensor(below: &str) -> bool {
    below.starts_with("deeplearning_prepare_data/")
}

/// The name of the header that belongs to the voxels of a pair.
fn header_of(below: &str) -> Option<String> {
    let name = below
        .strip_suffix(".img")
        .or_else(|| below.strip_suffix(".img.gz"))?;
    let header = format!("{name}.hdr");
    companion(&header)
        .iter()
        .any(|name| name == below)
        .then_some(header)
}

/// What is wrong with the name of an image in the folder of a session: it is another's.
pub(super) fn misplaced(place: Place<'_>) -> Option<String> {
    let name = place.below.rsplit('/').next().unwrap_or(place.below);
    for (entity, expected) in [("sub-", place.participant), ("ses-", place.session)] {
        let found = name.split('_').find(|part| part.starts_with(entity));
        if let Some(found) = found
            && found != expected
        {
            let Place {
                participant,
                session,
                below,
            } = place;
            return Some(format!(
                "`{below}` of {participant}, {session} is named `{found}`"
            ));
        }
    }
    None
}

/// Small files that every BIDS has and no CAPS: hashing them costs nothing.
pub(super) fn is_bids_sidecar(path: &str) -> bool {
    path.starts_with("sub-") && (path.ends_with(".json") || path.ends_with(".tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, layout: Layout) -> Option<(&str, &str, &str)> {
        place(path, layout).map(|place| (place.participant, place.session, place.below))
    }

    #[test]
    fn a_caps_has_subjects_a_bids_has_not_and_may_lack_sessions() {
        let caps = "subjects/sub-1/ses-M000/t1_linear/x";
        let bids = "sub-1/ses-M000/anat/x";
        let expected = Some(("sub-1", "ses-M000", "t1_linear/x"));
        assert_eq!(found(caps, Layout::Caps), expected);
        assert_eq!(found(caps, Layout::Any), expected);
        assert_eq!(found(caps, Layout::Bids), None);
        let expected = Some(("sub-1", "ses-M000", "anat/x"));
        assert_eq!(found(bids, Layout::Bids), expected);
        assert_eq!(found(bids, Layout::Any), expected);
        assert_eq!(found(bids, Layout::Caps), None);
        assert_eq!(found("sub-1/anat/x", Layout::Bids), expected);
        for path in ["sub-1", "sub-1/x", "code/sub-1/anat/x", "participants.tsv"] {
            assert_eq!(found(path, Layout::Bids), None, "{path}");
        }
    }

    #[test]
    fn an_image_named_after_another_session_is_misplaced() {
        let wrong = |below| {
            misplaced(Place {
                participant: "sub-1",
                session: "ses-M000",
                below,
            })
        };
        assert_eq!(wrong("t1/sub-1_ses-M000_T1w.nii.gz"), None);
        assert_eq!(wrong("t1/mine.nii.gz"), None);
        assert_eq!(wrong("t1/sub-1_T1w.nii.gz"), None);
        assert_eq!(
            wrong("t1/sub-2_ses-M000_T1w.nii.gz").as_deref(),
            Some("`t1/sub-2_ses-M000_T1w.nii.gz` of sub-1, ses-M000 is named `sub-2`")
        );
        assert!(wrong("t1/sub-1_ses-M012_T1w.nii.gz").is_some());
    }

    #[test]
    fn voxels_of_a_pair_come_with_their_header_and_tensors_are_no_images() {
        let pattern = Pattern::new("*_T1w.hdr");
        assert!(is_image(&pattern, "a/x_T1w.hdr") && is_image(&pattern, "a/x_T1w.img.gz"));
        assert!(!is_image(&pattern, "a/x_T2w.img"));
        let pattern = Pattern::new("*T1w*");
        assert!(!is_image(
            &pattern,
            "deeplearning_prepare_data/image_based/custom/x_T1w.pt"
        ));
    }
}
