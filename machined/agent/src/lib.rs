//! The agent of a node: what runs in the initramfs, then as PID 1.
//!
//! [`initramfs`] goes from the kernel's start to the verified root; [`run`] is PID 1, and puts the parts of the node together. The
//! parts are crates of their own beside this one. Nothing here starts a shell, and nothing here calls Linux except
//! through the crate `sys`.

pub mod initramfs;
pub mod run;
