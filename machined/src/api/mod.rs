//! Serves the node's API over gRPC.

pub mod backend;
