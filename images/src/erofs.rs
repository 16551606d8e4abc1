//! Makes the root file system with `mkfs.erofs` of a pinned version, run from a private prefix.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use board::Arch;
use sha2::{Digest, Sha256};

use crate::packages::deb::{self, DebError, Files};
use crate::packages::fetch::{FetchError, Fetcher};
use crate::packages::fetched::Fetched;
use crate::packages::wanted::Wanted;
use crate::process::{self, ProcessError};
use crate::tree::{Node, Tree};

/// The tool's package and the packages with the libraries it needs.
pub const PACKAGES: [&str; 12] = [
    "erofs-utils",
    "libc6",
    "libdeflate0",
    "libgcc-s1",
    "liblz4-1",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libuuid1",
    "libxxhash0",
    "libzstd1",
    "zlib1g",
];

/// The same identity in every image: nothing finds a root by it, and it must not differ between two builds.
const UUID: &str = "bed91a7e-0000-4000-8000-65726f667300";

/// A fault of making a root file system.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// This host is of an architecture that we have no tool for.
    #[error("images are built on arm64 or amd64, not on {0}")]
    Host(&'static str),
    /// The tool's packages could not be had.
    #[error("cannot get mkfs.erofs")]
    Fetch(#[from] FetchError),
    /// A package of the tool could not be opened.
    #[error("cannot get mkfs.erofs")]
    Deb(#[from] DebError),
    /// Files could not be written.
    #[error("cannot write in {path}")]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tool failed.
    #[error("cannot make the root file system")]
    Run(#[from] ProcessError),
}

/// `mkfs.erofs` of a pinned version with its own loader and libraries: the host's play no part.
pub struct Tool {
    prefix: PathBuf,
    arch: Arch,
}

impl Tool {
    /// Gets the tool's packages and unpacks them, unless that was done before. Also gives the packages.
    pub fn get(fetcher: &mut Fetcher, folder: &Path) -> Result<(Tool, Vec<Fetched>), ErofsError> {
        let arch = Arch::host().ok_or(ErofsError::Host(std::env::consts::ARCH))?;
        let packages = fetcher.fetch(&PACKAGES.map(Wanted::from), arch)?;
        let mut hash = Sha256::new();
        packages.iter().for_each(|package| hash.update(&package.sha256));
        let prefix = folder
            .join("tools")
            .join(format!("erofs-{}", &hex::encode(hash.finalize())[..16]));
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| ErofsError::Write { path, source }
        };
        if !prefix.is_dir() {
            let parent = folder.join("tools");
            fs::create_dir_all(&parent).map_err(fault(&parent))?;
            let scratch = tempfile::Builder::new()
                .prefix("unpack-")
                .tempdir_in(&parent)
                .map_err(fault(&parent))?;
            for package in &packages {
                unpack(&deb::read(&package.path)?, scratch.path()).map_err(fault(scratch.path()))?;
            }
            // A rename makes the prefix appear whole; when another build was faster, its prefix is the same.
            if let Err(error) = fs::rename(scratch.keep(), &prefix)
                && !prefix.is_dir()
            {
                return Err(fault(&prefix)(error));
            }
        }
        Ok((Tool { prefix, arch }, packages))
    }

    /// Makes an uncompressed EROFS of a tree: the same tree gives the same bytes.
    pub fn make(&self, tree: &Tree, scratch: &Path, time: u64) -> Result<Vec<u8>, ErofsError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| ErofsError::Write { path, source }
        };
        // From an archive rather than a folder: neither the order of a folder nor the build user's rights play in.
        let archive = scratch.join("root.tar");
        let image = scratch.join("root.erofs");
        let tar = tree.to_tar(time).map_err(fault(&archive))?;
        fs::write(&archive, tar).map_err(fault(&archive))?;
        let time = time.to_string();
        let mut command = self.command("mkfs.erofs");
        command
            .args([
                "--quiet",
                "-T",
                &time,
                "-U",
                UUID,
                "-x-1",
                "--all-root",
                "--tar=f",
            ])
            .arg(&image)
            .arg(&archive);
        process::output(&mut command)?;
        fs::read(&image).map_err(fault(&image))
    }

    /// Prepares a run of one of the tools in the package.
    pub fn command(&self, name: &str) -> Command {
        let loader = match self.arch {
            Arch::Arm64 => "usr/lib/ld-linux-aarch64.so.1",
            Arch::Amd64 => "usr/lib64/ld-linux-x86-64.so.2",
        };
        let mut command = Command::new(self.prefix.join(loader));
        command
            .arg("--library-path")
            .arg(self.prefix.join("usr/lib").join(self.arch.multiarch()));
        let program = ["usr/bin", "usr/sbin"].map(|folder| self.prefix.join(folder).join(name));
        command.arg(program.iter().find(|path| path.is_file()).unwrap_or(&program[0]));
        // The tool's clock and locale are not the host's.
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        command
    }
}

/// Writes programs and libraries of a package into a folder.
fn unpack(files: &Files, folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let wanted = |path: &str| {
        ["usr/bin/", "usr/sbin/", "usr/lib/", "usr/lib64/"]
            .iter()
            .any(|start| path.starts_with(start))
    };
    for (path, node) in files.iter().filter(|(path, _)| wanted(path)) {
        let target = folder.join(path);
        match node {
            Node::Directory => fs::create_dir_all(&target)?,
            Node::File { data, .. } => {
                fs::create_dir_all(target.parent().unwrap_or(folder))?;
                fs::write(&target, data)?;
                fs::set_permissions(&target, fs::Permissions::from_mode(node.mode()))?;
            }
            Node::Link(to) => {
                fs::create_dir_all(target.parent().unwrap_or(folder))?;
                std::os::unix::fs::symlink(to, &target)?;
            }
        }
    }
    Ok(())
}
