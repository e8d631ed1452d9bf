//! The stages as the engine runs them.

mod apply;
mod clinicadl;
mod leakage;
mod quality;
mod tasks;
mod torchscript;
mod train;
mod transfer;
mod world;
