//! The leakage firewall: nobody of a test set was seen before.

/// Column that names the participant whose images a synthetic one was made from.
pub const DERIVED_FROM: &str = "derived_from";
