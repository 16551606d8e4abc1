// UNSAFETY: the priority of a thread for disks has no safe wrapper, and neither has its niceness in the crate nix.
#![expect(unsafe_code)]
//! Giving way: how much a thread gets of the processor and of the disks when others want them, too.

use nix::errno::Errno;
use nix::libc;

use crate::{Context, Result};

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`: one thread, 0 for the calling one.
const WHO_THREAD: libc::c_int = 1;
/// The last of the eight levels of the usual class: served after all others, and yet served.
const LAST_OF_BEST_EFFORT: libc::c_int = (2 << 13) | 7;
/// What a niceness of ten means: about a tenth of the processor against one busy thread of the usual kind.
const NICE: libc::c_int = 10;

/// Makes the calling thread, and the threads it starts, give way to all others. There is no way back: use a thread that
/// ends with its work.
pub fn give_way() -> Result<()> {
    // SAFETY: both calls take numbers only, and change nothing but the scheduling of the calling thread.
    let (disk, processor) = unsafe {
        (
            libc::syscall(libc::SYS_ioprio_set, WHO_THREAD, 0, LAST_OF_BEST_EFFORT),
            libc::setpriority(libc::PRIO_PROCESS, 0, NICE),
        )
    };
    Errno::result(disk).context(|| "lower the thread's priority for disks".to_owned())?;
    Errno::result(processor).context(|| "lower the thread's priority for the processor".to_owned())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_and_others_do_not() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Behind the name, which may hold anything, the niceness is field 19.
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
