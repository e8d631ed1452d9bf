//! The images of a CAPS that synthetic ones are made from.
//!
//! What is generated keeps the folder and the name of its source below the session, so that the pattern
//! that found the source finds it as well. Entities that tell what was done come right after
//! participant and session: patterns look at the end of a name.

use std::collections::BTreeMap;

use engine::{Context, InputFile, InputPort, OutputPort, ParamIssue, Ports, StageError};

use crate::caps::{self, CapsImage, OnMissing, Restriction};
use crate::io::nifti;
use crate::preprocessing::{Choice, Layout, PreprocessingName, SuvrRegion};
use crate::table::{Session, Table, compare_sessions};
use crate::volume::Volume;

/// Which images of a CAPS are meant.
#[derive(Debug, Clone)]
pub(super) struct SourceChoice {
    pub(super) preprocessing: PreprocessingName,
    pub(super) choice: Choice,
}

impl SourceChoice {
    /// The images of a preprocessing; `tracer` and `region` are of PET.
    pub(super) fn new(
        preprocessing: PreprocessingName,
        use_uncropped_image: bool,
        tracer: Option<&str>,
        region: Option<SuvrRegion>,
    ) -> Self {
        let choice = Choice {
            use_uncropped_image,
            tracer: tracer.map(str::to_owned),
            suvr_reference_region: region,
            ..Choice::default()
        };
        Self {
            preprocessing,
            choice,
        }
    }

    /// The pattern of ClinicaDL 1.6.1 below a session's folder.
    pub(super) fn pattern(&self) -> String {
        self.preprocessing.get().file_type(&self.choice).pattern
    }

    /// What is missing or too much. ClinicaDL 1.6.1 looks for a tracer called `None` in places.
    pub(super) fn check(&self) -> Vec<ParamIssue> {
        let issues = self.preprocessing.check(&self.choice).into_iter();
        let mut issues: Vec<ParamIssue> = issues
            .map(|(field, message)| ParamIssue::new(field, message))
            .collect();
        let tracer = self.choice.tracer.as_deref();
        issues.extend(tracer.and_then(|tracer| check_label("tracer", tracer)));
        if self.preprocessing.get().layout() != Layout::Caps {
            let message = "expected images that Clinica preprocessed";
            issues.push(ParamIssue::new("preprocessing", message));
        }
        issues
    }
}

/// An issue of a parameter that becomes part of file names and is not made of letters and digits.
pub(super) fn check_label(field: &str, label: &str) -> Option<ParamIssue> {
    let fine = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let message = format!("`{label}` is part of file names, expected letters and digits");
    (!fine).then(|| ParamIssue::new(field, message))
}

/// The ports of a stage that makes a CAPS from a CAPS.
pub(super) fn ports(further: Option<InputPort>) -> Ports {
    let mut inputs = vec![
        InputPort::new("caps", &["caps"], "The images to start from."),
        InputPort::new("participants", &["table"], "Take these sessions only.").optional(),
    ];
    inputs.extend(further);
    Ports {
        inputs,
        outputs: outputs(),
    }
}

/// The outputs of every stage of this family.
pub(super) fn outputs() -> Vec<OutputPort> {
    vec![
        OutputPort::new("caps", "caps", "The images."),
        OutputPort::new("labels", "table", "Diagnosis of each session."),
    ]
}

/// One image to start from.
pub(super) struct Source {
    pub(super) participant: String,
    pub(super) session: String,
    pub(super) file: InputFile,
    /// Folder below the session's, empty or with a `/` at its end.
    folder: String,
    /// The file's name after participant and session.
    tail: String,
}

impl Source {
    fn new(image: CapsImage) -> Result<Self, StageError> {
        let (folder, name) = image.below.rsplit_once('/').unwrap_or(("", &image.below));
        let Some(tail) = name.splitn(3, '_').nth(2) else {
            let shown = &image.file.shown;
            let message = format!("`{shown}` is not named `<participant>_<session>_…`");
            return Err(StageError::new(message));
        };
        let folder = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        Ok(Self {
            folder,
            tail: tail.to_owned(),
            participant: image.participant,
            session: image.session,
            file: image.file,
        })
    }

