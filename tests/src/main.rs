//! End-to-end tests: real images in QEMU.

fn main() {}
