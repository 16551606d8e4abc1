//! Devices that were there before anybody listened.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sys::modules::ModuleLoader;

use super::{Index, load};

/// Collects what the devices below a folder of `/sys` say they are.
pub fn modaliases(devices: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(devices, &mut found);
    found
}

/// Loads the modules that the present devices ask for, and returns those that failed and why.
///
/// A device nobody has a module for is no failure: images carry only what their board needs.
pub fn coldplug(
    index: &Index,
    folder: &Path,
    loader: &dyn ModuleLoader,
    devices: &Path,
) -> Vec<super::Error> {
    let aliases = modaliases(devices);
    let names: BTreeSet<&str> = aliases.iter().flat_map(|alias| index.by_alias(alias)).collect();
    let known = names.into_iter().filter(|name| index.knows(name));
    known
        .filter_map(|name| load(index, folder, loader, name).err())
        .collect()
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            collect(&entry.path(), found);
        } else if entry.file_name() == "modalias" {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            found.extend(Some(text.trim().to_owned()).filter(|alias| !alias.is_empty()));
        }
    }
}

#[cfg(test)]
mod tests {
    use sys::modules::RecordingModules;

    use super::*;

    #[test]
    fn loads_for_each_device_what_the_image_has() {
        let devices = tempfile::tempdir().unwrap();
        for (device, alias) in [
            ("a/b", "virtio:d00000002v\n"),
            ("a", "platform:unknown"),
            ("c", "pci:x"),
        ] {
            fs::create_dir_all(devices.path().join(device)).unwrap();
            fs::write(devices.path().join(device).join("modalias"), alias).unwrap();
        }
        let alias = "alias virtio:d00000002v* virtio_blk\nalias pci:x not_in_image\n";
        let index = Index::parse("virtio_blk.ko:\n", "", "", alias);
        let loader = RecordingModules::default();
        let failures = coldplug(&index, Path::new("/m"), &loader, devices.path());
        assert!(failures.is_empty());
        assert_eq!(*loader.loaded.lock().unwrap(), [Path::new("/m/virtio_blk.ko")]);
    }
}