    /// The image.
    ///
    /// # Errors
    /// It is no image, or has no finite voxel.
    pub(super) fn read(&self) -> Result<Volume, StageError> {
        let volume = nifti::read(&self.file.path, &self.file.shown)?;
        if volume.data.iter().any(|value| value.is_finite()) {
            Ok(volume)
        } else {
            let message = format!("`{}` has no finite voxel", self.file.shown);
            Err(StageError::new(message))
        }
    }

    /// The path in a CAPS of what is made from it for a session, with entities such as `deg-30_`.
    pub(super) fn path(&self, participant: &str, session: &str, entities: &str) -> String {
        let (folder, tail) = (&self.folder, &self.tail);
        format!("subjects/{participant}/{session}/{folder}{participant}_{session}_{entities}{tail}")
    }
}

/// The images that a pattern finds; those of the table of participants, in its order, if there is one.
///
/// # Errors
/// Those of [`caps::images`]; sessions of the table without an image, all of them named.
pub(super) fn sources(pattern: &str, context: &Context) -> Result<Vec<Source>, StageError> {
    let mut images = caps::images(context.input("caps")?, pattern, context)?;
    if let Some(input) = context.optional_input("participants") {
        let table = Table::read(input.only_file()?)?;
        let restriction = Restriction {
            pattern,
            needed_pipeline: None,
            cohorts: &[],
            on_missing: OnMissing::Error,
        };
        (images, _) = restriction.apply(images, |image| image, &table, context)?;
        let order = table.sessions()?;
        images.sort_by_key(|image| {
            let place = |session: &Session<'_>| {
                session.participant == image.participant && session.session == image.session
            };
            order.iter().position(place)
        });
    }
    images.into_iter().map(Source::new).collect()
}

/// The first session of each participant, sorted by participant.
///
/// In time: as text, as ClinicaDL 1.6.1 compares them, `ses-M100` comes before `ses-M12`.
pub(super) fn baseline(sources: Vec<Source>) -> Vec<Source> {
    let mut first: BTreeMap<String, Source> = BTreeMap::new();
    for source in sources {
        match first.get(&source.participant) {
            Some(other) if compare_sessions(&other.session, &source.session).is_le() => {}
            _ => {
                first.insert(source.participant.clone(), source);
            }
        }
    }
    first.into_values().collect()
}

/// The first `wanted` baseline sessions; all of them if no number is given.
///
/// # Errors
/// There are fewer.
pub(super) fn some_baseline(
    sources: Vec<Source>,
    wanted: Option<usize>,
) -> Result<Vec<Source>, StageError> {
    let mut sources = baseline(sources);
    match wanted {
        Some(wanted) if wanted > sources.len() => {
            let message = format!(
                "`n_subjects` is {wanted}, expected at most {}, the number of participants",
                sources.len()
            );
            Err(StageError::new(message).hint("without `n_subjects` all participants are taken"))
        }
        Some(wanted) => {
            sources.truncate(wanted);
            Ok(sources)
        }
        None => Ok(sources),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pet_without_tracer_or_region_is_refused_rather_than_called_none() {
        let fields = |preprocessing, tracer, region| -> Vec<String> {
            let choice = SourceChoice::new(preprocessing, false, tracer, region);
            choice.check().into_iter().map(|i| i.field).collect()
        };
        let pet = PreprocessingName::PetLinear;
        assert_eq!(fields(pet, None, None), ["tracer", "suvr_reference_region"]);
        assert_eq!(fields(pet, Some("*x"), Some(SuvrRegion::Pons)), ["tracer"]);
        assert_eq!(fields(PreprocessingName::T1, None, None), ["preprocessing"]);
    }
}
