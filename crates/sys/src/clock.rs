//! The clocks: wall time, and time since boot.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use crate::{Context, Result};

/// Reads and sets the time.
pub trait Clock: Send + Sync {
    /// Returns the wall clock's time, which may be wrong.
    fn now(&self) -> SystemTime;

    /// Returns the time since the kernel started, which never jumps.
    fn since_boot(&self) -> Duration;

    /// Sets the wall clock.
    fn set(&self, to: SystemTime) -> Result<()>;

    /// Moves the wall clock by some microseconds, without a jump if the clock can; replaces a slew in progress.
    fn slew(&self, micros: i64) -> Result<()> {
        let by = Duration::from_micros(micros.unsigned_abs());
        self.set(if micros < 0 {
            self.now() - by
        } else {
            self.now() + by
        })
    }
}

/// A clock that several read, and tests set meanwhile.
impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }

    fn since_boot(&self) -> Duration {
        (**self).since_boot()
    }

    fn set(&self, to: SystemTime) -> Result<()> {
        (**self).set(to)
    }

    fn slew(&self, micros: i64) -> Result<()> {
        (**self).slew(micros)
    }
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxClock;

impl Clock for LinuxClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn since_boot(&self) -> Duration {
        since_boot()
    }

    fn set(&self, to: SystemTime) -> Result<()> {
        let since_epoch = to.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since_epoch))
            .context(|| format!("set the clock to {} s since 1970", since_epoch.as_secs()))
    }

    fn slew(&self, micros: i64) -> Result<()> {
        crate::slew::slew(micros)
    }
}

/// The clock of a host, which a container reads and never sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> SystemTime {
        LinuxClock.now()
    }

    fn since_boot(&self) -> Duration {
        since_boot()
    }

    fn set(&self, _: SystemTime) -> Result<()> {
        let refused = std::io::Error::other("it is the host's: set it there");
        Err(refused).context(|| "set the clock".to_owned())
    }
}

/// Returns the time since the kernel started.
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default()
}

/// A clock that stands still until advanced, and keeps what it was set to.
#[derive(Debug)]
pub struct RecordingClock {
    state: Mutex<(SystemTime, Duration)>,
}

impl RecordingClock {
    /// Makes a clock that shows `now`, on a kernel that just started.
    pub fn at(now: SystemTime) -> Self {
        RecordingClock {
            state: Mutex::new((now, Duration::ZERO)),
        }
    }

    /// Advances the time.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.0 += by;
        state.1 += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (SystemTime, Duration)> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for RecordingClock {
    fn now(&self) -> SystemTime {
        self.lock().0
    }

    fn since_boot(&self) -> Duration {
        self.lock().1
    }

    fn set(&self, to: SystemTime) -> Result<()> {
        self.lock().0 = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_runs_and_a_recorded_clock_does_not() {
        assert!(LinuxClock.since_boot() > Duration::ZERO);
        let clock = RecordingClock::at(SystemTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.since_boot(), Duration::from_secs(5));
        clock.slew(250).unwrap();
        clock.slew(-50).unwrap();
        assert_eq!(
            clock.now(),
            SystemTime::UNIX_EPOCH + Duration::from_micros(5_000_200)
        );
        clock.set(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(
            (clock.now(), clock.since_boot()),
            (SystemTime::UNIX_EPOCH, Duration::from_secs(5))
        );
    }
}
