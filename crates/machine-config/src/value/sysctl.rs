//! Names of kernel parameters.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::NotA;

/// The longest name.
const LONGEST: usize = 256;

/// The name of a kernel parameter, parts separated by dots. A slash stands for a dot that belongs to a part, such as
/// that of the interface `eth0.100`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysctlName(String);

impl SysctlName {
    /// Returns the name, with dots between its parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SysctlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SysctlName {
    type Err = NotA;

    /// Accepts both forms of sysctl(8): if a slash comes first, slashes separate the parts and dots belong to them.
    fn from_str(text: &str) -> Result<Self, NotA> {
        let slashes = text
            .find(['.', '/'])
            .is_some_and(|at| text[at..].starts_with('/'));
        let swapped = |c| match c {
            '.' if slashes => '/',
            '/' if slashes => '.',
            c => c,
        };
        let name: String = text.chars().map(swapped).collect();
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/'))
        };
        if name.contains('.') && name.len() <= LONGEST && name.split('.').all(part) {
            Ok(Self(name))
        } else {
            Err(NotA(
                "a kernel parameter; expected a name such as net.ipv4.ip_forward or net/ipv4/ip_forward",
            ))
        }
    }
}

as_text!(
    SysctlName,
    r"^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$",
    "A kernel parameter, such as net.ipv4.ip_forward or net/ipv4/ip_forward."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sysctl_are_accepted() {
        let table = [
            ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
            ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
            (
                "net.ipv4.conf.eth0/100.rp_filter",
                "net.ipv4.conf.eth0/100.rp_filter",
            ),
            (
                "net/ipv4/conf/eth0.100/rp_filter",
                "net.ipv4.conf.eth0/100.rp_filter",
            ),
        ];
        for (text, name) in table {
            let read: SysctlName = text.parse().unwrap();
            assert_eq!(read.as_str(), name);
            assert_eq!(read.to_string().parse::<SysctlName>().unwrap(), read);
        }
        for wrong in [
            "",
            "kernel",
            "/proc/sys/kernel/panic",
            "kernel/",
            "kernel..panic",
            "kernel. panic",
            "a/b\u{e4}",
        ] {
            assert!(wrong.parse::<SysctlName>().is_err(), "{wrong}");
        }
    }
}
