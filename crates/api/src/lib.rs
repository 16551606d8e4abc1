//! The gRPC API: messages, services, and the least role of each method.
