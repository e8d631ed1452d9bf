//! Numbers of layers, and of the axes of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of a layer: the same for all axes, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, or a list of one for each axis"
)]
pub enum OnAxes {
    /// The same for all.
    All(u32),
    /// One for each.
    Each(Vec<u32>),
}

/// Numbers of layers: one for all of them, or one for each; each may be a list by axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, a list of one for each layer, or `{ axes: […] }` with one for each axis"
)]
pub enum PerLayer {
    /// The same for all.
    All(u32),
    /// One for each.
    Each(Vec<OnAxes>),
    /// For all layers one for each axis.
    Axes {
        /// One for each axis.
        axes: Vec<u32>,
    },
}

impl PerLayer {
    /// The numbers of a layer, one for each of so many axes.
    ///
    /// # Errors
    /// The numbers of axes differ.
    pub fn of(&self, layer: usize, axes: usize) -> Result<Vec<i64>, String> {
        let each = match self {
            Self::All(number) => return Ok(vec![i64::from(*number); axes]),
            Self::Axes { axes } => axes,
            Self::Each(layers) => match layers.get(layer) {
                Some(OnAxes::Each(each)) => each,
                Some(OnAxes::All(number)) => return Ok(vec![i64::from(*number); axes]),
                None => return Ok(vec![0; axes]),
            },
        };
        if each.len() != axes {
            let got = each.len();
            return Err(format!(
                "expected one number for each of the {axes} axes, got {got}"
            ));
        }
        Ok(each.iter().map(|&number| number.into()).collect())
    }

    /// Whether it is one number, this one.
    pub fn is_all(&self, number: u32) -> bool {
        *self == Self::All(number)
    }

    pub(super) fn problem(&self, layers: usize, least: u32, most: u32) -> Option<String> {
        let numbers: Vec<u32> = match self {
            Self::All(number) => vec![*number],
            Self::Axes { axes } => axes.clone(),
            Self::Each(each) if each.len() == layers => {
                let numbers = each.iter().flat_map(|number| match number {
                    OnAxes::All(number) => vec![*number],
                    OnAxes::Each(axes) => axes.clone(),
                });
                numbers.collect()
            }
            Self::Each(each) => {
                let got = each.len();
                return Some(format!(
                    "expected a number, or {layers} of them, got {got}; one for each axis is `{{ axes: […] }}`"
                ));
            }
        };
        let wrong = numbers.iter().find(|n| !(least..=most).contains(n));
        wrong.map(|got| format!("expected {least} to {most}, got {got}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> PerLayer {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_are_for_all_by_layer_or_by_axis() {
        assert_eq!(read(json!(3)).of(1, 2).unwrap(), [3, 3]);
        let each = read(json!([3, [5, 3]]));
        assert_eq!(each.of(0, 2).unwrap(), [3, 3]);
        assert_eq!(each.of(1, 2).unwrap(), [5, 3]);
        assert!(each.of(1, 3).unwrap_err().contains("3 axes, got 2"));
        assert_eq!(
            read(json!({ "axes": [1, 2, 3] })).of(7, 3).unwrap(),
            [1, 2, 3]
        );
        assert_eq!(each.problem(2, 1, 5), None);
        assert!(
            each.problem(3, 1, 5)
                .unwrap()
                .contains("or 3 of them, got 2")
        );
        assert!(each.problem(2, 1, 4).unwrap().contains("1 to 4, got 5"));
        // As before there were axes.
        assert_eq!(
            serde_json::to_value(read(json!([5, 3]))).unwrap(),
            json!([5, 3])
        );
    }
}
