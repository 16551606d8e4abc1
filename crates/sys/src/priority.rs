// UNSAFETY: the I/O priority of a thread has no safe wrapper, and neither has its niceness in the crate nix.
#![expect(unsafe_code)]
//! Priorities: a thread's share of the processor and of the disks under contention.

use nix::errno::Errno;
use nix::libc;

use crate::{Context, Result};

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`: one thread, 0 for the calling one.
const WHO_THREAD: libc::c_int = 1;
/// The lowest of the eight levels of the default class: served after all others, but still served.
const LAST_OF_BEST_EFFORT: libc::c_int = (2 << 13) | 7;
/// A niceness of ten: about a tenth of the processor against one busy normal thread.
const NICE: libc::c_int = 10;

/// Lowers the priority of the calling thread, and of the threads it starts, below all others. This cannot be undone: use a
/// thread that ends with its work.
pub fn give_way() -> Result<()> {
    // SAFETY: both calls take numbers only, and change nothing but the scheduling of the calling thread.
    let (disk, processor) = unsafe {
        (
            libc::syscall(libc::SYS_ioprio_set, WHO_THREAD, 0, LAST_OF_BEST_EFFORT),
            libc::setpriority(libc::PRIO_PROCESS, 0, NICE),
        )
    };
    Errno::result(disk).context(|| "lower the thread's I/O priority".to_owned())?;
    Errno::result(processor).context(|| "lower the thread's CPU priority".to_owned())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_gets_a_lower_priority() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // After the name, which may contain anything, the niceness is field 19.
            let fields = stat.rsplit_once(") ").unwrap().1;
            fields.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = niceness();
        let lowered = std::thread::spawn(move || {
            give_way().unwrap();
            niceness()
        });
        assert_eq!(lowered.join().unwrap(), NICE.max(before));
        assert_eq!(niceness(), before);
    }
}
