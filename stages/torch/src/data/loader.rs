//! Batches, read ahead by threads.
//!
//! Thread `t` of `n` prepares the images at positions `t`, `t + n`, … of the order and hands each over
//! through a channel of its own that holds one; the consumer takes them in turn. So batches never
//! depend on the number of threads, and at most two images per thread wait in memory.
//!
//! A dataset whose prepared images are small enough together keeps them after the first pass.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use engine::StageError;
use engine::profile::span;
use engine::seed::Stream;
use stages::augmentation::Augmenter;
use tch::{Device, Tensor};

use super::transforms::Image;
use super::{Cohort, Sample, Shared, Transforms};
use crate::error::During;

/// Prepared images of a dataset are kept in memory up to this size.
const KEPT_BYTES: usize = 512 << 20;

/// A prepared image, once it is there; datasets that hold the same image can share it.
type Kept = Arc<OnceLock<Arc<Image>>>;

/// A cohort with the way its images are prepared.
#[derive(Debug)]
pub(crate) struct Dataset<'a> {
    pub(crate) cohort: &'a Cohort,
    pub(crate) transforms: Transforms,
    /// `[C, X, Y, Z]` that every image must have.
    pub(crate) input_size: Vec<usize>,
    /// One cell per image; empty if they are not kept.
    kept: Vec<Kept>,
    /// The images that parts are cut from, where each is read once.
    shared: Option<&'a Shared>,
}

/// How a dataset is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    pub(crate) size: usize,
    pub(crate) threads: usize,
    pub(crate) device: Device,
}

/// Random changes of the images of a pass.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    pub(crate) augmenter: &'a Augmenter,
    /// Every place of the pass has a stream of its own below this one.
    pub(crate) stream: Stream,
    /// Place of the first image, where a pass goes on in its middle.
    pub(crate) first: usize,
}

/// Images that pass through the network together.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// Number of the batch in this pass, from 0.
    pub(crate) index: usize,
    pub(crate) samples: Vec<&'a Sample>,
    /// Place of each image in space.
    pub(crate) affines: Vec<stages::volume::Affine>,
    /// `[B, C, X, Y, Z]`.
    pub(crate) images: Tensor,
}

impl<'a> Batch<'a> {
    /// So many of its images, from a place on.
    ///
    /// # Errors
    /// It has fewer.
    pub(crate) fn part(&self, first: usize, count: usize) -> Result<Self, StageError> {
        let images = self.images.f_narrow(0, first as i64, count as i64);
        let members = first..first + count;
        Ok(Self {
            index: self.index,
            images: images.during("divide a batch")?,
            samples: self.samples[members.clone()].to_vec(),
            affines: self.affines[members].to_vec(),
        })
    }
}

impl<'a> Dataset<'a> {
    /// A dataset of images of a known size.
    pub(crate) fn new(cohort: &'a Cohort, transforms: Transforms, input_size: Vec<usize>) -> Self {
        let n_images = cohort.samples.len();
        let image_bytes = input_size
            .iter()
            .fold(4_usize, |size, &axis| size.saturating_mul(axis));
        let are_kept = n_images.saturating_mul(image_bytes) <= KEPT_BYTES;
        Self {
            cohort,
            transforms,
            input_size,
            kept: if are_kept {
                (0..n_images).map(|_| Kept::default()).collect()
            } else {
                Vec::new()
            },
            shared: None,
        }
    }

    /// The same for a single pass: no image is kept, and one that parts are cut from is read once.
    #[must_use]
    pub(crate) fn in_one_pass(self, shared: &'a Shared) -> Self {
        Self {
            kept: Vec::new(),
            shared: Some(shared),
            ..self
        }
    }

    /// A dataset whose input size is that of its first image.
    ///
    /// # Errors
    /// The first image cannot be read.
    pub(crate) fn measure(cohort: &'a Cohort, transforms: Transforms) -> Result<Self, StageError> {
        let first = cohort
            .samples
            .first()
            .ok_or_else(|| StageError::new(format!("`{}` has no row", cohort.shown)))?;
        let input_size = transforms
            .read(&first.file, &cohort.extraction, first.part)?
            .shape;
        Ok(Self::new(cohort, transforms, input_size))
    }

    /// Takes the images from a place on from a dataset that has the same ones, so that each is kept once.
    pub(crate) fn share(&mut self, first: usize, part: &Dataset<'_>) {
        let kept = self.kept.get_mut(first..first + part.kept.len());
        if let Some(kept) = kept {
            kept.clone_from_slice(&part.kept);
        }
    }

