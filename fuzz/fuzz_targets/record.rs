//! Any bytes are a stored record or tree, or nothing.
#![no_main]

use engine::store::{ActionRecord, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(ActionRecord::from_bytes(bytes));
    drop(Tree::from_bytes(bytes));
    // Behind a true seal, so that the rest is looked at.
    let mut sealed = engine::Digest::of(bytes).to_string().into_bytes();
    sealed.push(b'\n');
    sealed.extend(bytes);
    drop(ActionRecord::from_bytes(&sealed));
});
