// UNSAFETY: crediting the kernel's random pool is an ioctl without a safe wrapper.
#![expect(unsafe_code)]
//! The kernel's random pool: crediting a seed saved by the last boot.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use crate::{Context, Result};

/// The seed's length in bytes: the pool's own strength.
pub const SEED_LEN: usize = 32;

/// `struct rand_pool_info` of `linux/random.h`, with its variable tail fixed to the seed.
#[repr(C)]
struct PoolInfo {
    entropy_count: i32,
    buf_size: i32,
    buf: [u8; SEED_LEN],
}

/// Kept in a module of their own: the macro makes its functions public.
mod ioctls {
    use super::PoolInfo;

    // The kernel's number is made with the size of the head alone: two ints.
    nix::ioctl_write_ptr_bad!(add_entropy, nix::request_code_write!(b'R', 0x03, 8), PoolInfo);
}

/// Mixes a seed into the random pool and counts all its bits as unknown to others.
///
/// The caller must have removed or replaced the saved seed first: crediting one seed on two boots would start both
/// with the same "random" numbers.
pub fn credit(seed: &[u8; SEED_LEN]) -> Result<()> {
    let action = || "credit the saved random seed".to_owned();
    let file = OpenOptions::new()
        .write(true)
        .open("/dev/urandom")
        .context(action)?;
    let len = i32::try_from(SEED_LEN).expect("a seed is a few dozen bytes");
    let info = PoolInfo {
        entropy_count: len * 8,
        buf_size: len,
        buf: *seed,
    };
    // SAFETY: `info` outlives the call; `buf_size` is the true length of the bytes that follow the head.
    unsafe { ioctls::add_entropy(file.as_raw_fd(), &raw const info) }.context(action)?;
    Ok(())
}
