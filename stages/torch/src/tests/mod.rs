//! The stages as the engine runs them.

mod apply;
mod clinicadl;
mod interpret;
mod leakage;
mod quality;
mod tasks;
mod train;
mod transfer;
mod world;
