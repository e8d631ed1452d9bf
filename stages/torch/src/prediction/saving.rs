//! Files of images and parts: what networks take and give, and what parts say put together.
//!
//! A NIfTI file is in the space of its image: a part has the affine of its own voxels among those of the
//! image, and the image that parts make has the image's.
//!
//! # Source
//! ClinicaDL 1.6.1, `--save_tensor`, `--save_nifti`, `--save_latent_tensor`. Deviations: there NIfTI files have
//! an identity affine, those of parts overwrite one another, and the latent vector of a `CVAE_3D` is the
//! logarithm of its variance.

use std::collections::BTreeMap;

use engine::StageError;
use maps::layout::{IMAGE_LEVEL, Saved, SavedAs, SplitPath};
use maps::weights::{Array, write_pt};
use ndarray::ArrayD;
use stages::extraction::{Mode, Parts, Place, Whole};
use stages::io::nifti;
use stages::learning::names::{SavedName, Task};
use stages::volume::{Affine, Volume};
use tch::{Kind, Tensor};

use super::Work;
use super::course::numbered;
use super::kept::{Scratch, Words, Written};
use crate::data::{Batch, Dataset, Key, Sample};
use crate::error::During;
use crate::tasks::{Said, measures};
use crate::weights;
use crate::whole::{Frames, Placed, Space, Wholes, to_array, view};

/// What is written, and what images are made of parts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    tensors: bool,
    nifti: bool,
    pub(super) latent: bool,
    /// Reconstructions of parts are put together.
    joins: bool,
    /// What parts say is laid over their image.
    overlays: bool,
}

/// What a network made of a batch.
pub(super) struct Seen {
    pub(super) said: Vec<Said>,
    /// The sum over its images.
    pub(super) loss: f64,
    /// `[B, …]`.
    pub(super) output: Tensor,
    /// `[B, …]`, of an autoencoder.
    pub(super) code: Option<Tensor>,
}

impl Wanted {
    /// What is asked for.
    ///
    /// # Errors
    /// The model makes no images, or files of two images would have one name.
    pub(super) fn of(work: &Work<'_>) -> Result<Self, StageError> {
        let (task, mode) = (work.model.objective.task(), work.cohort.mode());
        let asks = |name: SavedName| work.save.contains(&name);
        let nifti = asks(SavedName::Nifti);
        let is_image = task == Task::Reconstruction;
        if nifti && !is_image && mode == Mode::Image {
            let task = task.name();
            let message = format!(
                "`save: nifti`: the model is a {task} of whole images, expected a reconstruction or parts of images"
            );
            return Err(StageError::new(message).hint("leave `nifti` out of `save`"));
        }
        if !work.save.is_empty() {
            work.cohort
                .check_names()
                .map_err(|error| error.hint("predict the cohorts as data groups of their own"))?;
        }
        let is_of_parts = mode != Mode::Image;
        Ok(Self {
            tensors: asks(SavedName::Tensors),
            nifti,
            latent: asks(SavedName::Latent),
            joins: is_image && is_of_parts,
            overlays: nifti && !is_image && is_of_parts,
        })
    }
}

/// The files of a prediction, as batches come in.
pub(super) struct Saving<'a> {
    wanted: Wanted,
    work: &'a Work<'a>,
    parts: &'a Parts,
    scratch: &'a Scratch,
    frames: Frames<'a>,
    numbers: BTreeMap<Key<'a>, usize>,
    inputs: Wholes<'a>,
    /// By model: reconstructions, or what is said of parts.
    made: Vec<Wholes<'a>>,
    /// Whether somebody was told that images are not put together.
    has_warned: bool,
    /// Since it was taken last.
    images: Vec<Vec<(usize, Words)>>,
    files: Vec<Written>,
}

impl<'a> Saving<'a> {
    pub(super) fn new(
        wanted: &Wanted,
        work: &'a Work<'a>,
        dataset: &Dataset<'a>,
        scratch: &'a Scratch,
    ) -> Self {
        let (cohort, models) = (work.cohort, work.metrics.len());
        Self {
            wanted: *wanted,
            work,
            parts: &cohort.extraction.parts,
            scratch,
            frames: Frames::new(dataset),
            numbers: numbered(cohort),
            inputs: Wholes::new(cohort),
            made: (0..models).map(|_| Wholes::new(cohort)).collect(),
            has_warned: false,
            images: vec![Vec::new(); models],
            files: Vec::new(),
        }
    }

    /// Measures of images that were put together, and the files written, since they were taken last.
    pub(super) fn take(&mut self) -> (Vec<Vec<(usize, Words)>>, Vec<Written>) {
        let models = self.images.len();
        let images = std::mem::replace(&mut self.images, vec![Vec::new(); models]);
        (images, std::mem::take(&mut self.files))
    }

