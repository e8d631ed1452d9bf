//! From labels to codes: which output node stands for which class.

use std::collections::BTreeMap;

use engine::StageError;

/// The code of each label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelCode(BTreeMap<String, usize>);

impl LabelCode {
    /// Distinct labels in ascending order get 0, 1, …: `AD` 0, `CN` 1.
    pub fn derive<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut codes: BTreeMap<String, usize> = labels
            .into_iter()
            .map(|label| (label.to_owned(), 0))
            .collect();
        for (code, entry) in codes.values_mut().enumerate() {
            *entry = code;
        }
        Self(codes)
    }

    /// A given code; several labels may share a node.
    ///
    /// # Errors
    /// The codes are not 0, 1, … without a gap.
    pub fn given(codes: BTreeMap<String, usize>) -> Result<Self, StageError> {
        let mut nodes: Vec<usize> = codes.values().copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        if nodes
            .iter()
            .enumerate()
            .any(|(expected, node)| expected != *node)
        {
            let message = format!("label codes {nodes:?} leave a gap, expected 0, 1, …");
            return Err(StageError::new(message));
        }
        Ok(Self(codes))
    }

    /// The code of a label.
    pub fn code(&self, label: &str) -> Option<usize> {
        self.0.get(label).copied()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.0.values().max().map_or(0, |most| most + 1)
    }

    /// Labels with their codes, in order of label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(label, &code)| (label.as_str(), code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_coded_in_ascending_order() {
        let code = LabelCode::derive(["CN", "AD", "CN", "MCI"]);
        assert_eq!(
            code.iter().collect::<Vec<_>>(),
            [("AD", 0), ("CN", 1), ("MCI", 2)]
        );
        assert_eq!((code.classes(), code.code("XX")), (3, None));
    }

    #[test]
    fn labels_may_share_a_node_but_nodes_must_not_have_gaps() {
        let given = |codes: [(&str, usize); 2]| {
            LabelCode::given(codes.map(|(label, code)| (label.to_owned(), code)).into())
        };
        assert_eq!(given([("AD", 0), ("MCI", 0)]).unwrap().classes(), 1);
        assert!(given([("AD", 0), ("CN", 2)]).is_err());
    }
}
