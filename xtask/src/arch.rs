//! The processor architectures Bedplate runs on, and what each is called by whom.

use std::fmt;

/// An architecture that nodes have, by Debian's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit x86.
    Amd64,
}

impl Arch {
    /// Every architecture, in the order in which they are built.
    pub const ALL: [Arch; 2] = [Arch::Arm64, Arch::Amd64];

    /// Returns the architecture of the machine that runs xtask.
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "aarch64" => Some(Arch::Arm64),
            "x86_64" => Some(Arch::Amd64),
            _ => None,
        }
    }

    /// Returns the name used in our data and in the layout of built files.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Arm64 => "arm64",
            Arch::Amd64 => "amd64",
        }
    }

    /// Returns Rust's target for programs that run on a node.
    pub fn linux_target(self) -> &'static str {
        match self {
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
            Arch::Amd64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// Returns Rust's target for the boot loader.
    pub fn uefi_target(self) -> &'static str {
        match self {
            Arch::Arm64 => "aarch64-unknown-uefi",
            Arch::Amd64 => "x86_64-unknown-uefi",
        }
    }

    /// Returns the C compiler that links programs of this architecture on any Debian host.
    pub fn gcc(self) -> &'static str {
        match self {
            Arch::Arm64 => "aarch64-linux-gnu-gcc",
            Arch::Amd64 => "x86_64-linux-gnu-gcc",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
