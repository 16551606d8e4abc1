//! Finds a Rust toolchain that can build for the nodes: Linux and UEFI, on each architecture.
//!
//! Three ways, the first that works: the targets are installed already; rustup adds them; Debian's packages bring the
//! standard library of the other architecture, and the source from which `core` and `alloc` are built for UEFI.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::apt::{self, Want};
use crate::arch::Arch;
use crate::paths;
use crate::process::{self, Program};

/// What to do when no way is left.
pub const NO_WAY: &str = "no Rust toolchain here can build for the nodes: install one with rustup that can add \
    targets, or use a Debian whose rustc or rustc-web package is at least 1.91";

/// The oldest compiler that builds the tree (`rust-version` in Cargo.toml).
const OLDEST: (u32, u32) = (1, 91);
/// How long rustup may take for one target: without a network it would try on for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
/// For how long a failure of rustup is remembered.
const RUSTUP_RETRY: Duration = Duration::from_secs(24 * 3600);

/// A cargo and a rustc that build the nodes' programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The cargo to call.
    pub cargo: PathBuf,
    /// The compiler it is to use.
    pub rustc: PathBuf,
    /// How it builds for UEFI.
    pub uefi: Uefi,
}

/// Where a toolchain takes `core` and `alloc` for UEFI from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uefi {
    /// They are installed.
    Prebuilt,
    /// They are compiled along, from the source that Debian packages.
    FromSource,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rustc.display())?;
        match self.uefi {
            Uefi::Prebuilt => Ok(()),
            Uefi::FromSource => f.write_str(" (core and alloc for UEFI from source)"),
        }
    }
}

/// Finds the toolchain, letting rustup add targets where it can.
pub fn find() -> Option<Toolchain> {
    installed()
        .or_else(debian)
        .or_else(|| if rustup_adds_targets() { installed() } else { None })
}

/// Lists the Debian packages that make a toolchain, if a recent enough one can be had.
pub fn packages() -> Option<Vec<Want>> {
    let why = "a Rust compiler with the standard library of each kind of node";
    let suffix = ["", "-web"].into_iter().find(|suffix| {
        let candidate = apt::candidate(&format!("rustc{suffix}"));
        candidate
            .and_then(|version| parse_version(&version))
            .is_some_and(|version| version >= OLDEST)
    })?;
    // Debian names the source package the other way round.
    let source = if suffix.is_empty() {
        "rust-src".to_owned()
    } else {
        format!("rust{suffix}-src")
    };
    let mut packages = vec![format!("rustc{suffix}"), format!("cargo{suffix}"), source];
    let foreign = Arch::ALL.into_iter().filter(|arch| Arch::host() != Some(*arch));
    packages.extend(foreign.map(|arch| format!("libstd-rust{suffix}-dev:{arch}")));
    Some(packages.iter().map(|package| Want::new(package, why)).collect())
}

/// The toolchain in `PATH`, when every target is installed for it.
fn installed() -> Option<Toolchain> {
    let sysroot = sysroot(Path::new("rustc"))?;
    let targets = Arch::ALL
        .into_iter()
        .flat_map(|arch| [arch.linux_target(), arch.uefi_target()]);
    let complete = targets.into_iter().all(|target| has_target(&sysroot, target));
    complete.then(|| Toolchain {
        cargo: "cargo".into(),
        rustc: sysroot.join("bin/rustc"),
        uefi: Uefi::Prebuilt,
    })
}

/// Debian's own toolchain, when it is recent enough and complete.
fn debian() -> Option<Toolchain> {
    let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    if !cargo.exists() || !rustc.exists() || version(&rustc)? < OLDEST {
        return None;
    }
    let sysroot = sysroot(&rustc)?;
    let linux = Arch::ALL
        .into_iter()
        .all(|arch| has_target(&sysroot, arch.linux_target()));
    let source = sysroot.join("lib/rustlib/src/rust/library/core").exists();
    (linux && source).then_some(Toolchain {
        cargo,
        rustc,
        uefi: Uefi::FromSource,
    })
}

/// Lets rustup install the targets; a failure is remembered, so that the next run does not wait for it again.
fn rustup_adds_targets() -> bool {
    let note = paths::cache().join("rustup-cannot-add-targets");
    if process::find("rustup").is_none() || is_recent(&note) {
        return false;
    }
    for target in Arch::ALL
        .into_iter()
        .flat_map(|arch| [arch.linux_target(), arch.uefi_target()])
    {
        stdio::note(format_args!("setup: rustup target add {target}"));
        let add = Program::new("rustup")
            .args(["target", "add", target])
            .within(RUSTUP_LIMIT);
        if let Err(error) = add.run() {
            stdio::note(format_args!(
                "setup: {error:#}; Debian's Rust packages are used instead"
            ));
            let written = std::fs::create_dir_all(paths::cache()).and_then(|()| std::fs::write(&note, ""));
            if let Err(error) = written {
                stdio::note(format_args!(
                    "setup: cannot remember that in {}: {error}",
                    note.display()
                ));
            }
            return false;
        }
    }
    true
}

fn is_recent(note: &Path) -> bool {
    let written = std::fs::metadata(note).and_then(|metadata| metadata.modified());
    written.is_ok_and(|time| {
        SystemTime::now()
            .duration_since(time)
            .is_ok_and(|age| age < RUSTUP_RETRY)
    })
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let printed = Program::new(rustc).args(["--print", "sysroot"]).read().ok()?;
    Some(PathBuf::from(printed.trim()))
}

fn version(rustc: &Path) -> Option<(u32, u32)> {
    let printed = Program::new(rustc).arg("--version").read().ok()?;
    parse_version(printed.strip_prefix("rustc ")?)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split(['.', '+', '~', '-', ' '])
        .map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Returns whether the target's `core` is there, not only its folder.
fn has_target(sysroot: &Path, target: &str) -> bool {
    let folder = sysroot.join("lib/rustlib").join(target).join("lib");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().starts_with("libcore-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compilers_and_packages_are_read() {
        assert_eq!(parse_version("1.96.0 (30a34c682 2026-05-25)"), Some((1, 96)));
        assert_eq!(parse_version("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(parse_version("1.63.0+dfsg1-2"), Some((1, 63)));
        assert_eq!(parse_version("nightly"), None);
        assert!(parse_version("1.63.0").unwrap() < OLDEST);
    }

    #[test]
    fn a_target_without_a_core_library_does_not_count() {
        let sysroot = paths::target().join("tmp/setup-rust-test");
        let lib = sysroot.join("lib/rustlib/x86_64-unknown-uefi/lib");
        std::fs::create_dir_all(&lib).unwrap();
        assert!(!has_target(&sysroot, "x86_64-unknown-uefi"));
        std::fs::write(lib.join("libcore-0.rlib"), "").unwrap();
        assert!(has_target(&sysroot, "x86_64-unknown-uefi"));
        std::fs::remove_dir_all(&sysroot).unwrap();
    }
}
