//! The capabilities of Linux by name.

use std::fmt;

/// The kernel's names without `CAP_`, indexed by number: `linux/capability.h`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, as the kernel has it: one bit for each number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Returns the set of one capability, named as the kernel has it, without `CAP_`.
    pub fn named(name: &str) -> Option<Self> {
        let number = NAMES.iter().position(|known| *known == name)?;
        Some(Capabilities(1 << number))
    }

    /// Lists the known names, in the kernel's order.
    pub fn known() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// Lists the names in the set, in the kernel's order. A capability without a name is shown by its number.
    pub fn names(self) -> Vec<String> {
        let numbers = (0..u64::BITS).filter(|number| self.0 & (1 << number) != 0);
        let name = |number: u32| match NAMES.get(number as usize) {
            Some(name) => (*name).to_owned(),
            None => number.to_string(),
        };
        numbers.map(name).collect()
    }

    /// Returns true if everything in the other set is in this one.
    pub fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds another set.
    #[must_use]
    pub fn with(self, other: Capabilities) -> Self {
        Capabilities(self.0 | other.0)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        for (name, number) in [("CHOWN", 0), ("SYS_MODULE", 16), ("SYS_BOOT", 22), ("BPF", 39)] {
            assert_eq!(
                Capabilities::named(name),
                Some(Capabilities(1 << number)),
                "{name}"
            );
        }
        assert_eq!(Capabilities::named("CAP_CHOWN"), None);
        assert_eq!(
            Capabilities((1 << 12) | (1 << 62)).names(),
            ["NET_ADMIN".to_owned(), "62".to_owned()]
        );
    }
}
