//! STATE and DATA of a container: volumes that its engine mounted.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use state::kinds::{Volume, VolumeState, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::mount::{Mount, MountFlags, Mounter};
use sys::mount_table::{self, Mounted};

use super::controller::{flags, folders};

/// Takes the volumes that the engine of a container mounted for DATA and STATE. Sole owner of [`VolumeStatus`] in a
/// container.
///
/// Memory stands in for a DATA that is not mounted. A STATE that is not mounted is a folder of DATA.
pub struct MountedVolumes {
    mounter: Arc<dyn Mounter>,
    /// Prefix of all mount points: `/` but in tests.
    root: PathBuf,
}

impl MountedVolumes {
    /// Makes the controller for volumes below `root`.
    pub fn new(mounter: Arc<dyn Mounter>, root: PathBuf) -> Self {
        MountedVolumes { mounter, root }
    }

    fn take(&self, volume: Volume, mounted: &[Mounted]) -> Result<VolumeStatus, ControllerError> {
        let target = self.root.join(volume.target().trim_start_matches('/'));
        let above = mounted.iter().filter(|mount| target.starts_with(&mount.target));
        let found = above.max_by_key(|mount| mount.target.components().count());
        let own = found.filter(|mount| mount.target.starts_with(&self.root) && mount.target != self.root);
        let state = match own {
            Some(mount) if mount.fstype == "tmpfs" => VolumeState::Volatile {
                reason: format!("the container has memory mounted on {}", mount.target.display()),
            },
            Some(_) => VolumeState::Ready {
                formatted: false,
                repaired: false,
            },
            None => {
                let mount = Mount::new("tmpfs", &target, "tmpfs")
                    .flags(flags(volume))
                    .options("mode=0755");
                self.mounter.mount(&mount)?;
                VolumeState::Volatile {
                    reason: format!("the container has no volume mounted on {}", volume.target()),
                }
            }
        };
        // What others mount below a volume, containers see, and the other way round.
        let shared = Mount::new("none", &target, "").flags(MountFlags::MS_SHARED | MountFlags::MS_REC);
        if matches!(own, Some(mount) if mount.target == target) {
            self.mounter.mount(&shared)?;
        }
        fs::create_dir_all(&target)?;
        for folder in folders(volume) {
            fs::create_dir_all(target.join(folder))?;
        }
        Ok(VolumeStatus {
            target: volume.target().to_owned(),
            device: own.map(|mount| mount.source.clone()),
            size: sys::filesystem::room(&target).map_or(0, |room| room.total),
            state,
        })
    }
}

#[async_trait]
impl Controller for MountedVolumes {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[VolumeStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        for volume in Volume::ALL {
            let known = store.get::<VolumeStatus>(volume.partition());
            if known.is_none_or(|status| !status.state.usable()) {
                // Read again for each: STATE may lie on what was just mounted for DATA.
                let status = self.take(volume, &mount_table::load()?)?;
                store.put(self.name(), volume.partition(), status)?;
            }
        }
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests {
    use sys::mount::RecordingMounts;

    use super::*;

    fn take(mounted: &[u8], volume: Volume) -> (VolumeState, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let prefix = root.path().display().to_string();
        let table = String::from_utf8(mounted.to_vec())
            .unwrap()
            .replace("ROOT", &prefix);
        let recording = Arc::new(RecordingMounts::default());
        let volumes = MountedVolumes::new(recording.clone(), root.path().to_owned());
        let status = volumes
            .take(volume, &mount_table::parse(table.as_bytes()))
            .unwrap();
        assert_eq!(status.target, volume.target());
        let calls = recording.calls.lock().unwrap();
        let calls = calls.iter().map(|call| format!("{call:?}")).collect();
        (status.state, calls)
    }

    #[test]
    fn what_the_engine_mounted_is_taken() {
        let mounted = b"1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 /v ROOT/var rw - ext4 /dev/vda rw\n";
        for volume in Volume::ALL {
            let (state, calls) = take(mounted, volume);
            assert!(
                matches!(state, VolumeState::Ready { .. }),
                "{volume:?}: {state:?}"
            );
            assert!(calls.iter().all(|call| !call.contains("tmpfs")), "{calls:?}");
        }
    }

    #[test]
    fn memory_stands_in_for_what_it_did_not_mount_and_is_told() {
        let (state, calls) = take(b"1 0 0:1 / / rw - overlay overlay rw\n", Volume::Data);
        let VolumeState::Volatile { reason } = state else {
            panic!("{state:?}")
        };
        assert_eq!(reason, "the container has no volume mounted on /var");
        assert!(calls[0].contains("tmpfs"), "{calls:?}");
        let memory = b"1 0 0:1 / / rw - overlay overlay rw\n2 1 0:9 / ROOT/var rw - tmpfs tmpfs rw\n";
        assert!(matches!(
            take(memory, Volume::State).0,
            VolumeState::Volatile { .. }
        ));
    }
}
