//! Kernel parameters of this machine that kubelet sets, in a container too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const PARAMETERS: [&str; 3] = ["kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory"];

/// Their values, which are written back at the end.
pub struct HostParameters(Vec<(PathBuf, String)>);

impl HostParameters {
    /// Reads them.
    pub fn keep() -> Result<HostParameters> {
        let read = |name: &&str| {
            let path = Path::new("/proc/sys").join(name);
            let value =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((path, value))
        };
        Ok(HostParameters(
            PARAMETERS.iter().map(read).collect::<Result<_>>()?,
        ))
    }
}

impl Drop for HostParameters {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            let _as_it_is = fs::write(path, value);
        }
    }
}
