//! What a process may do, as the kernel has it.

use std::fs;

use service_definition::Capabilities;
use state::kinds::Rights;

/// Asks the kernel about a process; none when it has ended.
pub fn of(pid: u32) -> Option<Rights> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Reads `/proc/PID/status`.
fn parse(status: &str) -> Option<Rights> {
    let field = |name: &str| {
        let mut lines = status.lines();
        let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_ascii_whitespace().next()
    };
    let bounds = u64::from_str_radix(field("CapBnd")?, 16).ok()?;
    Some(Rights {
        user: field("Uid")?.parse().ok()?,
        capabilities: Capabilities(bounds).names(),
        no_new_privileges: field("NoNewPrivs")? == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = "Name:\tcat\nUid:\t7\t7\t7\t7\nCapEff:\t0000000000000000\nCapBnd:\t0000000000001001\nNoNewPrivs:\t1\n";
        let expected = Rights {
            user: 7,
            capabilities: vec!["CHOWN".to_owned(), "NET_ADMIN".to_owned()],
            no_new_privileges: true,
        };
        assert_eq!(parse(status), Some(expected));
        for wrong in ["", "Uid:\tx\nCapBnd:\tg\nNoNewPrivs:\t1\n"] {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn one_that_has_ended_has_none() {
        assert!(of(std::process::id()).is_some());
        assert_eq!(of(0), None);
    }
}
