//! `clinicadl maps`: a file per verb.

mod export;
mod import;
mod show;
mod summary;
mod validate;

use super::Session;
use crate::cli::MapsCommand;
use crate::failure::{Code, Failure};

pub(super) fn maps(session: &Session, command: &MapsCommand) -> Result<(), Failure> {
    match command {
        MapsCommand::Export(args) => export::export_maps(session, args),
        MapsCommand::Validate(args) => validate::validate_maps(session, args),
        MapsCommand::Show(args) => show::show_maps(session, args),
        MapsCommand::Import(args) => import::import_maps(session, args),
    }
}

/// A MAPS or one of its files cannot be read.
#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err`, which passes by value"
)]
fn unreadable(error: ::maps::MapsError) -> Failure {
    let failure = Failure::new(Code::Invalid, error.full_message());
    error.hints().into_iter().fold(failure, Failure::hint)
}
