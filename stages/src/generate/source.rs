//! The images of a CAPS that synthetic ones are made from.
//!
//! What is generated keeps the folder and the name of its source below the session, so that the pattern
//! that found the source finds it as well. Entities that tell what was done come right after
//! participant and session: patterns look at the end of a name.

use std::collections::BTreeMap;

use engine::{Context, InputFile, InputPort, OutputPort, ParamIssue, Ports, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::caps::{self, CapsImage, some};
use crate::io::nifti;
use crate::preprocessing::{Choice, PreprocessingName};
use crate::table::{Table, compare_sessions};
use crate::volume::Volume;

/// The preprocessing that made the images of a CAPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceName {
    /// T1-weighted MRI registered to MNI space.
    T1Linear,
    /// PET registered to MNI space, scaled by the mean of a reference region.
    PetLinear,
}

/// The region whose mean uptake scales a PET image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SuvrRegion {
    /// Pons.
    Pons,
    /// Cerebellum and pons.
    CerebellumPons,
    /// Pons, eroded.
    Pons2,
    /// Cerebellum and pons, eroded.
    CerebellumPons2,
}

impl SuvrRegion {
    fn name(self) -> &'static str {
        match self {
            Self::Pons => "pons",
            Self::CerebellumPons => "cerebellumPons",
            Self::Pons2 => "pons2",
            Self::CerebellumPons2 => "cerebellumPons2",
        }
    }
}

/// Which images of a CAPS are meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceChoice<'a> {
    pub(super) preprocessing: SourceName,
    pub(super) cropped: bool,
    pub(super) tracer: Option<&'a str>,
    pub(super) region: Option<SuvrRegion>,
}

impl SourceChoice<'_> {
    /// The pattern of ClinicaDL 1.6.1 below a session's folder.
    pub(super) fn pattern(&self) -> String {
        match self.preprocessing {
            SourceName::T1Linear => {
                let choice = Choice {
                    cropped: self.cropped,
                };
                PreprocessingName::T1Linear.get().file_type(&choice).pattern
            }
            SourceName::PetLinear => {
                let crop = if self.cropped { "_desc-Crop" } else { "" };
                // Both were checked with the parameters.
                let tracer = self.tracer.unwrap_or_default();
                let region = self.region.map_or("", SuvrRegion::name);
                format!(
                    "pet_linear/*_trc-{tracer}_space-MNI152NLin2009cSym{crop}_res-1x1x1\
                     _suvr-{region}_pet.nii.gz"
                )
            }
        }
    }

    /// What PET needs besides. ClinicaDL 1.6.1 looks for a tracer called `None` in places.
    pub(super) fn check(&self) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        if self.preprocessing == SourceName::PetLinear {
            if self.tracer.is_none() {
                issues.push(ParamIssue::new(
                    "tracer",
                    "pet-linear needs a tracer, such as 18FFDG",
                ));
            }
            if self.region.is_none() {
                let message = "pet-linear needs a reference region, such as cerebellumPons2";
                issues.push(ParamIssue::new("suvr_reference_region", message));
            }
        }
        issues.extend(self.tracer.and_then(|tracer| check_label("tracer", tracer)));
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
    fn new(image: CapsImage, path: &str) -> Result<Self, StageError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = folder.splitn(4, '/').nth(3);
        let Some(tail) = name.splitn(3, '_').nth(2) else {
            let shown = &image.file.shown;
            let message = format!("`{shown}` is not named `<participant>_<session>_…`");
            return Err(StageError::new(message));
        };
        Ok(Self {
            participant: image.participant,
            session: image.session,
            folder: folder.map_or(String::new(), |folder| format!("{folder}/")),
            tail: tail.to_owned(),
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

/// The images that a pattern finds, in the order of the table of participants if there is one.
///
/// # Errors
/// Those of [`caps::images`]; sessions of the table without an image, all of them named.
pub(super) fn sources(pattern: &str, context: &Context) -> Result<Vec<Source>, StageError> {
    let caps = context.input("caps")?;
    let images = caps::images(caps, pattern, context)?;
    let paths: BTreeMap<&str, &str> = caps
        .files
        .iter()
        .map(|(path, file)| (file.shown.as_str(), path.as_str()))
        .collect();
    let images = match context.optional_input("participants") {
        Some(input) => restrict(images, &Table::read(input.only_file()?)?, pattern)?,
        None => images,
    };
    images
        .into_iter()
        .map(|image| {
            let path = paths.get(image.file.shown.as_str()).copied();
            let path = path.ok_or_else(|| StageError::internal("an image is not in its CAPS"))?;
            Source::new(image, path)
        })
        .collect()
}

/// The images of a table's sessions, in its order.
fn restrict(
    images: Vec<CapsImage>,
    table: &Table,
    pattern: &str,
) -> Result<Vec<CapsImage>, StageError> {
    let mut present: BTreeMap<(String, String), CapsImage> = images
        .into_iter()
        .map(|image| ((image.participant.clone(), image.session.clone()), image))
        .collect();
    let mut chosen = Vec::new();
    let mut missing = Vec::new();
    for session in table.sessions()? {
        let key = (session.participant.to_owned(), session.session.to_owned());
        match present.remove(&key) {
            Some(image) => chosen.push(image),
            None => missing.push(format!("{}, {}", key.0, key.1)),
        }
    }
    let shown = table.shown();
    if !missing.is_empty() {
        let (count, all) = (missing.len(), table.len());
        let list = some(&missing);
        let message =
            format!("no image `{pattern}` for {count} of {all} sessions of `{shown}`: {list}");
        return Err(StageError::new(message).hint("leave them out of the table"));
    }
    if chosen.is_empty() {
        return Err(StageError::new(format!("`{shown}` has no session")));
    }
    Ok(chosen)
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
    fn patterns_of_pet_are_those_of_clinicadl() {
        let mut choice = SourceChoice {
            preprocessing: SourceName::PetLinear,
            cropped: true,
            tracer: Some("18FFDG"),
            region: Some(SuvrRegion::CerebellumPons2),
        };
        assert_eq!(
            choice.pattern(),
            "pet_linear/*_trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1\
             _suvr-cerebellumPons2_pet.nii.gz"
        );
        choice.cropped = false;
        assert!(choice.pattern().contains("Sym_res-1x1x1_suvr-"));
        for region in ["pons", "cerebellumPons", "pons2", "cerebellumPons2"] {
            let parsed: SuvrRegion = serde_json::from_value(region.into()).unwrap();
            assert_eq!(parsed.name(), region);
        }
    }

    #[test]
    fn pet_without_tracer_or_region_is_refused_rather_than_called_none() {
        let choice = SourceChoice {
            preprocessing: SourceName::PetLinear,
            cropped: true,
            tracer: None,
            region: None,
        };
        let fields: Vec<String> = choice.check().into_iter().map(|i| i.field).collect();
        assert_eq!(fields, ["tracer", "suvr_reference_region"]);
        let odd = SourceChoice {
            tracer: Some("*/.."),
            region: Some(SuvrRegion::Pons),
            ..choice
        };
        assert!(odd.check()[0].message.contains("letters and digits"));
    }
}
