//! Names in messages.

/// Names one after the other: all of them, or the first and how many more.
pub fn listed<S: AsRef<str>>(names: &[S], most: usize, separator: &str) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let shown = shown.join(separator);
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The first ten names, and how many more.
pub fn some<S: AsRef<str>>(names: &[S]) -> String {
    listed(names, 10, "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_counted() {
        assert_eq!(listed(&["a", "b"], 2, ", "), "a, b");
        assert_eq!(listed(&["a", "b", "c", "d"], 2, "; "), "a; b and 2 more");
        assert_eq!(listed::<&str>(&[], 2, "; "), "");
    }
}
