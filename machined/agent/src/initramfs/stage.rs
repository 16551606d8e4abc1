//! Does what the initramfs is for, step by step.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use layout::Name;
use node::boot::{Cmdline, Handover, cmdline, mounts};
use node::disk::{Devices, FindError, Partition};
use node::logs::uptime_ms;
use node::modules;
use node::modules::{Index, coldplug};
use quantity::human_time;
use release_file::Release;
use state::chain;
use sys::clock::since_boot;
use sys::device_mapper::LinuxDeviceMapper;
use sys::modules::{LinuxModules, ModuleLoader};
use sys::mount::LinuxMounts;
use upgrades::trial;

use super::root::{self, NEW_ROOT, PROGRAM};
use super::watchdog::EarlyWatchdog;
use super::{SlotError, plan};

/// How long a disk may take to appear. Cards and USB bridges take seconds; what takes longer will not come.
const DISK_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often devices that appeared late are given their modules.
const COLDPLUG_EVERY: Duration = Duration::from_millis(500);

/// Says which step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    System(#[from] sys::Error),
    #[error(transparent)]
    Release(#[from] release_file::Error),
    #[error("the kernel's command line has no {0}: was the machine started without the Bedplate loader?")]
    NotFromLoader(&'static str),
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error(
        "{partition} of disk {guid} did not appear in {}; there is {seen}{failures}",
        human_time(DISK_WAIT)
    )]
    NoSlot {
        partition: &'static str,
        guid: String,
        seen: String,
        failures: String,
    },
    #[error(transparent)]
    Disk(#[from] FindError),
    #[error("{0}, and until then the loader is asked which of them it starts from")]
    Asked(FindError),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Root(#[from] root::Error),
}

/// Opens the root and becomes its machined. Returns only when that fails, with the reason in one line.
pub fn run() -> Result<Infallible, String> {
    let mut handover = Handover::default();
    handover.stamps.insert("initramfs".to_owned(), uptime_ms());
    open_root(&mut handover).map_err(|error| {
        let reason = chain(&error);
        if matches!(&error, Error::Root(error) if error.is_damage()) {
            trial::abandon_damaged(&reason);
        }
        reason
    })
}

fn open_root(handover: &mut Handover) -> Result<Infallible, Error> {
    mounts::mount_all(&LinuxMounts, mounts::EARLY)?;
    let line = fs::read_to_string("/proc/cmdline").map_err(|source| Error::Read {
        path: "/proc/cmdline".to_owned(),
        source,
    })?;
    let told = cmdline::parse(&line);
    let wanted = Wanted::from(told.clone())?;
    let release = release_file::load(Path::new(release_file::EARLY_PATH))?;
    // Modules ask for further ones in their own time, such as the hash behind dm-verity. Without an answer they tell.
    let _asks_nobody = fs::write(modules::helper::SYSCTL, "/init");
    let mut modules = EarlyModules::new(&release);
    let mut watchdog = EarlyWatchdog::default();
    modules.load_named(&release, &LinuxModules, || watchdog.start());
    handover.stamps.insert("modules".to_owned(), uptime_ms());
    let Found {
        slot,
        bootstate,
        sequence,
    } = wait_for_slot(&wanted, &mut modules)?;
    handover.disk = sequence;
    handover.stamps.insert("disk".to_owned(), uptime_ms());
    if let Some(bootstate) = bootstate {
        trial::begin(&bootstate, &told, &trial::boot_id());
    }
    handover.warnings = modules.failures;

    let plan = plan(&slot.device, &wanted.manifest)?;
    fs::create_dir_all(NEW_ROOT).map_err(|source| Error::Read {
        path: NEW_ROOT.to_owned(),
        source,
    })?;
    root::mount(&plan, &LinuxDeviceMapper, &LinuxMounts)?;
    root::prove(Path::new(NEW_ROOT))?;
    handover.stamps.insert("root".to_owned(), uptime_ms());
    // Its driver may belong to a device that appeared late.
    watchdog.start();
    handover.watchdog = watchdog.leave(&mut handover.warnings);
    handover.leave();
    sys::root::switch(Path::new(NEW_ROOT), &["/dev", "/proc", "/sys", "/run"])?;
    Ok(sys::root::become_program(Path::new(PROGRAM), &[])?)
}

/// What the loader must have passed.
struct Wanted {
    slot: slots::Slot,
    manifest: String,
    disk: String,
    start: Option<u64>,
}

impl Wanted {
    fn from(line: Cmdline) -> Result<Self, Error> {
        Ok(Wanted {
            slot: line.slot.ok_or(Error::NotFromLoader("bedplate.slot"))?,
            manifest: line.manifest.ok_or(Error::NotFromLoader("bedplate.manifest"))?,
            disk: line.disk.ok_or(Error::NotFromLoader("bedplate.disk"))?,
            start: line.start,
        })
    }
}

/// The modules of the initramfs, and which of them would not load.
struct EarlyModules {
    folder: PathBuf,
    index: Index,
    failures: Vec<String>,
}

impl EarlyModules {
    fn new(release: &Release) -> Self {
        let folder = Path::new("/lib/modules").join(&release.kernel);
        let (index, failures) = match Index::load(&folder) {
            Ok(index) => (index, Vec::new()),
            Err(error) => (
                Index::default(),
                vec![format!("no modules: {}: {error}", folder.display())],
            ),
        };
        EarlyModules {
            folder,
            index,
            failures,
        }
    }

    /// A module that fails may be one that this machine has no use for: what counts is whether the disk appears.
    fn load_named(&mut self, release: &Release, loader: &dyn ModuleLoader, mut after_each: impl FnMut()) {
        for name in &release.modules {
            if let Err(error) = modules::load(&self.index, &self.folder, loader, name) {
                self.failures.push(chain(&error));
            }
            after_each();
        }
    }

    fn coldplug(&mut self) {
        for error in coldplug(
            &self.index,
            &self.folder,
            &LinuxModules,
            Path::new("/sys/devices"),
        ) {
            let line = chain(&error);
            if !self.failures.contains(&line) {
                self.failures.push(line);
            }
        }
    }
}

/// The partitions that stage 1 needs.
struct Found {
    slot: Partition,
    bootstate: Option<Partition>,
    sequence: Option<u64>,
}

fn wait_for_slot(wanted: &Wanted, modules: &mut EarlyModules) -> Result<Found, Error> {
    let (guid, name) = (&wanted.disk, wanted.slot.partition());
    let devices = Devices {
        start: wanted.start,
        ..Devices::default()
    };
    let started = since_boot();
    let mut next_coldplug = Duration::ZERO;
    let mut copies = None;
    while since_boot().saturating_sub(started) < DISK_WAIT {
        // The kernel shows a disk a moment before its partitions: both are waited for. A copy may be taken out meanwhile.
        match devices.find(guid) {
            Ok(Some(disk)) => {
                copies = None;
                if let Ok(Some(slot)) = devices.partition(&disk, name) {
                    return Ok(Found {
                        slot,
                        bootstate: devices.partition(&disk, Name::BootState.as_str()).ok().flatten(),
                        sequence: devices.sequence_of(&disk),
                    });
                }
            }
            Ok(None) => copies = None,
            Err(error) => {
                // Partitions that are not shown yet cannot be written: the next round tries again.
                if devices.ask_for_mark(guid).unwrap_or(false) {
                    return Err(Error::Asked(error));
                }
                copies = Some(error);
            }
        }
        if since_boot() >= next_coldplug {
            modules.coldplug();
            next_coldplug = since_boot() + COLDPLUG_EVERY;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if let Some(copies) = copies {
        return Err(copies.into());
    }
    let failures = modules
        .failures
        .iter()
        .map(|failure| format!("; {failure}"))
        .collect();
    let (guid, partition) = (guid.clone(), name);
    Err(Error::NoSlot {
        partition,
        guid,
        seen: devices.seen(),
        failures,
    })
}

#[cfg(test)]
mod tests {
    use sys::modules::RecordingModules;

    use super::*;

    #[test]
    fn without_the_loaders_word_nothing_is_opened() {
        let error = Wanted::from(cmdline::parse("bedplate.slot=a")).err().unwrap();
        assert!(error.to_string().contains("bedplate.manifest"), "{error}");
    }

    #[test]
    fn a_module_this_machine_has_no_use_for_is_a_remark() {
        let index = Index::parse("virtio_blk.ko:\n", "", "", "");
        let mut early = EarlyModules {
            folder: "/m".into(),
            index,
            failures: Vec::new(),
        };
        let release = Release {
            modules: vec!["sha2_ce".into(), "virtio_blk".into()],
            ..Release::default()
        };
        let loader = RecordingModules::default();
        early.load_named(&release, &loader, || {});
        assert_eq!(loader.loaded.lock().unwrap().len(), 1);
        assert!(early.failures[0].contains("sha2_ce"), "{:?}", early.failures);
    }
}
