//! The agent of a node: PID 1, controllers, services, API.
