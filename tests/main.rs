//! The integration tests: one binary, one file per topic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod architecture;
mod bad_input;
mod cli;
mod command;
mod conformance;
mod documents;
mod evaluation;
mod experiment;
mod explain;
mod golden;
mod instructions;
mod interpret;
mod interruption;
mod items;
mod leakage;
mod manifest;
mod maps;
mod peer;
mod provenance;
mod remote;
mod saving;
mod settled;
mod store;
mod support;
mod tracking;
mod verify;
