//! Sessions: a participant at one time.

use std::cmp::Ordering;

/// One row's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session<'a> {
    /// Participant, such as `sub-001`.
    pub participant: &'a str,
    /// Session, such as `ses-M000`.
    pub session: &'a str,
}

/// The order of sessions in time: `ses-M<months>` by number, before all others by text.
///
/// As text `ses-M100` would come before `ses-M12`.
pub fn compare_sessions(a: &str, b: &str) -> Ordering {
    match (months(a), months(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The months of a session named `ses-M<months>`.
pub fn months(session: &str) -> Option<u64> {
    let digits = session.strip_prefix("ses-M")?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Whether a participant or session can be part of a file's name everywhere.
pub(super) fn is_identifier(text: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || r#"/\:*?"<>|"#.contains(c);
    !text.contains(forbidden) && !text.starts_with('.')
}
