//! Answers the kernel when it needs a module by itself: the part that modprobe plays elsewhere.
//!
//! The kernel starts the program in `kernel.modprobe` as `PROGRAM -q -- NAME`.

use std::path::Path;

use sys::modules::{LinuxModules, ModuleLoader};

use super::{Index, folder, load};

/// Where the kernel keeps the path of the program.
pub const SYSCTL: &str = "/proc/sys/kernel/modprobe";

/// Returns the module the kernel asks for, if these arguments are its.
pub fn asked_for(arguments: &[String]) -> Option<&str> {
    match arguments {
        [quiet, end, name] if quiet == "-q" && end == "--" => Some(name),
        _ => None,
    }
}

/// Loads what the kernel asks for, by name or alias. Returns whether there was anything to load.
pub fn answer(name: &str) -> bool {
    let folder = folder();
    Index::load(&folder).is_ok_and(|index| answer_from(&index, &folder, &LinuxModules, name))
}

fn answer_from(index: &Index, folder: &Path, loader: &dyn ModuleLoader, name: &str) -> bool {
    if index.knows(name) {
        return load(index, folder, loader, name).is_ok();
    }
    let names = index.by_alias(name);
    names
        .into_iter()
        .filter(|name| load(index, folder, loader, name).is_ok())
        .count()
        > 0
}

#[cfg(test)]
mod tests {
    use sys::modules::RecordingModules;

    use super::*;

    #[test]
    fn knows_the_kernels_way_of_asking() {
        let arguments = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(asked_for(&arguments("-q -- net-pf-10")), Some("net-pf-10"));
        assert_eq!(asked_for(&arguments("--version")), None);
        assert_eq!(asked_for(&[]), None);
    }

    #[test]
    fn answers_by_name_and_by_alias() {
        let index = Index::parse("veth.ko:\n", "", "", "alias rtnl-link-veth veth\n");
        let loader = RecordingModules::default();
        assert!(answer_from(&index, Path::new("/m"), &loader, "veth"));
        assert!(answer_from(&index, Path::new("/m"), &loader, "rtnl-link-veth"));
        assert!(!answer_from(&index, Path::new("/m"), &loader, "rtnl-link-vxlan"));
        assert_eq!(loader.loaded.lock().unwrap().len(), 2);
    }
}
