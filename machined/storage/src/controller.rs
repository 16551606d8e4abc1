//! Keeps STATE and DATA mounted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use layout::Name;
use node::disk::{Devices, Disk};
use owner::Owner;
use state::kinds::{BootStatus, NODE, Volume, VolumeState, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::block::Resize;
use sys::mount::{Mount, MountFlags, Mounter};

use super::content::{Step, decide, look, read_head};
use super::grow::grow;
use super::owner::OwnerFile;
use super::prepare::{Prepared, Tools, prepare};
use super::wipe;

/// How long to wait before a volume that failed is tried again.
const AGAIN: Duration = Duration::from_secs(15);

/// What the controller does things with.
pub struct Means {
    /// Where devices are found.
    pub devices: Devices,
    /// Mounts.
    pub mounter: Box<dyn Mounter>,
    /// Tells the kernel of a larger partition.
    pub kernel: Box<dyn Resize>,
    /// Runs mke2fs and e2fsck.
    pub tools: Box<dyn Tools>,
    /// Tells whether a CONFIG partition holds a config from which a node is to be recreated.
    pub config_in: fn(&Path) -> bool,
    /// Prefix of all mount points: empty but in tests.
    pub root: std::path::PathBuf,
}

/// Mounts DATA and STATE of the disk the loader named; formats them when they are blank. Sole owner of
/// [`VolumeStatus`].
///
/// A machine that no loader started has no disk of its own: memory stands in for both. When a volume fails, memory stands
/// in for it, so that the node can still be reached. For STATE only where the node is known to be somebody's: it is then
/// locked, and takes no orders from strangers. Such a STATE is recreated only for a config that waits in CONFIG.
pub struct Storage {
    means: Means,
}

impl Storage {
    /// Makes the controller.
    pub fn new(means: Means) -> Self {
        Storage { means }
    }

    async fn volume(&self, volume: Volume, disk: Option<&Disk>) -> VolumeStatus {
        let mut status = VolumeStatus {
            target: volume.target().to_owned(),
            device: None,
            size: 0,
            state: VolumeState::Preparing,
        };
        let Some(disk) = disk else {
            status.state = self.stand_in(volume, "no disk was named on the kernel's command line");
            return status;
        };
        status.state = match self.open(volume, disk, &mut status).await {
            Ok(Prepared { formatted, repaired }) => VolumeState::Ready { formatted, repaired },
            Err(error) if volume == Volume::Data => self.stand_in(volume, &error.chain()),
            Err(error) if self.owner(disk) != Owner::Nobody => self.stand_in(volume, &error.chain()),
            Err(error) => VolumeState::Failed { error: error.chain() },
        };
        status
    }

    async fn open(
        &self,
        volume: Volume,
        disk: &Disk,
        status: &mut VolumeStatus,
    ) -> Result<Prepared, ControllerError> {
        let name = volume.partition();
        let found = self.means.devices.partition(disk, name)?;
        let found =
            found.ok_or_else(|| ControllerError::msg(format!("{} has no partition {name}", disk.name)))?;
        status.device = Some(found.device.display().to_string());
        status.size = found.len;
        let written = volume == Volume::State && self.owner(disk) != Owner::Nobody;
        let step = decide(look(&read_head(&found.device)?), written);
        let tools = self.means.tools.as_ref();
        let prepared = match prepare(tools, volume, &found.device, step).await {
            Err(error) if written && self.repair_waits(disk) => {
                tracing::warn!("STATE is recreated, for the config in CONFIG: {}", chain(&error));
                prepare(tools, volume, &found.device, Step::Format).await?
            }
            prepared => prepared?,
        };
        let source = found.device.display().to_string();
        let mount = Mount::new(source, self.target(volume), "ext4").flags(flags(volume));
        self.mount(volume, &mount.options("errors=remount-ro"))?;
        Ok(prepared)
    }

    /// Returns whose the node is; in doubt somebody's.
    fn owner(&self, disk: &Disk) -> Owner {
        let file = OwnerFile::on(&self.means.devices, disk);
        file.map_or(Owner::Unknown, |file| file.owner())
    }

    /// Tells whether a holder of the node, or of its medium, has put a config where the next start takes it from.
    fn repair_waits(&self, disk: &Disk) -> bool {
        let config = self
            .means
            .devices
            .partition(disk, Name::Config.as_str())
            .ok()
            .flatten();
        config.is_some_and(|config| (self.means.config_in)(&config.device))
    }

    fn stand_in(&self, volume: Volume, reason: &str) -> VolumeState {
        let mount = Mount::new("tmpfs", self.target(volume), "tmpfs")
            .flags(flags(volume))
            .options("mode=0755");
        match self.mount(volume, &mount) {
            Ok(()) => VolumeState::Volatile {
                reason: reason.to_owned(),
            },
            Err(error) => VolumeState::Failed {
                error: format!("{reason}; {}", error.chain()),
            },
        }
    }

    fn mount(&self, volume: Volume, mount: &Mount) -> Result<(), ControllerError> {
        self.means.mounter.mount(mount)?;
        for folder in folders(volume) {
            fs::create_dir_all(mount.target.join(folder))?;
        }
        Ok(())
    }

    fn target(&self, volume: Volume) -> std::path::PathBuf {
        self.means.root.join(volume.target().trim_start_matches('/'))
    }

    fn find(&self, guid: &str) -> Result<Disk, ControllerError> {
        let missing = || {
            let seen = self.means.devices.seen();
            ControllerError::msg(format!("disk {guid} is gone; there is {seen}"))
        };
        self.means.devices.find(guid)?.ok_or_else(missing)
    }
}

/// Goes on with a reset that a power cut ended. Until it is done nobody may look at STATE: e2fsck would bring back what
/// was to be forgotten.
fn resume_reset(devices: &Devices, disk: &Disk) -> Result<(), ControllerError> {
    for (name, forgotten) in wipe::resume(devices, disk).unwrap_or_default() {
        forgotten?;
        tracing::info!("{name} is forgotten: a reset that was cut short is gone on with");
    }
    Ok(())
}

/// Devices and set-user-id bits have no business on either. The roots of containers are mounts of their own (overlayfs)
/// and take none of these flags from DATA. Their volumes do, as bind mounts, and programs run from volumes: DATA alone
/// cannot be without programs.
pub(crate) fn flags(volume: Volume) -> MountFlags {
    let both = MountFlags::MS_NODEV | MountFlags::MS_NOSUID | MountFlags::MS_NOATIME;
    match volume {
        Volume::State => both | MountFlags::MS_NOEXEC,
        Volume::Data => both,
    }
}

/// What others expect to be there.
pub(crate) fn folders(volume: Volume) -> &'static [&'static str] {
    match volume {
        Volume::State => &[],
        Volume::Data => &["cache", "lib/bedplate", "log", "tmp"],
    }
}

#[async_trait]
impl Controller for Storage {
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
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let disk = boot.disk.as_deref().map(|guid| self.find(guid)).transpose()?;
        let mounted = |volume: Volume| {
            let status: Option<VolumeStatus> = store.get(volume.partition());
            status.is_some_and(|status| status.state.usable())
        };
        if let Some(disk) = &disk
            && !mounted(Volume::State)
        {
            resume_reset(&self.means.devices, disk)?;
        }
        if let Some(disk) = &disk
            && !mounted(Volume::Data)
        {
            // A DATA that stays small is still a DATA.
            match grow(Path::new(&disk.device), self.means.kernel.as_ref()) {
                Ok(Some(len)) => tracing::info!("DATA has {} now", quantity::human_bytes(len)),
                Ok(None) => {}
                Err(error) => tracing::warn!("{}", chain(&error)),
            }
        }
        for volume in Volume::ALL {
            if !mounted(volume) {
                let status = self.volume(volume, disk.as_ref()).await;
                store.put(self.name(), volume.partition(), status)?;
            }
        }
        let all = Volume::ALL.into_iter().all(mounted);
        Ok(if all {
            Action::WaitForChange
        } else {
            Action::After(AGAIN)
        })
    }
}

#[cfg(test)]
mod tests;
