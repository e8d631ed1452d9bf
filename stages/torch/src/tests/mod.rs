//! The stages as the engine runs them.

mod apply;
mod train;
mod world;
