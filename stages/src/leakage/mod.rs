pub const DERIVED_FROM: &str = "derived_from";
