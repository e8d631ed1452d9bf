//! The `clinicadl` command.

mod cli;
mod commands;
mod failure;
mod progress;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main(cli::parse())
}
