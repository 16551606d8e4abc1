//! The UEFI program that verifies a slot and starts its kernel.
//!
//! [`boot`] is the sequence from first instruction to kernel; all decisions are made in `bootloader-core`, none here.
//! There is one file per firmware service: [`disk`], [`kernel`], [`initrd`], [`devicetree`], [`watchdog`], [`clock`],
//! [`console`], and [`mailbox`] for a board's own firmware. Nothing here trusts a byte of the medium before [`slot`] has
//! verified it.
//!
//! `cargo xtask` builds it; by hand, with Debian's toolchain (`rustc-web`, `rust-web-src`, `lld`), it is
//!
//! ```text
//! T=aarch64-unknown-uefi    # or x86_64-unknown-uefi
//! export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc
//! export CARGO_TARGET_AARCH64_UNKNOWN_UEFI_LINKER=lld-link CARGO_TARGET_X86_64_UNKNOWN_UEFI_LINKER=lld-link
//! # curve25519-dalek would use vector registers on x86_64, which UEFI programs are compiled without.
//! export RUSTFLAGS='--cfg curve25519_dalek_backend="serial" -C link-arg=/Brepro'
//! /usr/bin/cargo build -p bootloader-efi --release --target $T --target-dir target/cross \
//!     -Zbuild-std=core,alloc,compiler_builtins -Zbuild-std-features=compiler-builtins-mem
//! ```
//!
//! and the program is `target/cross/$T/release/bootloader-efi.efi`. On a host the same sources build as a program that
//! does nothing, so that they are checked, linted and unit-tested with everything else.
#![cfg_attr(target_os = "uefi", no_main, no_std)]
#![cfg_attr(
    not(target_os = "uefi"),
    allow(dead_code, reason = "only the firmware's entry point calls it")
)]

extern crate alloc;

mod boot;
mod clock;
mod console;
mod devicetree;
mod disk;
mod firmware;
mod gpt;
mod initrd;
mod kernel;
mod key_chain;
mod keyring;
mod machine;
mod mailbox;
mod menu;
mod pages;
mod record_store;
mod slot;
mod start_mark;
mod watchdog;

#[cfg(target_os = "uefi")]
mod entry;

#[cfg(not(target_os = "uefi"))]
fn main() {}
