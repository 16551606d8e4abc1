//! What a process's cgroup uses, by `/proc/PID/cgroup` and the files of the cgroup.

use std::path::{Component, Path, PathBuf};

use super::{Host, number, text};

impl Host {
    /// Returns the memory that is charged to the cgroup of a process, page cache included; zero where it is not known.
    pub fn charged_bytes(&self, pid: u32) -> u64 {
        let groups = text(&self.proc.join(pid.to_string()).join("cgroup"));
        memory_file(&groups).map_or(0, |file| number(&self.sys.join("fs/cgroup").join(file)))
    }
}

/// Finds the file with the figure, below the folder of cgroups: that of the one hierarchy or, on old hosts, that of the
/// controller of memory. None for a process in no cgroup but the root, which has everything of the node.
fn memory_file(groups: &str) -> Option<PathBuf> {
    let mut old = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let plain = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain || path.is_empty() {
            continue;
        }
        if controllers.is_empty() {
            return Some(Path::new(path).join("memory.current"));
        }
        if controllers.split(',').any(|controller| controller == "memory") {
            old = Some(Path::new("memory").join(path).join("memory.usage_in_bytes"));
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_figure_is_found_in_new_and_old_hierarchies() {
        let cases = [
            (
                "0::/kubepods/pod1/abc\n",
                Some("kubepods/pod1/abc/memory.current"),
            ),
            (
                "5:cpu,memory:/docker/x\n1:name=systemd:/docker/x\n",
                Some("memory/docker/x/memory.usage_in_bytes"),
            ),
            ("0::/\n", None),
            ("0::/../escape\n", None),
            ("", None),
        ];
        for (groups, expected) in cases {
            assert_eq!(memory_file(groups), expected.map(PathBuf::from), "{groups}");
        }
    }

    #[test]
    fn the_figure_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("proc/7")).unwrap();
        std::fs::create_dir_all(root.join("sys/fs/cgroup/pods/a")).unwrap();
        std::fs::write(root.join("proc/7/cgroup"), "0::/pods/a\n").unwrap();
        std::fs::write(root.join("sys/fs/cgroup/pods/a/memory.current"), "12345\n").unwrap();
        let host = Host::at(root);
        assert_eq!((host.charged_bytes(7), host.charged_bytes(8)), (12345, 0));
    }

    proptest! {
        #[test]
        fn a_file_is_always_below_the_folder(groups in "[0-9:a-z/.\\n]{0,60}") {
            if let Some(file) = memory_file(&groups) {
                prop_assert!(file.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
