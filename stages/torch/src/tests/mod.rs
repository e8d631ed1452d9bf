//! The stages as the engine runs them.

mod apply;
mod clinicadl;
mod train;
mod world;
