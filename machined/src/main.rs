//! Starts machined; see the library for what that means.

fn main() {}