    /// Takes what all models made of a batch.
    ///
    /// # Errors
    /// A file cannot be written, or nobody knows where parts are in their image.
    pub(super) fn add(&mut self, batch: &Batch<'a>, seen: &[Seen]) -> Result<(), StageError> {
        let Wanted {
            tensors,
            nifti,
            latent,
            joins,
            overlays,
        } = self.wanted;
        if !(tensors || nifti || latent || joins || overlays) {
            return Ok(());
        }
        for (i, &sample) in batch.samples.iter().enumerate() {
            let of_sample = OfSample {
                sample,
                level: self.work.cohort.mode().name(),
                part: sample.part,
            };
            if tensors || latent {
                self.save_tensors(of_sample, &batch.images, seen, i)?;
            }
            if !(nifti || joins) {
                continue;
            }
            let placed = match self.work.cohort.mode() {
                Mode::Image => in_space_of_image(batch.affines[i]),
                _ => self.place(sample)?,
            };
            if overlays {
                self.overlay(sample, &placed, seen, i)?;
                continue;
            }
            let input = one_channel(&batch.images, i)?;
            let outputs = seen.iter().map(|seen| one_channel(&seen.output, i));
            let outputs = outputs.collect::<Result<Vec<Array>, StageError>>()?;
            if nifti {
                self.save_images(of_sample, placed.space, &input, &outputs)?;
            }
            if joins {
                self.join(sample, &placed, &input, &outputs)?;
            }
        }
        Ok(())
    }

    /// Where a part is.
    fn place(&mut self, sample: &'a Sample) -> Result<Placed, StageError> {
        let placed = self.frames.place(sample)?;
        if placed.place.is_none() && self.wanted.nifti {
            let message = "`save: nifti`: images were extracted as parts alone, nobody knows where these are in them";
            return Err(StageError::new(message)
                .hint("extract them with `prepare-data`, which keeps the sizes of images"));
        }
        Ok(placed)
    }

    fn save_tensors(
        &mut self,
        of: OfSample<'_>,
        images: &Tensor,
        seen: &[Seen],
        i: usize,
    ) -> Result<(), StageError> {
        let bytes = |batch: &Tensor| {
            let one = batch.f_select(0, i as i64).during("save a tensor")?;
            Ok::<_, StageError>(write_pt(&weights::to_array(&one)?))
        };
        let input = bytes(images)?;
        for (model, seen) in seen.iter().enumerate() {
            if self.wanted.tensors {
                self.write(model, of, SavedAs::Input, &input)?;
                self.write(model, of, SavedAs::Output, &bytes(&seen.output)?)?;
            }
            if let Some(code) = &seen.code {
                self.write(model, of, SavedAs::Latent, &bytes(code)?)?;
            }
        }
        Ok(())
    }

    /// Writes an input and what models made of it as images.
    fn save_images(
        &mut self,
        of: OfSample<'_>,
        space: Space,
        input: &Array,
        outputs: &[Array],
    ) -> Result<(), StageError> {
        // A part with gaps is on no grid.
        let Some(input) = space.volume(input) else {
            return Ok(());
        };
        let input = nifti::to_bytes(&input)?;
        for (model, output) in outputs.iter().enumerate() {
            let Some(output) = space.volume(output) else {
                continue;
            };
            self.write(model, of, SavedAs::InputImage, &input)?;
            self.write(model, of, SavedAs::OutputImage, &nifti::to_bytes(&output)?)?;
        }
        Ok(())
    }

