//! Processes, from `/proc/PID/{stat,status}`.

use api::v1alpha1::{Process, ProcessesResponse};

use super::{Host, TICK_MS, entries, text};

impl Host {
    /// Lists the processes, by number. One that ends meanwhile is left out.
    pub fn processes(&self) -> ProcessesResponse {
        let uptime = self.uptime_ms();
        let pids = entries(&self.proc)
            .into_iter()
            .filter_map(|name| name.parse().ok());
        let mut processes: Vec<Process> = pids.filter_map(|pid| self.process(pid, uptime)).collect();
        processes.sort_by_key(|process| process.pid);
        ProcessesResponse { processes }
    }

    fn process(&self, pid: u32, uptime_ms: u64) -> Option<Process> {
        let folder = self.proc.join(pid.to_string());
        let mut process = parse_stat(&text(&folder.join("stat")), uptime_ms)?;
        let status = text(&folder.join("status"));
        process.rss_bytes = kilobytes(&status, "VmRSS");
        process.virtual_bytes = kilobytes(&status, "VmSize");
        if let Ok(target) = std::fs::read_link(folder.join("exe")) {
            process.executable = target.display().to_string();
        }
        Some(process)
    }
}

/// Finds `KEY:  123 kB` and returns it in bytes; zero where it is missing.
pub(super) fn kilobytes(text: &str, key: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let digits = value.and_then(|value| value.split_ascii_whitespace().next()?.parse::<u64>().ok());
    digits.unwrap_or(0).saturating_mul(1024)
}

/// Reads `PID (NAME) STATE PARENT …`. The name may hold anything, brackets and blanks included.
fn parse_stat(text: &str, uptime_ms: u64) -> Option<Process> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Counted from 3 in proc(5): state is 3, parent 4, user time 14, system time 15, threads 20, start 22.
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    let started_ms = field(22)?.saturating_mul(TICK_MS);
    Some(Process {
        pid: pid.parse().ok()?,
        parent: u32::try_from(field(4)?).ok()?,
        name: name.to_owned(),
        state: (*fields.first()?).to_owned(),
        threads: u32::try_from(field(20)?).ok()?,
        cpu_ms: field(14)?.saturating_add(field(15)?).saturating_mul(TICK_MS),
        age_ms: uptime_ms.saturating_sub(started_ms),
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_hold_brackets() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 7 3 0 0 20 0 5 0 1000 2 3";
        let process = parse_stat(line, 60_000).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.name.as_str()),
            (42, 1, "a) b (c")
        );
        assert_eq!((process.state.as_str(), process.threads), ("S", 5));
        assert_eq!((process.cpu_ms, process.age_ms), (100, 50_000));
    }

    proptest! {
        #[test]
        fn garbage_is_left_out(text in "\\PC{0,60}") {
            let _ = parse_stat(&text, 5);
            let _ = kilobytes(&text, "VmRSS");
        }
    }
}
