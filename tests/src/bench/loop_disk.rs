//! A disk of its own for what is measured: a file behind a loop device.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::tools::Tool;

/// The kernel counts sectors of this size, whatever the disk's are.
const SECTOR: u64 = 512;

/// A loop device, which goes when it is dropped, as its file does.
#[derive(Debug)]
pub struct LoopDisk {
    device: PathBuf,
    file: PathBuf,
}

impl LoopDisk {
    /// Makes a disk of a size, whose first bytes are of no system: a card that was used for something else before.
    pub fn new(file: PathBuf, size: u64, used: u64) -> Result<LoopDisk> {
        let make = || {
            let mut noise = File::open("/dev/urandom")?.take(used);
            let mut out = File::create(&file)?;
            io::copy(&mut noise, &mut out)?;
            out.set_len(size)?;
            out.sync_all()
        };
        make().with_context(|| format!("cannot make {}", file.display()))?;
        // Direct: the host would keep every byte twice, and count writes when it likes.
        let attach = Tool::new("losetup").args(["--find", "--show", "--direct-io=on"]);
        let device = attach.arg(&file).run()?;
        Ok(LoopDisk {
            device: PathBuf::from(device.trim()),
            file,
        })
    }

    /// Returns its device.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Returns its numbers, such as `7:0`.
    pub fn numbers(&self) -> Result<String> {
        Ok(self.attribute("dev")?.trim().to_owned())
    }

    /// Returns how many bytes were written to it so far.
    pub fn written(&self) -> Result<u64> {
        let text = self.attribute("stat")?;
        let sectors = text
            .split_whitespace()
            .nth(6)
            .and_then(|word| word.parse::<u64>().ok());
        Ok(sectors.context("the kernel counts no sectors")? * SECTOR)
    }

    fn attribute(&self, name: &str) -> Result<String> {
        let device = self.device.file_name().unwrap_or_default();
        let path = Path::new("/sys/class/block").join(device).join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Err(error) = Tool::new("losetup").arg("--detach").arg(&self.device).run() {
            stdio::note(format_args!("{error:#}"));
        }
        let _gone = fs::remove_file(&self.file);
    }
}
