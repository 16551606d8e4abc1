//! Time: the driver for `embassy-time`, and the durations in the kernel arguments.
#![expect(unsafe_code)]
// UNSAFETY: reads the processor's counter registers, and exports the driver by the names that embassy-time links to.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use core::time::Duration;

use embassy_time_driver::{Driver, TICK_HZ};
use uefi::boot;

/// Ticks of the processor's free-running counter, which starts at power-on, scaled to [`TICK_HZ`].
struct Counter {
    /// Counts per second; 0 until [`start`].
    frequency: AtomicU64,
}

embassy_time_driver::time_driver_impl!(static COUNTER: Counter = Counter { frequency: AtomicU64::new(0) });

impl Driver for Counter {
    fn now(&self) -> u64 {
        let frequency = self.frequency.load(Ordering::Relaxed).max(1);
        (u128::from(counts()) * u128::from(TICK_HZ) / u128::from(frequency)) as u64
    }

    /// Does nothing: our executor is `embassy_futures::block_on`, which polls again without being woken. A UEFI timer
    /// event would need a callback at a raised priority level, for a menu that waits half a second.
    fn schedule_wake(&self, _at: u64, _waker: &Waker) {}
}

/// Determines the counter's frequency. Before this, no time passes.
pub fn start() {
    let frequency = match stated_frequency() {
        // Some early firmware leaves the register at zero.
        0 => measured_frequency(),
        stated => stated,
    };
    COUNTER.frequency.store(frequency, Ordering::Relaxed);
}

/// Returns the time since power-on, by the machine's counter.
pub fn since_power_on() -> Duration {
    Duration::from_micros(COUNTER.now())
}

fn measured_frequency() -> u64 {
    const SAMPLE: Duration = Duration::from_millis(10);
    let before = counts();
    boot::stall(SAMPLE);
    counts().wrapping_sub(before) * (1000 / SAMPLE.as_millis() as u64)
}

#[cfg(target_arch = "aarch64")]
fn counts() -> u64 {
    let counts: u64;
    // SAFETY: CNTVCT_EL0 is readable at every exception level that firmware runs us at, and reading changes nothing.
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) counts, options(nomem, nostack)) };
    counts
}

#[cfg(target_arch = "aarch64")]
fn stated_frequency() -> u64 {
    let frequency: u64;
    // SAFETY: as above, CNTFRQ_EL0.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
    frequency
}

#[cfg(target_arch = "x86_64")]
fn counts() -> u64 {
    // SAFETY: every x86_64 has RDTSC, and firmware does not forbid it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// CPUID's frequency of the time-stamp counter is wrong or missing on too many machines.
#[cfg(target_arch = "x86_64")]
fn stated_frequency() -> u64 {
    0
}
