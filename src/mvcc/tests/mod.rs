//! The store against the naive model, under seeded random commands; and the cases worth naming.

mod cases;
mod checks;
mod fixture;
mod history;
pub(crate) mod model;
pub(crate) mod random;
mod rot;
pub(crate) mod support;
