//! The stages as the engine runs them.

mod apply;
mod clinicadl;
mod domains;
mod export;
mod image_level;
mod import;
mod interpret;
mod leakage;
mod multi;
mod quality;
mod saved;
mod stopped;
mod tasks;
mod torchscript;
mod train;
mod transfer;
mod world;
