//! The mean of maps.

use engine::StageError;
use tch::{Kind, Tensor};

use crate::error::During;
use crate::whole::Space;

/// The mean of maps, summed in double precision.
#[derive(Debug, Default)]
pub(super) struct Mean {
    sum: Option<Tensor>,
    count: usize,
    space: Option<Space>,
    /// Whether maps lie in different spaces; the mean is in that of the first.
    pub(super) has_several_spaces: bool,
}

impl Mean {
    /// Adds maps `[B, C, …]`, each with its space.
    pub(super) fn add(&mut self, maps: &Tensor, spaces: &[Space]) -> Result<(), StageError> {
        let act = "average maps";
        let sum = maps
            .f_sum_dim_intlist(&[0_i64][..], false, Kind::Double)
            .during(act)?;
        self.sum = Some(match self.sum.take() {
            None => sum,
            Some(total) if total.size() != sum.size() => {
                let (first, other) = (&total.size()[1..], &sum.size()[1..]);
                let message = format!("maps of {first:?} and of {other:?} voxels have no mean");
                return Err(StageError::new(message).hint("the images of a group have one size"));
            }
            Some(mut total) => total.f_add_(&sum).during(act)?,
        });
        self.count += spaces.len();
        for space in spaces {
            let first = self.space.get_or_insert(*space);
            self.has_several_spaces |= first != space;
        }
        Ok(())
    }

    /// The mean and its space, where there is any map.
    pub(super) fn finish_any(self) -> Result<Option<(Tensor, Space)>, StageError> {
        match self.count {
            0 => Ok(None),
            _ => self.finish().map(Some),
        }
    }

    /// The mean and its space.
    pub(super) fn finish(self) -> Result<(Tensor, Space), StageError> {
        let (Some(mut sum), Some(space)) = (self.sum, self.space) else {
            return Err(StageError::internal("there is no map to average"));
        };
        let mean = sum
            .f_divide_scalar_(self.count as f64)
            .and_then(|mean| mean.f_to_kind(Kind::Float))
            .during("average maps")?;
        Ok((mean, space))
    }
}
