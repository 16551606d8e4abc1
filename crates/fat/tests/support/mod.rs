//! Volumes that mkfs.vfat makes and mtools fill, and that fsck.vfat checks.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use fat::Volume;
use medium::{FileMedium, Medium};

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// A volume in a file.
pub struct Made {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Made {
    /// Formats a volume of so many KiB, with so many sectors in a cluster.
    pub fn new(kib: u32, per_cluster: u32) -> Made {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("esp.img");
        let (count, kib) = (per_cluster.to_string(), kib.to_string());
        run(
            "mkfs.vfat",
            &["-F", "32", "-s", &count, "-C", path.to_str().unwrap(), &kib],
        );
        Made { folder, path }
    }

    pub fn image(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Writes a file by mtools, and its folder.
    pub fn copy_in(&self, path: &str, data: &[u8]) {
        let file = self.folder.path().join("content");
        std::fs::write(&file, data).unwrap();
        let mut above = String::new();
        let (folders, _) = path.rsplit_once('/').unwrap_or(("", path));
        for name in folders.split('/').filter(|name| !name.is_empty()) {
            above = format!("{above}/{name}");
            let _ = Command::new("mmd")
                .args(["-D", "s", "-i", self.image(), &above])
                .output();
        }
        run(
            "mcopy",
            &[
                "-o",
                "-i",
                self.image(),
                file.to_str().unwrap(),
                &format!("::/{path}"),
            ],
        );
    }

    /// Writes a file by the code under test: mtools take no FAT32 that is as small as those here.
    pub fn put_in(&self, path: &str, data: &[u8]) {
        let mut medium = self.open();
        let change = fat::Change::Put { path, data };
        Volume::open(&mut medium).unwrap().apply(&[change]).unwrap();
    }

    /// Reads a file by mtools.
    pub fn copy_out(&self, path: &str) -> Vec<u8> {
        let file = self.folder.path().join("out");
        let _ = std::fs::remove_file(&file);
        run(
            "mcopy",
            &["-i", self.image(), &format!("::/{path}"), file.to_str().unwrap()],
        );
        std::fs::read(file).unwrap()
    }

    pub fn open(&self) -> FileMedium {
        open(&self.path)
    }

    /// Asserts that fsck.vfat finds nothing wrong.
    pub fn check(&self) {
        run("fsck.vfat", &["-n", self.image()]);
    }
}

pub fn open(path: &Path) -> FileMedium {
    let file = File::options().read(true).write(true).open(path).unwrap();
    FileMedium::new(file).unwrap()
}

/// Reads every file of a volume.
pub fn contents(medium: &mut dyn Medium) -> Result<BTreeMap<String, Vec<u8>>, fat::Error> {
    let mut volume = Volume::open(medium)?;
    let mut all = BTreeMap::new();
    for file in volume.files()? {
        let mut data = Vec::new();
        volume.read(&file, |piece| data.extend_from_slice(piece))?;
        all.insert(file.path.clone(), data);
    }
    Ok(all)
}

/// Makes bytes that no other number makes.
pub fn bytes(len: usize, number: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ number)
        .collect()
}
