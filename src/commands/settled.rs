//! What the last run without changes answered, for the verbs that ask the same again.

use std::path::Path;

use engine::settled;

use super::{Session, store_path};
use crate::cli::{ManifestArgs, Reuse};

/// What a verb printed when nothing was to do, if nothing has changed since.
pub(super) fn recalled(session: &Session, args: &ManifestArgs, verb: &str) -> Option<String> {
    let question = question(session, args)?;
    let mut answers = settled::recall(&store_path(args), &args.manifest, &question)?;
    let answer = answers.remove(verb)?;
    tracing::debug!("nothing of what the last run found has changed");
    Some(answer)
}

/// What is asked, if it is a question whose answer stays: more than plain text is none.
pub(super) fn question(session: &Session, args: &ManifestArgs) -> Option<String> {
    let output = &session.output;
    let is_plain = !output.json && !output.quiet && output.verbose == 0;
    if !is_plain || args.paranoid || args.reuse != Reuse::Any {
        return None;
    }
    // A program that was built anew may do anything differently.
    let program = std::env::current_exe().and_then(std::fs::metadata).ok()?;
    let folder = std::env::current_dir().ok()?;
    let ManifestArgs {
        manifest,
        set,
        maps,
        ..
    } = args;
    Some(format!(
        "{} {:?} {} {folder:?} {:?} {set:?} {maps:?}",
        env!("CARGO_PKG_VERSION"),
        program.modified().ok()?,
        program.len(),
        Path::new(manifest),
    ))
}
