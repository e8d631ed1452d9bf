//! What things in a manifest may be called.

use super::node::shorten;

/// Bytes of a name.
const LONGEST: usize = 100;

/// Why a stage or an input cannot have this name.
///
/// Names appear in messages, in references (where dots separate ports) and in the names of actions
/// (where brackets hold what the matrix varies).
pub(super) fn unfit_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name has at least one character")
    } else if name.len() > LONGEST {
        Some("a name has at most 100 bytes")
    } else if name.chars().any(char::is_control) {
        Some("it holds a control character")
    } else if name.contains(['/', '\\']) {
        Some("it holds a slash")
    } else if name.contains('.') {
        Some("dots separate ports")
    } else if name.contains(['[', ']', '(', ')']) {
        Some("brackets are for the cells of a matrix and for splits")
    } else if name.contains(['$', '{', '}']) {
        Some("names are never substituted")
    } else if name.trim() != name {
        Some("it starts or ends with a space")
    } else {
        None
    }
}

/// Why a param cannot have this name.
pub(super) fn unfit_param(name: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() {
        Some("a name has at least one character")
    } else if name.len() > LONGEST {
        Some("a name has at most 100 bytes")
    } else if !name.chars().all(fits) {
        Some("expected letters, digits, `_` and `-`")
    } else {
        None
    }
}

/// The message about an unfit name.
pub(super) fn unfit(name: &str, of: &str, why: &str) -> String {
    format!("`{}` cannot be {of}: {why}", shorten(name))
}
