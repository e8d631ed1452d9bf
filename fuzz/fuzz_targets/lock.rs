//! Whatever bytes are read as a lock: no panic, and what is accepted reads back as the same text.

#![no_main]

use std::path::Path;

use engine::lock::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("experiment.yaml.lock");
    if let Ok(lock) = Lock::parse(path, bytes) {
        let text = lock.text();
        let again = Lock::parse(path, text.as_bytes()).expect("a written lock is readable");
        assert_eq!(again.text(), text);
    }
});
