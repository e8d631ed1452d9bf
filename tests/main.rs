//! The integration tests: one binary, one file per topic.

mod architecture;
mod bad_input;
mod cli;
mod documents;
mod experiment;
mod interruption;
mod peer;
mod support;
