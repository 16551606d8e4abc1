//! The order in which files are written.

use crate::FirmwareFiles;

/// What is done to a partition, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Paths of the release that are written. The loader is the last.
    pub write: Vec<String>,
    /// Paths that are removed, after that.
    pub remove: Vec<String>,
}

/// Orders the paths that differ. Of the files that no release of today has, those of `remove` are removed.
///
/// What the firmware reads first is written first, and the loader last: until then the old loader starts, which knows
/// every release that this node has. Among the others the order of the list counts, so that files in one folder follow one
/// another.
pub fn order(list: &FirmwareFiles, differing: &[String], remove: &[String]) -> Order {
    let is_loader = |path: &str| path == list.loader;
    let in_list = |path: &str| list.files.iter().position(|file| file.path == path);
    let mut write: Vec<String> = differing
        .iter()
        .filter(|path| in_list(path).is_some())
        .cloned()
        .collect();
    write.sort_by_key(|path| (is_loader(path), path.contains('/'), in_list(path)));
    let remove = remove
        .iter()
        .filter(|path| in_list(path).is_none())
        .cloned()
        .collect();
    Order { write, remove }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listed;

    #[test]
    fn the_loader_is_last_and_nothing_of_the_release_is_removed() {
        let paths = [
            "EFI/BOOT/BOOTAA64.EFI",
            "bootcode.bin",
            "fixup.dat",
            "overlays/a.dtbo",
            "start.elf",
        ];
        let list = FirmwareFiles {
            loader: paths[0].into(),
            files: paths.map(|path| Listed::of(path, b"")).to_vec(),
            settings: None,
        };
        let all = paths.map(str::to_owned);
        let ordered = order(&list, &all, &["start.elf".into(), "recovery.bin".into()]);
        assert_eq!(
            ordered.write,
            [
                "bootcode.bin",
                "fixup.dat",
                "start.elf",
                "overlays/a.dtbo",
                "EFI/BOOT/BOOTAA64.EFI"
            ]
        );
        assert_eq!(ordered.remove, ["recovery.bin"]);
    }
}
