//! The process that holds a pod's namespaces: reaps children, waits for a signal.

fn main() {}
