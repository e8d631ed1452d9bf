//! The `clinicadl` command.

mod cli;
mod commands;
mod failure;
mod profile;
mod progress;
mod table;
mod tracking;

use std::process::ExitCode;

use engine::exec::{GUARD, guard_main};
use memory::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    memory::keep();
    let mut arguments = std::env::args_os().skip(1);
    // Not a verb: the engine starts this program again to look after a foreign one.
    if arguments.next().is_some_and(|first| first == GUARD) {
        return guard_main(arguments);
    }
    let code = commands::main(cli::parse());
    memory::end();
    code
}
