//! The signed manifest of a slot image: parsing, limits, signatures, its place at the end of a slot.
//!
//! Parts: [`Manifest`] and the types in it ([`model`]); [`verify`], the only way from bytes off a medium to a manifest
//! that may be acted upon; [`verify_text`], the same for signed texts of other kinds; [`trailer`], where the manifest
//! lies in a slot; [`keyring`], where the loader carries the keys it trusts; [`chain`], by which committed releases
//! change them. There is no I/O here, and nothing is signed here: the image builder does that.
#![no_std]

extern crate alloc;

pub mod chain;
mod check;
mod digest;
mod image;
pub mod keyring;
mod minisign;
pub mod model;
pub mod trailer;
mod verified;

pub use check::{Fault, MAX_CMDLINE, MAX_JSON, PART_ALIGNMENT, ParseError};
pub use digest::Digest;
pub use image::{Image, ImageName, MAX_IMAGES};
pub use minisign::{KeyError, MAX_SIGNATURES, SignatureError, TrustedKey, verify_text};
pub use model::{
    Arch, DeviceTreePreference, DeviceTrees, Disk, Index, Manifest, Part, PartKind, PatchSet, SlotImage,
    Verity,
};
pub use verified::{VerifiedManifest, VerifyError, verify};
