//! Memory, from `/proc/meminfo`.

use api::v1alpha1::MemoryResponse;

use super::{Host, process::kilobytes, text};

impl Host {
    /// Tells how memory is used.
    pub fn memory(&self) -> MemoryResponse {
        let mut memory = parse(&text(&self.proc.join("meminfo")));
        memory.agent_rss_bytes = self.own_rss_bytes();
        memory
    }
}

fn parse(meminfo: &str) -> MemoryResponse {
    let of = |key| kilobytes(meminfo, key);
    MemoryResponse {
        total_bytes: of("MemTotal"),
        free_bytes: of("MemFree"),
        available_bytes: of("MemAvailable"),
        buffers_bytes: of("Buffers"),
        cached_bytes: of("Cached"),
        slab_bytes: of("Slab"),
        shared_bytes: of("Shmem"),
        swap_total_bytes: of("SwapTotal"),
        swap_free_bytes: of("SwapFree"),
        agent_rss_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kilobytes() {
        let memory = parse("MemTotal:        1000 kB\nCached: 7 kB\nSwapCached: 9 kB\n");
        assert_eq!((memory.total_bytes, memory.cached_bytes), (1_024_000, 7168));
        assert_eq!(memory.free_bytes, 0);
    }
}
