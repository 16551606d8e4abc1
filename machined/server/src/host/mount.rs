//! Mounted file systems, from `/proc/self/mountinfo`.

use std::fs;

use api::v1alpha1::{Mount, MountsResponse};

use sys::mount_table::{self, Mounted};

use super::Host;

impl Host {
    /// Lists mounted file systems with their use. May wait for a slow disk.
    pub fn mounts(&self) -> MountsResponse {
        let table = fs::read(self.proc.join("self/mountinfo")).unwrap_or_default();
        let with_room = |mounted: Mounted| {
            let room = sys::filesystem::room(&mounted.target);
            let mut mount = shown(mounted);
            if let Ok(room) = room {
                mount.size_bytes = room.total;
                mount.available_bytes = room.available;
            }
            mount
        };
        MountsResponse {
            mounts: mount_table::parse(&table).into_iter().map(with_room).collect(),
        }
    }
}

fn shown(mounted: Mounted) -> Mount {
    Mount {
        target: mounted.target.to_string_lossy().into_owned(),
        read_only: mounted.is_read_only(),
        source: mounted.source,
        file_system: mounted.fstype,
        size_bytes: 0,
        available_bytes: 0,
        options: mounted.options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_shown_as_it_is() {
        let line =
            br"36 35 98:0 / /mnt/a\040b rw,noatime master:1 shared:2 - ext4 /dev/root ro,errors=continue";
        let mount = shown(mount_table::parse(line).remove(0));
        assert_eq!(
            (mount.source.as_str(), mount.target.as_str()),
            ("/dev/root", "/mnt/a b")
        );
        assert_eq!((mount.file_system.as_str(), mount.read_only), ("ext4", true));
        assert_eq!(mount.options, ["rw", "noatime"]);
    }
}
