//! Kernel modules: what there is, in which order it is loaded, and which ones the devices ask for.
//!
//! [`Index`] reads the files that depmod made and decides; [`load`] and [`coldplug`] do. [`helper`] answers the kernel
//! when it asks for a module by itself, as modprobe does elsewhere.

mod coldplug;
pub mod helper;
mod index;
mod pattern;

pub use coldplug::{coldplug, modaliases};
pub use index::{Index, Missing};

use std::path::Path;

use sys::modules::ModuleLoader;

/// The reason why a module is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image does not have it.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The kernel refused it.
    #[error("module {name}")]
    Refused {
        /// The module that was asked for.
        name: String,
        /// Why.
        #[source]
        source: sys::Error,
    },
}

/// Loads a module with all that it needs. One that is built in, or loaded already, is no error.
pub fn load(index: &Index, folder: &Path, loader: &dyn ModuleLoader, name: &str) -> Result<(), Error> {
    for file in index.order(name)? {
        let loaded = loader.load(&folder.join(file), "");
        loaded.map_err(|source| Error::Refused {
            name: name.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// Returns the folder of the running kernel's modules.
pub fn folder() -> std::path::PathBuf {
    Path::new("/lib/modules").join(sys::host::kernel_release())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sys::modules::RecordingModules;

    use super::*;

    #[test]
    fn loads_what_is_needed_first() {
        let index = Index::parse("kernel/b.ko: kernel/a.ko\nkernel/a.ko:\n", "", "", "");
        let loader = RecordingModules::default();
        load(&index, Path::new("/lib/modules/v"), &loader, "b").unwrap();
        let expected = ["/lib/modules/v/kernel/a.ko", "/lib/modules/v/kernel/b.ko"].map(PathBuf::from);
        assert_eq!(*loader.loaded.lock().unwrap(), expected);
    }
}
