//! What a machine needs besides Rust, as a table.

use std::fmt;
use std::path::Path;

use crate::arch::Arch;
use crate::process;

/// A Debian package, how to see that what it brings is there, and what it is for.
#[derive(Clone, Debug)]
pub struct Need {
    /// The package that brings it.
    pub package: String,
    /// What shows that it is there, whoever installed it.
    pub probe: Probe,
    /// What it is for, as said to the user.
    pub why: &'static str,
}

/// Something that is looked for on this machine.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A program in `PATH` or in the folders of system administration.
    Program(String),
    /// A file.
    File(String),
}

impl Need {
    /// Returns whether it is there.
    pub fn is_present(&self) -> bool {
        match &self.probe {
            Probe::Program(name) => process::find(name).is_some(),
            Probe::File(path) => Path::new(path).exists(),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Program(name) => write!(f, "program {name}"),
            Probe::File(path) => write!(f, "file {path}"),
        }
    }
}

const CHECKER: &str = "an independent checker for what Bedplate writes";
const EMULATOR: &str = "the emulator that demo and tests boot nodes in";
const FIRMWARE: &str = "the firmware that starts emulated nodes";

/// Packages whose names are the same on every host.
const TABLE: &[(&str, Probing, &str)] = &[
    (
        "lld",
        Probing::Program("lld-link"),
        "the linker for UEFI programs",
    ),
    (
        "qemu-system-arm",
        Probing::Program("qemu-system-aarch64"),
        EMULATOR,
    ),
    (
        "qemu-system-x86",
        Probing::Program("qemu-system-x86_64"),
        EMULATOR,
    ),
    (
        "ipxe-qemu",
        Probing::File("/usr/lib/ipxe/qemu/efi-virtio.rom"),
        "the boot ROM of emulated network cards",
    ),
    (
        "u-boot-qemu",
        Probing::File("/usr/lib/u-boot/qemu_arm64/u-boot.bin"),
        FIRMWARE,
    ),
    (
        "qemu-efi-aarch64",
        Probing::File("/usr/share/AAVMF/AAVMF_CODE.fd"),
        FIRMWARE,
    ),
    ("ovmf", Probing::File("/usr/share/OVMF/OVMF_CODE_4M.fd"), FIRMWARE),
    ("cryptsetup-bin", Probing::Program("veritysetup"), CHECKER),
    ("erofs-utils", Probing::Program("fsck.erofs"), CHECKER),
    ("gdisk", Probing::Program("sgdisk"), CHECKER),
    ("dosfstools", Probing::Program("fsck.vfat"), CHECKER),
    ("minisign", Probing::Program("minisign"), CHECKER),
    ("qemu-utils", Probing::Program("qemu-img"), CHECKER),
    (
        "xorriso",
        Probing::Program("xorriso"),
        "makes volumes for nodes in tests",
    ),
    (
        "containerd",
        Probing::Program("containerd"),
        "whose store tests break, to see it replaced",
    ),
    (
        "nftables",
        Probing::Program("nft"),
        "filters packets in the tests of workloads",
    ),
    (
        "mtools",
        Probing::Program("mcopy"),
        "reads files out of a disk image in tests",
    ),
    (
        "device-tree-compiler",
        Probing::Program("fdtput"),
        "fits a board's device tree to its emulator",
    ),
    (
        "protobuf-compiler",
        Probing::Program("protoc"),
        "compiles the interface of containerd",
    ),
    ("xz-utils", Probing::Program("xz"), "unpacks Debian packages"),
    ("zstd", Probing::Program("zstd"), "unpacks Debian packages"),
    (
        "gcc",
        Probing::Program("cc"),
        "the linker of programs for this machine",
    ),
    (
        "g++",
        Probing::Program("c++"),
        "compiles libFuzzer, which drives the fuzz targets",
    ),
    (
        "libc6-dev",
        Probing::File("/usr/include/stdlib.h"),
        "C headers for this machine",
    ),
];

const PEER: &str = "compared with Bedplate by `cargo xtask bench`";

/// What only `bench` needs.
const PEERS: &[(&str, Probing, &str)] = &[
    ("bmap-tools", Probing::Program("bmaptool"), PEER),
    ("casync", Probing::Program("casync"), PEER),
    ("xdelta3", Probing::Program("xdelta3"), PEER),
    ("zchunk", Probing::Program("zck"), PEER),
    ("etcd-server", Probing::Program("etcd"), PEER),
    (
        "curl",
        Probing::Program("curl"),
        "asks the control plane that Bedplate's is compared with",
    ),
    ("openssl", Probing::Program("openssl"), "makes its keys"),
    (
        "time",
        Probing::Program("time"),
        "reports time and memory of what is measured",
    ),
];

/// What only clusters of containers need.
const CONTAINERS: &[(&str, Probing, &str)] = &[(
    "podman",
    Probing::Program("podman"),
    "runs the nodes of `cargo xtask demo --cluster`",
)];

enum Probing {
    Program(&'static str),
    File(&'static str),
}

/// Lists what this machine needs: the table, and a C compiler for each architecture that is not its own.
pub fn needs() -> Vec<Need> {
    let foreign = Arch::ALL.into_iter().filter(|arch| Arch::host() != Some(*arch));
    let named = TABLE.iter().map(need);
    named.chain(foreign.flat_map(cross_compiler)).collect()
}

/// Lists the tools that `bench` compares with.
pub fn peers() -> Vec<Need> {
    PEERS.iter().map(need).collect()
}

/// Lists what runs clusters of containers.
pub fn containers() -> Vec<Need> {
    CONTAINERS.iter().map(need).collect()
}

fn need((package, probe, why): &(&str, Probing, &'static str)) -> Need {
    Need {
        package: (*package).to_owned(),
        probe: match probe {
            Probing::Program(name) => Probe::Program((*name).to_owned()),
            Probing::File(path) => Probe::File((*path).to_owned()),
        },
        why,
    }
}

fn cross_compiler(arch: Arch) -> [Need; 2] {
    let (gnu, headers) = match arch {
        Arch::Arm64 => ("aarch64-linux-gnu", "/usr/aarch64-linux-gnu/include/stdlib.h"),
        Arch::Amd64 => ("x86-64-linux-gnu", "/usr/x86_64-linux-gnu/include/stdlib.h"),
    };
    let why = "compiles C parts and links programs for nodes of the other architecture";
    [
        Need {
            package: format!("gcc-{gnu}"),
            probe: Probe::Program(arch.gcc().to_owned()),
            why,
        },
        Need {
            package: format!("libc6-dev-{arch}-cross"),
            probe: Probe::File(headers.to_owned()),
            why,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_needs_a_compiler_for_the_other_architecture_only() {
        let packages: Vec<String> = needs().into_iter().map(|need| need.package).collect();
        let cross: Vec<_> = packages
            .iter()
            .filter(|package| package.ends_with("-cross"))
            .collect();
        match Arch::host() {
            Some(Arch::Amd64) => assert_eq!(cross, ["libc6-dev-arm64-cross"]),
            Some(Arch::Arm64) => assert_eq!(cross, ["libc6-dev-amd64-cross"]),
            None => assert_eq!(cross.len(), 2),
        }
    }

    #[test]
    fn presence_is_seen_on_the_machine() {
        let need = |probe| Need {
            package: String::new(),
            probe,
            why: "",
        };
        assert!(need(Probe::File("/etc/passwd".into())).is_present());
        assert!(!need(Probe::File("/etc/no-such-file".into())).is_present());
        assert!(!need(Probe::Program("no-such-program".into())).is_present());
    }
}
