//! Any text is a manifest or a list of problems, in YAML and in TOML.
#![no_main]

use std::path::Path;

use engine::Registry;
use engine::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for name in ["m.yaml", "m.toml"] {
        let registry = Registry::new(stages::STAGES);
        drop(Manifest::parse(Path::new(name), text.to_owned(), registry));
    }
});
