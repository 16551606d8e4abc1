//! Loading kernel modules.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::kmod::{ModuleInitFlags, finit_module};

use crate::{Context, Result};

/// Loads module files.
pub trait ModuleLoader: Send + Sync {
    /// Loads one module file. One that is already loaded is not an error.
    fn load(&self, file: &Path, parameters: &str) -> Result<()>;
}

/// The kernel's own loader.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxModules;

impl ModuleLoader for LinuxModules {
    fn load(&self, file: &Path, parameters: &str) -> Result<()> {
        let action = || format!("load the module {}", file.display());
        let opened = File::open(file).context(action)?;
        let parameters = CString::new(parameters)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "NUL in the parameters"))
            .context(action)?;
        match finit_module(&opened, &parameters, flags(file)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
            Err(error) => Err(error).context(action),
        }
    }
}

/// Compressed modules are decompressed by the kernel, when this flag says so.
fn flags(file: &Path) -> ModuleInitFlags {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("xz" | "zst" | "gz") => ModuleInitFlags::from_bits_retain(4),
        _ => ModuleInitFlags::empty(),
    }
}

/// Records what was to be loaded.
#[derive(Debug, Default)]
pub struct RecordingModules {
    /// The files, in order.
    pub loaded: Mutex<Vec<PathBuf>>,
}

impl ModuleLoader for RecordingModules {
    fn load(&self, file: &Path, _parameters: &str) -> Result<()> {
        self.loaded
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(file.to_owned());
        Ok(())
    }
}
