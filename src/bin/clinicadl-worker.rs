//! The worker: runs one action of a stage that needs libtorch, then exits.

use std::path::Path;
use std::process::ExitCode;

use engine::Registry;
use engine::context::Slots;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [verb, cpus, gpus] if verb == "numerics" => {
            let number = |text: &std::ffi::OsString| text.to_str()?.parse::<usize>().ok();
            let (Some(cpus), Some(gpus)) = (number(cpus), number(gpus)) else {
                return usage();
            };
            engine::exec::print_numerics(Slots { cpus, gpus }, stages_torch::numerics)
        }
        [verb, spec] if verb == "run" => {
            stages_torch::keep_memory();
            engine::exec::worker_main(
                Path::new(spec),
                Registry::new(stages_torch::WORKER_STAGES),
                stages_torch::numerics,
            )
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    use std::io::Write;
    let usage = "clinicadl-worker is started by clinicadl: clinicadl-worker run ACTION.json";
    drop(writeln!(std::io::stderr(), "{usage}"));
    ExitCode::from(2)
}
