//! Developer tasks: setup, demo, test, e2e, lint, lock, bench.

fn main() {}
