// UNSAFETY: crediting the kernel's random pool is an ioctl without a safe wrapper.
#![expect(unsafe_code)]
//! The kernel's random pool: seeding it, reading it, and waiting for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::O_NONBLOCK;

use crate::{Context, Result};

/// The seed's length in bytes: the pool's strength.
pub const SEED_LEN: usize = 32;

/// `struct rand_pool_info` of `linux/random.h`, with its variable tail fixed to the seed.
#[repr(C)]
struct PoolInfo {
    entropy_count: i32,
    buf_size: i32,
    buf: [u8; SEED_LEN],
}

/// In a module of their own, because the macro makes its functions public.
mod ioctls {
    use super::PoolInfo;

    // The kernel's number is computed with the size of the head alone: two ints.
    nix::ioctl_write_ptr_bad!(add_entropy, nix::request_code_write!(b'R', 0x03, 8), PoolInfo);
}

/// Adds to the random pool, and reads from it.
pub trait RandomPool: Send + Sync {
    /// Mixes bytes in, without crediting any entropy.
    fn mix(&self, seed: &[u8; SEED_LEN]) -> Result<()>;

    /// Mixes a seed in, and credits all its bits as entropy.
    ///
    /// The caller must have removed or replaced the saved seed first: crediting one seed on two boots would start both
    /// with the same "random" numbers.
    fn credit(&self, seed: &[u8; SEED_LEN]) -> Result<()>;

    /// Reads what there is, even before the pool is seeded. Not for keys.
    fn draw(&self) -> Result<[u8; SEED_LEN]>;

    /// Returns true if the pool is seeded: only then are its numbers suitable for keys.
    fn is_seeded(&self) -> Result<bool>;

    /// Blocks until the pool is seeded. Waiting also makes the kernel gather entropy from the timing of its own work.
    fn wait(&self) -> Result<()>;
}

/// The kernel's pool.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxPool;

/// The flags to read without waiting for the seed.
const ANY_TIME: &str = "/dev/urandom";
/// The flags to wait until the pool is seeded, and no longer.
const SEEDED: &str = "/dev/random";

impl RandomPool for LinuxPool {
    fn mix(&self, seed: &[u8; SEED_LEN]) -> Result<()> {
        let write = || OpenOptions::new().write(true).open(ANY_TIME)?.write_all(seed);
        write().context(|| "mix a seed into the random pool".to_owned())
    }

    fn credit(&self, seed: &[u8; SEED_LEN]) -> Result<()> {
        let action = || "credit the saved random seed".to_owned();
        let file = OpenOptions::new().write(true).open(ANY_TIME).context(action)?;
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

    fn draw(&self) -> Result<[u8; SEED_LEN]> {
        let mut seed = [0; SEED_LEN];
        File::open(ANY_TIME)
            .and_then(|mut file| file.read_exact(&mut seed))
            .context(|| "read random numbers".to_owned())?;
        Ok(seed)
    }

    fn is_seeded(&self) -> Result<bool> {
        let read = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).custom_flags(O_NONBLOCK).open(SEEDED)?;
            file.read_exact(&mut [0])
        };
        match read() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context(|| "ask whether the random pool is seeded".to_owned()),
        }
    }

    fn wait(&self) -> Result<()> {
        File::open(SEEDED)
            .and_then(|mut file| file.read_exact(&mut [0]))
            .context(|| "wait for the random pool".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_pool_accepts_more() {
        let pool = LinuxPool;
        pool.wait().unwrap();
        assert!(pool.is_seeded().unwrap());
        pool.mix(&[1; SEED_LEN]).unwrap();
        assert_ne!(pool.draw().unwrap(), pool.draw().unwrap());
    }
}
