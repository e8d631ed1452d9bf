//! The learning stages on libtorch: networks, losses, optimizers, training, prediction, attribution.
//!
//! Everything that touches libtorch is here; declarations of the stages are in `stages::learning`.
//! Results depend on inputs, parameters and seed, and on the numerics class that [`numerics`] tells.

mod error;
mod losses;
mod networks;
mod optimizers;
mod session;
mod state;
#[cfg(test)]
mod testing;

pub use session::numerics;
