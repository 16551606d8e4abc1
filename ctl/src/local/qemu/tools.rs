//! What QEMU needs on this host: its programs, their version, and the firmware of the machines.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use board::Arch;

/// The oldest QEMU that clusters run on: the first with the network of datagrams that connects the nodes.
const OLDEST: (u64, u64) = (7, 2);
/// The program for disks.
pub(super) const DISKS: &str = "qemu-img";

/// How a machine of an architecture is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The emulator.
    pub program: &'static str,
    /// What it calls the machine.
    pub machine: &'static str,
    /// The package with the emulator, in Debian.
    package: &'static str,
    /// The package with the firmware, in Debian.
    firmware_package: &'static str,
    /// Where distributions have the firmware and its variables: Debian, Fedora, Arch Linux.
    firmware: &'static [(&'static str, &'static str)],
}

const AMD64: Kind = Kind {
    program: "qemu-system-x86_64",
    machine: "q35",
    package: "qemu-system-x86",
    firmware_package: "ovmf",
    firmware: &[
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
    ],
};
const ARM64: Kind = Kind {
    program: "qemu-system-aarch64",
    machine: "virt",
    package: "qemu-system-arm",
    firmware_package: "qemu-efi-aarch64",
    firmware: &[
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        (
            "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
            "/usr/share/edk2/aarch64/vars-template-pflash.raw",
        ),
    ],
};

/// The firmware of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Firmware {
    /// Its code.
    pub code: PathBuf,
    /// Its variables, to be copied.
    pub variables: PathBuf,
}

impl Kind {
    /// Returns how machines of this host's architecture are emulated: any other would be slow.
    ///
    /// # Errors
    /// Fails on a host of another architecture.
    pub(super) fn of_host() -> anyhow::Result<Kind> {
        match Arch::host().context("there are no images for the architecture of this host")? {
            Arch::Amd64 => Ok(AMD64),
            Arch::Arm64 => Ok(ARM64),
        }
    }

    /// Checks that everything is there.
    ///
    /// # Errors
    /// Says what is missing or too old, and what to do about it.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let said = run(self.program, self.package, ["--version"])?;
        check_version(&said)?;
        run(DISKS, "qemu-utils", ["--version"])?;
        self.find_firmware(Path::is_file).map(drop)
    }

    /// Finds the firmware.
    ///
    /// # Errors
    /// Says how to install it.
    pub(super) fn find_firmware(&self, is_file: impl Fn(&Path) -> bool) -> anyhow::Result<Firmware> {
        let mut places = self.firmware.iter().map(|(code, variables)| Firmware {
            code: code.into(),
            variables: variables.into(),
        });
        let found = places.find(|place| is_file(&place.code) && is_file(&place.variables));
        found.with_context(|| {
            format!(
                "there is no UEFI firmware for {}: install it (`apt install {}`)",
                self.program, self.firmware_package
            )
        })
    }
}

/// Runs a program of QEMU to its end, and returns what it wrote.
pub(super) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    program: &str,
    package: &str,
    arguments: I,
) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("there is no {program}: install it (`apt install {package}`)"),
        _ => anyhow::Error::new(error).context(format!("cannot run {program}")),
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => anyhow::bail!(
            "{program}: {}",
            complaint(program, &String::from_utf8_lossy(&output.stderr))
        ),
    }
}

/// Returns the lines of a program's complaint that are no mere warnings, as one. Pure.
pub(super) fn complaint(program: &str, said: &str) -> String {
    let own = format!("{program}: ");
    let lines = said
        .lines()
        .map(|line| line.trim().trim_start_matches(own.as_str()));
    let lines: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("warning: "))
        .collect();
    match lines.is_empty() {
        true => "it failed, and said nothing".to_owned(),
        false => lines.join("; "),
    }
}

/// Checks what `--version` says. Pure.
fn check_version(said: &str) -> anyhow::Result<()> {
    let version = said
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1);
    let version = version.context("QEMU does not say its version")?;
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    let numbers = (numbers.next().flatten(), numbers.next().flatten());
    let (major, minor) = OLDEST;
    anyhow::ensure!(
        matches!(numbers, (Some(a), Some(b)) if (a, b) >= OLDEST),
        "QEMU {version} is too old: clusters need {major}.{minor} or newer"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_qemu_is_refused() {
        for good in [
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c) 2003-2025 Fabrice Bellard",
            "QEMU emulator version 7.2.17 (Debian 1:7.2+dfsg-7+deb12u13)",
            "QEMU emulator version 7.2.0",
        ] {
            check_version(good).unwrap();
        }
        let old = check_version("QEMU emulator version 5.2.0 (Debian 1:5.2+dfsg-11)").unwrap_err();
        assert_eq!(
            old.to_string(),
            "QEMU 5.2.0 is too old: clusters need 7.2 or newer"
        );
        assert!(check_version("QEMU emulator version 6.99").is_err());
        for garbage in ["", "QEMU", "version", "version x.y", "version 9"] {
            assert!(check_version(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn firmware_is_looked_for_where_distributions_have_it() {
        let fedora = |path: &Path| path.starts_with("/usr/share/edk2/ovmf");
        let found = AMD64.find_firmware(fedora).unwrap();
        assert_eq!(found.variables, Path::new("/usr/share/edk2/ovmf/OVMF_VARS.fd"));
        let missing = ARM64.find_firmware(|path| path.ends_with("AAVMF_CODE.fd"));
        let said = missing.unwrap_err().to_string();
        assert!(said.contains("apt install qemu-efi-aarch64"), "{said}");
    }

    #[test]
    fn complaints_are_one_line_without_warnings() {
        let said = "qemu-img: warning: host is slow\n\nqemu-img: x.img: Could not open 'x.img'\n";
        assert_eq!(complaint("qemu-img", said), "x.img: Could not open 'x.img'");
        assert_eq!(complaint("qemu-img", "\n"), "it failed, and said nothing");
    }
}
