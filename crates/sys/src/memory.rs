// UNSAFETY: asking the allocator to return memory has no safe wrapper.
#![expect(unsafe_code)]
//! This process's memory.

/// Returns free memory to the kernel.
///
/// glibc keeps what was freed below something that is still in use, in each of its arenas, forever. This takes some
/// milliseconds, and other threads wait for memory in the meantime. Does nothing with allocators that lack this function.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a plain number, may be called by any thread at any time, and moves nothing that is in use.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn memory_freed_below_something_in_use_is_returned() {
        let pieces: Vec<Vec<u8>> = (0..2000).map(|_| vec![1; 16 * 1024]).collect();
        let above = std::hint::black_box(vec![1_u8; 16 * 1024]);
        drop(pieces);
        let before = resident_kib();
        give_back();
        let after = resident_kib();
        assert!(after + 16 * 1024 < before, "{before} KiB, then {after} KiB");
        drop(above);
    }
}
