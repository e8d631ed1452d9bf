//! What maps have in the regions of an atlas.

use std::cell::RefCell;
use std::rc::Rc;

use engine::{Context, StageError};
use maps::files::{MappedImage, RegionRow};
use stages::atlas::Atlas;
use stages::volume::Affine;

/// An atlas, with its regions on the grid seen last: images of a group mostly share theirs.
pub(super) struct Regions {
    atlas: Atlas,
    last: RefCell<Option<OnGrid>>,
}

/// Regions that a message lists at most.
const LISTED: usize = 10;

fn unnamed(table: &str, labels: &[u32]) -> String {
    let listed: Vec<String> = labels.iter().take(LISTED).map(u32::to_string).collect();
    let more = match labels.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} others"),
    };
    let listed = listed.join(", ");
    format!("`{table}` names no region {listed}{more}: numbers are their names")
}

/// The regions on a grid.
struct OnGrid {
    shape: [usize; 3],
    affine: Affine,
    labels: Rc<Vec<u32>>,
}

impl Regions {
    /// The atlas of the stage, where it has one.
    ///
    /// # Errors
    /// It is none, or there are names of regions without an atlas.
    pub(super) fn open(context: &Context) -> Result<Option<Self>, StageError> {
        let names = context.optional_input("regions");
        let Some(image) = context.optional_input("atlas") else {
            return match names {
                None => Ok(None),
                Some(names) => {
                    let message = format!("`{}` names regions of no atlas", names.shown);
                    Err(StageError::new(message)
                        .hint("connect the image of the regions to `atlas`"))
                }
            };
        };
        let atlas = Atlas::open(image, names)?;
        if let (Some(names), [_, ..]) = (names, atlas.unnamed()) {
            context.warn(unnamed(&names.shown, atlas.unnamed()));
        }
        Ok(Some(Self {
            atlas,
            last: RefCell::new(None),
        }))
    }

    /// The rows of a map of `[C, X, Y, Z]`, whose channels are added up.
    ///
    /// # Errors
    /// No region is where the map is.
    pub(super) fn rows(
        &self,
        (shape, map): (&[usize], &[f32]),
        affine: &Affine,
        image: Option<&MappedImage>,
    ) -> Result<Vec<RegionRow>, StageError> {
        let &[_, x, y, z] = shape else {
            return Err(StageError::internal(format!("a map has shape {shape:?}")));
        };
        let labels = self.on([x, y, z], affine)?;
        let mut sums = vec![0.0_f32; labels.len()];
        for channel in map.chunks_exact(labels.len()) {
            sums.iter_mut()
                .zip(channel)
                .for_each(|(sum, value)| *sum += value);
        }
        let measured = self.atlas.measure(&labels, &sums).into_iter();
        let rows = measured.map(|region| RegionRow {
            image: image.cloned(),
            value: region.value,
            name: region.name,
            voxels: region.voxels,
            numbers: [region.sum, region.mean, region.absolute_share],
        });
        Ok(rows.collect())
    }

    fn on(&self, shape: [usize; 3], affine: &Affine) -> Result<Rc<Vec<u32>>, StageError> {
        let mut last = self.last.borrow_mut();
        if let Some(known) = last.as_ref()
            && known.shape == shape
            && known.affine == *affine
        {
            return Ok(known.labels.clone());
        }
        let labels = Rc::new(self.atlas.on(shape, affine)?);
        *last = Some(OnGrid {
            shape,
            affine: *affine,
            labels: labels.clone(),
        });
        Ok(labels)
    }
}
