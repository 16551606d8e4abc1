//! Nodes of files that follow a rollout: in turn, held by stops, and never fooled.

mod field;
mod refused;
mod stops;
mod turns;
