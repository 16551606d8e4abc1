//! The loader's own reader of partition tables. A UEFI program is not a library, so its source is compiled in here.
#![allow(dead_code, reason = "the loader calls more of it than a target does")]

#[path = "../../bootloader/efi/src/gpt.rs"]
mod gpt;

pub use gpt::Table;
