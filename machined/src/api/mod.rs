//! Serves the node's API over gRPC.
