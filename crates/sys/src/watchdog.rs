// UNSAFETY: the watchdog's ioctls have no safe wrapper.
#![expect(unsafe_code)]
//! The hardware watchdog: a clock that restarts the machine when it is not fed.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::{Context, Result};

/// Kept in a module of their own: the macro makes its functions public.
mod ioctls {
    nix::ioctl_readwrite!(set_timeout, b'W', 6, i32);
    nix::ioctl_read!(get_boot_status, b'W', 2, i32);
}

/// The bit with which a driver reports that its watchdog restarted the machine (`WDIOF_CARDRESET`).
const RESTARTED: i32 = 0x20;

/// A timer that restarts the machine unless it is fed in time.
pub trait Watchdog: Send {
    /// Restarts the timer.
    fn feed(&mut self) -> Result<()>;

    /// Stops it, if the hardware supports that.
    fn disarm(&mut self) -> Result<()>;

    /// Returns the time after which it restarts the machine.
    fn timeout(&self) -> Duration;

    /// Returns true if it restarted the machine last time, as far as the hardware knows.
    fn has_restarted(&self) -> bool;
}

/// A watchdog device. It runs from when it is opened until the machine stops, unless [`Watchdog::disarm`] stops it.
#[derive(Debug)]
pub struct LinuxWatchdog {
    /// Never closed: the kernel treats a closed watchdog as an accident, and reports it on every console.
    device: ManuallyDrop<File>,
    timeout: Duration,
}

impl LinuxWatchdog {
    /// Opens and starts a watchdog. Returns none where the machine has none.
    pub fn open(path: &Path, wanted: Duration) -> Result<Option<Self>> {
        let device = match File::options().write(true).open(path) {
            Ok(device) => device,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => return Ok(None),
            // The device node may exist before, or without, the hardware.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => return Ok(None),
            Err(error) => return Err(error).context(|| format!("open the watchdog {}", path.display())),
        };
        Ok(Some(LinuxWatchdog::with(device, wanted)))
    }

    fn with(device: File, wanted: Duration) -> Self {
        let mut seconds = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: the kernel reads and writes one int, which outlives the call.
        let answer = unsafe { ioctls::set_timeout(device.as_raw_fd(), &raw mut seconds) };
        // Hardware with a fixed timeout refuses; it is fed often enough for any.
        let timeout = answer.map_or(wanted, |_| Duration::from_secs(u64::from(seconds.unsigned_abs())));
        LinuxWatchdog {
            device: ManuallyDrop::new(device),
            timeout,
        }
    }

    /// Keeps it open for the program that this process executes next; returns the descriptor with which that one
    /// [takes it over](LinuxWatchdog::take_over).
    pub fn leave_open(&self) -> Result<i32> {
        fcntl(&*self.device, FcntlArg::F_SETFD(FdFlag::empty()))
            .context(|| "keep the watchdog for the next program".to_owned())?;
        Ok(self.device.as_raw_fd())
    }

    /// Takes over a watchdog that the previous program left open, and feeds it. A descriptor of
    /// anything else is refused. Call it once.
    pub fn take_over(path: &Path, number: i32, wanted: Duration) -> Result<Self> {
        let action = || format!("take over the watchdog {}", path.display());
        let opened = std::fs::read_link(format!("/proc/self/fd/{number}")).context(action)?;
        if opened != path {
            let other = std::io::Error::other(format!("number {number} is {}", opened.display()));
            return Err(other).context(action);
        }
        // SAFETY: it is open, as was checked just now, and nothing in this process owns it: it was opened before the process started.
        let device = unsafe { File::from_raw_fd(number) };
        let mut watchdog = LinuxWatchdog::with(device, wanted);
        watchdog.feed()?;
        Ok(watchdog)
    }
}

impl Watchdog for LinuxWatchdog {
    fn feed(&mut self) -> Result<()> {
        self.device
            .write_all(b"\0")
            .context(|| "feed the watchdog".to_owned())
    }

    fn disarm(&mut self) -> Result<()> {
        self.device
            .write_all(b"V")
            .context(|| "disarm the watchdog".to_owned())
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn has_restarted(&self) -> bool {
        let mut status = 0;
        // SAFETY: the kernel writes one int, which outlives the call.
        let answer = unsafe { ioctls::get_boot_status(self.device.as_raw_fd(), &raw mut status) };
        answer.is_ok() && status & RESTARTED != 0
    }
}

/// Counts how often it is fed.
#[derive(Debug, Default)]
pub struct RecordingWatchdog {
    /// How often it was fed. Shared, so that a test sees it from outside.
    pub fed: std::sync::Arc<AtomicU32>,
}

impl Watchdog for RecordingWatchdog {
    fn feed(&mut self) -> Result<()> {
        self.fed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn disarm(&mut self) -> Result<()> {
        Ok(())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn has_restarted(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_watchdog_is_none() {
        let found = LinuxWatchdog::open(Path::new("/dev/no-such-watchdog"), Duration::from_secs(15)).unwrap();
        assert!(found.is_none());
    }

    #[test]
    fn one_that_is_left_open_is_taken_over_and_fed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wanted = Duration::from_secs(15);
        let before = LinuxWatchdog::open(file.path(), wanted).unwrap().unwrap();
        let number = before.leave_open().unwrap();
        let flags = fcntl(&*before.device, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, 0, "it must stay open in the next program");
        let error = LinuxWatchdog::take_over(Path::new("/dev/watchdog0"), number, wanted).unwrap_err();
        assert!(error.source.to_string().contains("number"), "{error:?}");
        assert!(LinuxWatchdog::take_over(file.path(), 9999, wanted).is_err());
        let taken = LinuxWatchdog::take_over(file.path(), number, wanted).unwrap();
        assert!(!taken.has_restarted(), "a file restarts nothing");
        assert_eq!(std::fs::read(file.path()).unwrap(), b"\0");
    }

    #[test]
    fn feeding_writes_a_byte_and_disarming_the_magic_letter() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = LinuxWatchdog::open(file.path(), Duration::from_secs(15))
            .unwrap()
            .unwrap();
        assert_eq!(watchdog.timeout(), Duration::from_secs(15));
        watchdog.feed().unwrap();
        watchdog.disarm().unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"\0V");
    }
}
