mod peer;
mod pet_linear;
mod scores;
mod t1_linear;
mod t1_volume;
mod world;
