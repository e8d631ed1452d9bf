//! Layers one after the other.

use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode};

/// Named layers, each taking what the one before gives.
#[derive(Debug, Default)]
pub(crate) struct Sequential {
    /// What names of its layers begin with in the network.
    place: String,
    layers: Vec<(String, Box<dyn Layer>)>,
}

impl Sequential {
    /// Makes layers under a name: `Sequential::make_in(builder, "fc", |s| s.add(Flatten))`.
    pub(crate) fn make_in(
        builder: &mut Builder<'_>,
        name: &str,
        fill: impl FnOnce(&mut Stack<'_, '_>) -> Result<(), TchError>,
    ) -> Result<Self, TchError> {
        builder.within(name, |builder| Self::fill(builder, fill))
    }

    /// Makes layers at the builder's place.
    pub(crate) fn fill(
        builder: &mut Builder<'_>,
        fill: impl FnOnce(&mut Stack<'_, '_>) -> Result<(), TchError>,
    ) -> Result<Self, TchError> {
        let made = Self {
            place: builder.place(),
            layers: Vec::new(),
        };
        let mut stack = Stack { builder, made };
        fill(&mut stack)?;
        Ok(stack.made)
    }

    /// Layers that were made, named by their position.
    pub(crate) fn of(layers: impl Iterator<Item = Box<dyn Layer>>) -> Self {
        let named = layers.enumerate().map(|(i, layer)| (i.to_string(), layer));
        Self {
            place: String::new(),
            layers: named.collect(),
        }
    }

    /// Layers that were made under these names at the builder's place.
    pub(crate) fn named<const N: usize>(
        builder: &Builder<'_>,
        layers: [(&str, Box<dyn Layer>); N],
    ) -> Self {
        let named = layers.map(|(name, layer)| (name.to_owned(), layer));
        Self {
            place: builder.place(),
            layers: named.into(),
        }
    }

    /// Its layers with their names.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers
            .iter()
            .map(|(name, layer)| (name.as_str(), layer.as_ref()))
    }
}

/// A [`Sequential`] that is being made.
pub(crate) struct Stack<'b, 's> {
    builder: &'b mut Builder<'s>,
    made: Sequential,
}

impl Stack<'_, '_> {
    /// Adds a layer, named by its position.
    pub(crate) fn add(&mut self, layer: impl Make) -> Result<(), TchError> {
        let name = self.made.layers.len().to_string();
        self.add_as(&name, layer)
    }

    /// Adds layers under a name.
    pub(crate) fn within(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut Stack<'_, '_>) -> Result<(), TchError>,
    ) -> Result<(), TchError> {
        let layers = Sequential::make_in(self.builder, name, fill)?;
        self.made.layers.push((name.to_owned(), Box::new(layers)));
        Ok(())
    }

    /// Adds a layer with a name.
    pub(crate) fn add_as(&mut self, name: &str, layer: impl Make) -> Result<(), TchError> {
        let layer = self.builder.layer(name, layer)?;
        self.made.layers.push((name.to_owned(), layer));
        Ok(())
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let layers: Vec<&dyn Layer> = self.layers().map(|(_, layer)| layer).collect();
        forward_all(&layers, x, mode)
    }

    fn parts(&self) -> Option<Vec<(String, &dyn Layer)>> {
        let layers = self.layers().map(|(name, layer)| match layer.parts() {
            Some(parts) => parts,
            None => vec![(format!("{}{name}", self.place), layer)],
        });
        Some(layers.flatten().collect())
    }

    fn is_fresh(&self) -> bool {
        self.layers.last().is_some_and(|(_, last)| last.is_fresh())
    }

    fn describe(&self) -> Vec<String> {
        let parts = self.layers();
        block(
            "Sequential",
            parts.map(|(name, layer)| (name, layer.describe())),
        )
    }
}

/// The value of layers, each taking what the one before gives.
pub(crate) fn forward_all(
    layers: &[&dyn Layer],
    x: &Tensor,
    mode: Mode,
) -> Result<Tensor, TchError> {
    let (mut x, mut done, mut is_free) = (x.shallow_clone(), 0, false);
    while let Some(layer) = layers.get(done) {
        let next = &layers[done + 1..];
        let (y, more) = layer.forward_with(x, is_free, next, mode)?;
        done += 1 + more;
        (x, is_free) = (y, layers[done - 1].is_fresh());
    }
    Ok(x)
}

/// PyTorch's text of a module with named parts, each given by its lines.
pub(crate) fn block<'n>(
    module: &str,
    parts: impl Iterator<Item = (&'n str, Vec<String>)>,
) -> Vec<String> {
    let mut lines = vec![format!("{module}(")];
    for (name, part) in parts {
        for (i, line) in part.iter().enumerate() {
            lines.push(match i {
                0 => format!("  ({name}): {line}"),
                _ => format!("  {line}"),
            });
        }
    }
    lines.push(")".to_owned());
    lines
}