    /// Adds a part to the image that it is of; writes and measures that image when it was the last one.
    fn join(
        &mut self,
        sample: &'a Sample,
        placed: &Placed,
        input: &Array,
        outputs: &[Array],
    ) -> Result<(), StageError> {
        let place = placed.place.as_ref();
        let Some((shape, place)) = place.filter(|_| self.work.model.is_whole_grid()) else {
            if !self.has_warned {
                let why = match placed.place.is_some() {
                    true => "their grid was thinned by `size_reduction`",
                    false => "images were extracted as parts alone",
                };
                let message = format!("reconstructions of parts are not put together: {why}");
                self.work.context.warn(message);
                self.has_warned = true;
            }
            return Ok(());
        };
        let shape = [input.shape()[0], shape[1], shape[2], shape[3]];
        let image = self.inputs.add(sample, shape, place, view(input)?);
        let mut made = Vec::with_capacity(outputs.len());
        for (wholes, output) in self.made.iter_mut().zip(outputs) {
            made.extend(wholes.add(sample, shape, place, view(output)?));
        }
        let Some(image) = image else {
            return Ok(());
        };
        let covered = image.covered();
        let finish = |whole: Whole| to_array(shape, whole.finish(0.0));
        let image = finish(image)?;
        let made = made.into_iter().map(finish);
        let made = made.collect::<Result<Vec<Array>, StageError>>()?;
        let number = self.numbers.get(&sample.key()).copied().unwrap_or(0);
        let cut = |image: &Array| -> Result<Tensor, StageError> {
            let mut image = weights::to_tensor(image)?
                .f_unsqueeze(0)
                .during("cut an image")?;
            for (axis, range) in (2..).zip(&covered) {
                let (start, length) = (range.start as i64, range.len() as i64);
                image = image.f_narrow(axis, start, length).during("cut an image")?;
            }
            image.f_contiguous().during("cut an image")
        };
        let seen = cut(&image)?;
        for (model, made) in made.iter().enumerate() {
            let found =
                tch::no_grad(|| measures(&seen, &cut(made)?, true).during("compare images"))?;
            self.images[model].push((number, (&Said::Measures(found)).into()));
        }
        let of = OfSample::image(sample);
        if self.wanted.tensors {
            let input = write_pt(&image);
            for (model, made) in made.iter().enumerate() {
                self.write(model, of, SavedAs::Input, &input)?;
                self.write(model, of, SavedAs::Output, &write_pt(made))?;
            }
        }
        if self.wanted.nifti {
            let space = in_space_of_image(placed.affine).space;
            self.save_images(of, space, &image, &made)?;
        }
        Ok(())
    }

    /// Lays what is said of a part over its image; writes that when it was the last one.
    fn overlay(
        &mut self,
        sample: &'a Sample,
        placed: &Placed,
        seen: &[Seen],
        i: usize,
    ) -> Result<(), StageError> {
        let Some((image, _)) = &placed.place else {
            return Ok(());
        };
        // All of its voxels, also those that the network does not see.
        let place = Place {
            lacks: None,
            ..self.parts.place(*image, sample.part)
        };
        let [x, y, z] = place.shape();
        for (model, seen) in seen.iter().enumerate() {
            let numbers: Vec<f64> = match &seen.said[i] {
                Said::Class { probabilities, .. } => probabilities.clone(),
                Said::Number(number) => vec![*number],
                Said::Measures(_) => continue,
            };
            let kinds: Vec<SavedAs> = match &seen.said[i] {
                Said::Class { .. } => (0..numbers.len()).map(SavedAs::Probability).collect(),
                _ => vec![SavedAs::Value],
            };
            let over =
                ArrayD::from_shape_fn(vec![numbers.len(), x, y, z], |at| numbers[at[0]] as f32);
            let shape = [numbers.len(), image[1], image[2], image[3]];
            let Some(whole) = self.made[model].add(sample, shape, &place, over.view()) else {
                continue;
            };
            let voxels = whole.finish(f32::NAN);
            let maps = voxels.chunks(image[1..].iter().product::<usize>().max(1));
            for (kind, map) in kinds.into_iter().zip(maps) {
                let volume = Volume {
                    data: map.to_vec(),
                    shape: [image[1], image[2], image[3]],
                    affine: placed.affine,
                };
                let bytes = nifti::to_bytes(&volume)?;
                self.write(model, OfSample::image(sample), kind, &bytes)?;
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        model: usize,
        of: OfSample<'_>,
        what: SavedAs,
        bytes: &[u8],
    ) -> Result<(), StageError> {
        let path = SplitPath::Saved {
            metric: &self.work.metrics[model],
            group: self.work.group,
            of: Saved {
                participant: &of.sample.participant,
                session: &of.sample.session,
                level: of.level,
                part: of.part,
                what,
            },
        };
        let path = path.in_artifact();
        self.files.push(self.scratch.write(&path, bytes)?);
        Ok(())
    }
}

/// What a file is about: a part, or the whole image of a sample.
#[derive(Clone, Copy)]
struct OfSample<'s> {
    sample: &'s Sample,
    level: &'s str,
    part: usize,
}

impl<'s> OfSample<'s> {
    fn image(sample: &'s Sample) -> Self {
        Self {
            sample,
            level: IMAGE_LEVEL,
            part: 0,
        }
    }
}

/// The place of a whole image.
fn in_space_of_image(affine: Affine) -> Placed {
    Placed {
        space: Space {
            affine: Some(affine),
            lacks: None,
        },
        affine,
        place: None,
    }
}

/// An image of a batch; of an RGB slice, whose channels are copies of one, their mean.
fn one_channel(batch: &Tensor, i: usize) -> Result<Array, StageError> {
    let mean = || {
        let image = batch.f_select(0, i as i64)?;
        match image.size()[0] {
            3 => image.f_mean_dim(&[0_i64][..], true, Kind::Float),
            _ => Ok(image),
        }
    };
    weights::to_array(&mean().during("save an image")?)
}
