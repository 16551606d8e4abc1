//! Config drives as OpenStack's Nova makes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tools::Tool;

/// Where Nova puts its files.
const LATEST: &str = "openstack/latest";

/// A CD with Joliet and Rock Ridge, with compressed user data.
pub struct ConfigDrive {
    volume: PathBuf,
}

impl ConfigDrive {
    /// Makes one in a folder of its own, with user data and with files beside them.
    pub fn make(folder: &Path, user_data: &Path, beside: &[(&str, &str)]) -> Result<ConfigDrive> {
        let files = folder.join("files");
        let latest = files.join(LATEST);
        fs::create_dir_all(&latest)?;
        for (name, content) in beside {
            fs::write(latest.join(name), content)?;
        }
        let place = latest.join("user_data");
        fs::copy(user_data, &place)?;
        Tool::new("gzip").arg(&place).run()?;
        fs::rename(place.with_extension("gz"), &place)?;
        let volume = folder.join("config-2.iso");
        let make =
            Tool::new("xorriso").args(["-as", "mkisofs", "-quiet", "-V", "config-2", "-J", "-r", "-o"]);
        make.arg(&volume).arg(&files).run()?;
        Ok(ConfigDrive { volume })
    }

    /// Returns the options by which a machine has it in its CD drive.
    pub fn options(&self) -> String {
        let file = self.volume.display();
        format!(
            "-drive if=none,id=seed,media=cdrom,format=raw,readonly=on,file={file} -device ide-cd,drive=seed"
        )
    }
}
