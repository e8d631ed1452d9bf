//! Dropout.

use std::cell::RefCell;

use maps::files::python_repr;
use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode};

/// In training each number is dropped with this probability, and the others are scaled to make up for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout(pub(crate) f64);

impl Make for Dropout {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(Dropping {
            probability: self.0,
            kept: RefCell::default(),
        }))
    }
}

#[derive(Debug)]
struct Dropping {
    probability: f64,
    /// Which numbers the last pass that will be made again did not drop.
    kept: RefCell<Option<Tensor>>,
}

impl Dropping {
    /// Drops all numbers but those, by the arithmetic of libtorch's own dropout.
    fn drop_others(&self, x: &Tensor, kept: &Tensor) -> Result<Tensor, TchError> {
        let mut factors = kept.f_to_kind(x.kind())?;
        x.f_mul(&factors.f_div_scalar_(1.0 - self.probability)?)
    }
}

impl Layer for Dropping {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let draws = self.probability > 0.0 && self.probability < 1.0;
        match mode {
            Mode::TrainFirst if draws => {
                let all = x.f_ones_like()?;
                let kept = all.f_dropout(self.probability, true)?.f_ne(0.0)?;
                let y = self.drop_others(x, &kept)?;
                self.kept.replace(Some(kept));
                Ok(y)
            }
            Mode::TrainAgain if draws => match self.kept.take() {
                Some(kept) => self.drop_others(x, &kept),
                None => Err(TchError::Shape("nothing was dropped before".to_owned())),
            },
            _ => x.f_dropout(self.probability, mode.is_training()),
        }
    }

    fn describe(&self) -> Vec<String> {
        let probability = python_repr(self.probability);
        vec![format!("Dropout(p={probability}, inplace=False)")]
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::session::Session;

    #[test]
    fn a_pass_that_is_made_again_drops_what_one_pass_alone_would() {
        let session = Session::for_test();
        let layer = Dropout(0.3).make(&mut Builder::new(&session)).unwrap();
        for kind in [Kind::Float, Kind::BFloat16] {
            session.seed(7);
            let x = Tensor::rand([3, 50], (Kind::Float, tch::Device::Cpu)).to_kind(kind);
            let drawn = |mode| {
                session.seed(8);
                layer.forward(&x, mode).unwrap()
            };
            let alone = drawn(Mode::Train);
            assert!(drawn(Mode::TrainFirst).equal(&alone));
            // Whatever was drawn in between.
            session.seed(9);
            assert!(layer.forward(&x, Mode::TrainAgain).unwrap().equal(&alone));
            assert!(layer.forward(&x, Mode::Evaluate).unwrap().equal(&x));
        }
    }
}
