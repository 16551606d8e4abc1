//! The UEFI program that verifies a slot and starts its kernel.

fn main() {}
