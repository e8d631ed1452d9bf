//! What becomes of the maps of a model: files of each image, means, and tables.

use std::collections::BTreeMap;

use engine::{Context, StageError};
use maps::files::{CompletenessRow, CompletenessTable, MappedImage, RegionsTable};
use maps::layout::{MapOf, MapTable};
use maps::weights::Array;
use stages::extraction::Mode;
use tch::{Kind, Tensor};

use super::mean::Mean;
use super::method::Explanation;
use super::regions::Regions;
use super::writer::{Shows, Writer, map_of};
use crate::data::{Batch, Dataset, Sample};
use crate::error::During;
use crate::weights;
use crate::whole::{Frames, Space, Wholes, to_array, view};

/// A map that misses what it should add up to by more than this part of it is told.
const INCOMPLETE: f64 = 0.05;

/// The maps of one model, as they come in.
pub(super) struct Results<'a> {
    writer: Writer<'a>,
    individual: bool,
    mode: Mode,
    regions: Option<&'a Regions>,
    /// By number of the part; 0 for whole images.
    means: BTreeMap<usize, Mean>,
    frames: Frames<'a>,
    /// Images that were cut into parts.
    wholes: Wholes<'a>,
    mean_whole: Mean,
    of_images: RegionsTable,
    completeness: Vec<CompletenessRow>,
}

impl<'a> Results<'a> {
    pub(super) fn new(
        writer: Writer<'a>,
        dataset: &'a Dataset<'a>,
        individual: bool,
        regions: Option<&'a Regions>,
    ) -> Self {
        Self {
            writer,
            individual,
            mode: dataset.cohort.mode(),
            regions,
            means: BTreeMap::new(),
            frames: Frames::new(dataset),
            wholes: Wholes::new(dataset.cohort),
            mean_whole: Mean::default(),
            of_images: RegionsTable::default(),
            completeness: Vec::new(),
        }
    }

    /// Takes the maps of a batch.
    ///
    /// # Errors
    /// A map cannot be written, or no region of the atlas is where it is.
    pub(super) fn add(
        &mut self,
        batch: &Batch<'a>,
        explanation: &Explanation,
    ) -> Result<(), StageError> {
        let maps = &explanation.maps;
        self.add_sums(batch, explanation)?;
        if self.mode != Mode::Image {
            for (i, &sample) in (0..).zip(&batch.samples) {
                self.add_part(sample, &maps.f_narrow(0, i, 1).during("write a map")?)?;
            }
            return Ok(());
        }
        let spaces: Vec<Space> = batch
            .affines
            .iter()
            .map(|affine| Space {
                affine: Some(*affine),
                lacks: None,
            })
            .collect();
        for (i, (sample, space)) in (0..).zip(batch.samples.iter().zip(&spaces)) {
            let map = maps.f_select(0, i).during("write a map")?;
            self.add_image(sample, &weights::to_array(&map)?, *space)?;
        }
        self.means.entry(0).or_default().add(maps, &spaces)
    }

    /// Takes the map `[1, C, …]` of a part.
    fn add_part(&mut self, sample: &'a Sample, map: &Tensor) -> Result<(), StageError> {
        let placed = self.frames.place(sample)?;
        let array = weights::to_array(&map.f_squeeze_dim(0).during("write a map")?)?;
        if self.individual {
            let shows = Shows {
                level: self.mode.name(),
                part: sample.part,
            };
            let of = map_of(sample);
            self.writer.write(of, shows, &array, placed.space)?;
        }
        let mean = self.means.entry(sample.part).or_default();
        mean.add(map, &[placed.space])?;
        let Some((shape, place)) = &placed.place else {
            return Ok(());
        };
        let [channels, x, y, z] = *shape;
        let shape = [channels.min(array.shape()[0]), x, y, z];
        let Some(whole) = self.wholes.add(sample, shape, place, view(&array)?) else {
            return Ok(());
        };
        // No part shows anything of the rest.
        let array = to_array(shape, whole.finish(0.0))?;
        let space = Space {
            affine: Some(placed.affine),
            lacks: None,
        };
        self.add_image(sample, &array, space)?;
        let whole = weights::to_tensor(&array)?;
        self.mean_whole
            .add(&whole.f_unsqueeze(0).during("average maps")?, &[space])
    }

