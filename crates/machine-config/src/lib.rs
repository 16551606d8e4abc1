//! The machine config: what a node is to be.
