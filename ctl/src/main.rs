//! The control CLI: bedplate.

fn main() {}