    /// Takes the map of an image.
    fn add_image(&mut self, sample: &Sample, map: &Array, space: Space) -> Result<(), StageError> {
        if self.individual {
            self.writer
                .write(map_of(sample), Shows::IMAGE, map, space)?;
        }
        let rows = self.measure(map, space, Some(&mapped(sample)))?;
        self.of_images.rows.extend(rows.rows);
        Ok(())
    }

    /// What a map has in the regions of the atlas, where there is one.
    fn measure(
        &self,
        map: &Array,
        space: Space,
        image: Option<&MappedImage>,
    ) -> Result<RegionsTable, StageError> {
        let rows = match (self.regions, map.as_f32(), &space.affine) {
            (Some(regions), Some(values), Some(affine)) => {
                regions.rows((map.shape(), values), affine, image)?
            }
            _ => Vec::new(),
        };
        Ok(RegionsTable { rows })
    }

    /// Notes what maps add up to, and what they should.
    fn add_sums(&mut self, batch: &Batch<'_>, found: &Explanation) -> Result<(), StageError> {
        if found.promised.is_empty() {
            return Ok(());
        }
        let flat = found.maps.f_flatten(1, -1);
        let sums = flat.and_then(|flat| {
            Vec::<f64>::try_from(&flat.f_sum_dim_intlist(&[1_i64][..], false, Kind::Double)?)
        });
        let sums = sums.during("add up a map")?;
        let rows = batch.samples.iter().zip(sums.iter().zip(&found.promised));
        for (sample, (&sum, &promised)) in rows {
            self.completeness.push(CompletenessRow {
                image: mapped(sample),
                part: u32::try_from(sample.part).map_err(StageError::internal)?,
                numbers: [sum, promised, (sum - promised).abs()],
            });
        }
        Ok(())
    }

    /// Writes means and tables.
    ///
    /// # Errors
    /// Any I/O error; an atlas without images to compare with.
    pub(super) fn finish(mut self, context: &Context) -> Result<(), StageError> {
        let means = std::mem::take(&mut self.means);
        let level = self.mode.name();
        let of_parts = means.values().any(|mean| mean.has_several_spaces);
        if of_parts || self.mean_whole.has_several_spaces {
            context.warn("images lie in different spaces, the mean map is in that of the first");
        }
        let whole = std::mem::take(&mut self.mean_whole);
        if self.mode != Mode::Image {
            match whole.finish_any()? {
                Some(mean) => self.write_mean(Shows::IMAGE, mean)?,
                None if self.regions.is_some() => {
                    let message = "images were extracted as parts alone: nobody knows where the atlas is in them";
                    return Err(StageError::new(message).hint(
                        "extract them with `prepare-data`, which keeps the sizes of images",
                    ));
                }
                None => context
                    .warn("images were extracted as parts alone: their maps are not put together"),
            }
        }
        for (part, mean) in means {
            let mean = mean.finish()?;
            self.write_mean(Shows { level, part }, mean)?;
        }
        if self.regions.is_some() {
            self.writer
                .write_regions(MapTable::Regions, &self.of_images)?;
        }
        self.finish_sums(context)
    }

    fn write_mean(
        &self,
        shows: Shows<'_>,
        (mean, space): (Tensor, Space),
    ) -> Result<(), StageError> {
        let mean = weights::to_array(&mean)?;
        self.writer.write(MapOf::Mean, shows, &mean, space)?;
        if self.regions.is_some() && shows.level == Shows::IMAGE.level {
            let rows = self.measure(&mean, space, None)?;
            self.writer.write_regions(MapTable::MeanRegions, &rows)?;
        }
        Ok(())
    }

    fn finish_sums(self, context: &Context) -> Result<(), StageError> {
        if self.completeness.is_empty() {
            return Ok(());
        }
        let table = CompletenessTable {
            level: self.mode.name().to_owned(),
            rows: self.completeness,
        };
        let is_incomplete = |row: &&CompletenessRow| {
            let [_, promised, error] = row.numbers;
            error > INCOMPLETE * promised.abs()
        };
        let incomplete = table.rows.iter().filter(is_incomplete).count();
        if incomplete > 0 {
            let all = table.rows.len();
            context.warn(format!(
                "{incomplete} of {all} maps miss the difference of outputs by more than 5 %: raise `n_steps`"
            ));
        }
        self.writer.write_completeness(&table)
    }
}

/// Whose map that of a sample is, in tables.
fn mapped(sample: &Sample) -> MappedImage {
    MappedImage {
        participant: sample.participant.clone(),
        session: sample.session.clone(),
        cohort: sample.cohort.clone(),
    }
}