    /// Every image in the order of the table.
    pub(crate) fn natural_order(&self) -> Vec<usize> {
        (0..self.cohort.samples.len()).collect()
    }

    /// Reads the images in `order`, changes them if asked to, and hands them over in batches.
    ///
    /// # Errors
    /// Those of `visit`; an image cannot be read or has another size.
    pub(crate) fn for_each_batch(
        &self,
        order: &[usize],
        batches: Batches,
        changes: Option<&Changes<'_>>,
        mut visit: impl FnMut(Batch<'a>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        if batches.threads == 0 {
            let next = |place, index| self.prepare(place, index, changes);
            return self.consume(order, batches, next, visit);
        }
        let threads = batches.threads.min(order.len());
        std::thread::scope(|scope| {
            // Dropping the receivers, on success and on failure, ends the threads.
            let mut receivers: Vec<Receiver<Result<Arc<Image>, StageError>>> = Vec::new();
            for thread in 0..threads {
                let (sender, receiver) = sync_channel(1);
                receivers.push(receiver);
                let mine = order.iter().copied().enumerate();
                let mine = mine.skip(thread).step_by(threads);
                scope.spawn(move || self.read_ahead(mine, changes, &sender));
            }
            self.consume(
                order,
                batches,
                |place, _| {
                    receivers[place % threads]
                        .recv()
                        .map_err(|_| StageError::internal("a loader thread ended early"))?
                },
                &mut visit,
            )
        })
    }

    fn read_ahead(
        &self,
        places: impl Iterator<Item = (usize, usize)>,
        changes: Option<&Changes<'_>>,
        sender: &SyncSender<Result<Arc<Image>, StageError>>,
    ) {
        for (place, index) in places {
            if sender.send(self.prepare(place, index, changes)).is_err() {
                return;
            }
        }
    }

    /// The image at a place of the order.
    fn prepare(
        &self,
        place: usize,
        index: usize,
        changes: Option<&Changes<'_>>,
    ) -> Result<Arc<Image>, StageError> {
        let image = self.load(index)?;
        let Some(changes) = changes.filter(|changes| !changes.augmenter.is_empty()) else {
            return Ok(image);
        };
        let stream = changes.stream.child(changes.first + place);
        let voxels = image.augmented(changes.augmenter, &self.cohort.extraction, &stream)?;
        Ok(Arc::new(Image {
            shape: image.shape.clone(),
            voxels,
            affine: image.affine,
        }))
    }

    fn load(&self, index: usize) -> Result<Arc<Image>, StageError> {
        let kept = self.kept.get(index);
        if let Some(image) = kept.and_then(|cell| cell.get()) {
            return Ok(image.clone());
        }
        let sample = &self.cohort.samples[index];
        let (file, extraction, part) = (&sample.file, &self.cohort.extraction, sample.part);
        let image = Arc::new(match self.shared {
            Some(shared) => self.transforms.read_of(shared, file, extraction, part)?,
            None => self.transforms.read(file, extraction, part)?,
        });
        if image.shape != self.input_size {
            return Err(StageError::new(format!(
                "image of {}, {} has shape {:?}, expected {:?}",
                sample.participant, sample.session, image.shape, self.input_size
            )));
        }
        if let Some(cell) = kept {
            // Another thread may have been faster, with the same image.
            cell.set(image.clone()).unwrap_or_default();
        }
        Ok(image)
    }

    fn consume(
        &self,
        order: &[usize],
        batches: Batches,
        mut next: impl FnMut(usize, usize) -> Result<Arc<Image>, StageError>,
        mut visit: impl FnMut(Batch<'a>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        for (index, members) in order.chunks(batches.size.max(1)).enumerate() {
            let waiting = span("data");
            let places = index * batches.size.max(1)..;
            let read = places.zip(members);
            let read: Vec<Arc<Image>> = read
                .map(|(place, &member)| next(place, member))
                .collect::<Result<_, _>>()?;
            let voxels: Vec<&[f32]> = read.iter().map(|image| &image.voxels[..]).collect();
            let mut shape = vec![members.len() as i64];
            shape.extend(self.input_size.iter().map(|&axis| axis as i64));
            let images = kernels::stacked(&voxels)
                .and_then(|flat| flat.f_view(shape.as_slice())?.f_to_device(batches.device))
                .during("make a batch")?;
            let affines = read.iter().map(|image| image.affine).collect();
            drop(waiting);
            visit(Batch {
                index,
                samples: members
                    .iter()
                    .map(|&member| &self.cohort.samples[member])
                    .collect(),
                affines,
                images,
            })?;
        }
        Ok(())
    }
}
