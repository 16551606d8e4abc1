//! The keys that this loader trusts: bytes in its own image, written there by the image builder.
#![expect(unsafe_code)]
// UNSAFETY: names a linker section, and reads it as memory that the compiler has not seen the content of.

use alloc::vec::Vec;
use core::ptr;

use manifest::TrustedKey;
use manifest::keyring::{self, KeyringError};

/// Empty in the compiled program; the builder finds the PE section by its name and overwrites it.
#[used]
#[cfg_attr(target_os = "uefi", unsafe(link_section = ".bpkeys"))]
static KEYRING: [u8; keyring::LEN] = keyring::EMPTY;

/// Reads the keys. An empty keyring is valid, and trusts nobody.
pub fn load() -> Result<Vec<TrustedKey>, KeyringError> {
    // SAFETY: a static is valid for reads. Volatile: the compiler must not fold in the empty ring that it sees.
    let bytes = unsafe { ptr::read_volatile(&raw const KEYRING) };
    keyring::decode(&bytes)
}
