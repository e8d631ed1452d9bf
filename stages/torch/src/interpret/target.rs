//! Which output is explained.

use engine::StageError;
use stages::metrics::LabelCode;

/// The output node of a label's name or of a number, of so many.
pub(super) fn target_node(
    target: &str,
    nodes: usize,
    code: &LabelCode,
) -> Result<usize, StageError> {
    if nodes == 0 {
        let message = "the model reconstructs images: it has no output that a map could explain";
        return Err(StageError::new(message).hint("`predict` tells how near reconstructions are"));
    }
    if target.is_empty() {
        return Ok(0);
    }
    let number = target.parse().ok().filter(|&node| node < nodes);
    code.code(target).or(number).ok_or_else(|| {
        let mut labels: Vec<String> = code
            .iter()
            .map(|(label, node)| format!("`{label}` (node {node})"))
            .collect();
        if labels.is_empty() {
            labels.extend((0..nodes).map(|node| format!("`{node}`")));
        }
        StageError::new(format!(
            "target `{target}` is neither a label nor a node of the model, expected one of {}",
            labels.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_label_or_a_node() {
        let code = LabelCode::derive(["AD", "CN"]);
        let none = LabelCode::default();
        assert_eq!(target_node("0", 1, &none).unwrap(), 0);
        let error = target_node("1", 1, &none).unwrap_err();
        assert!(error.message.ends_with("expected one of `0`"), "{error}");
        let error = target_node("", 0, &none).unwrap_err();
        assert!(error.message.contains("reconstructs images"), "{error}");
        assert_eq!(target_node("", 2, &code).unwrap(), 0);
        assert_eq!(target_node("CN", 2, &code).unwrap(), 1);
        assert_eq!(target_node("1", 2, &code).unwrap(), 1);
        let error = target_node("MCI", 2, &code).unwrap_err();
        assert!(
            error.message.contains("`AD` (node 0), `CN` (node 1)"),
            "{}",
            error.message
        );
        assert!(target_node("2", 2, &code).is_err());
    }
}
