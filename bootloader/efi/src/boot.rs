//! From the first instruction to the kernel.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bootloader_core::{Attempt, Boot, KernelArguments, Step, Timings};
use firmware_trial::Started;
use layout::Name;
use manifest::{Part, VerifiedManifest};
use slots::{Reason, Record, Slot};
use uefi::Status;

use crate::clock::since_power_on;
use crate::console::{Chain, say};
use crate::devicetree::Installed;
use crate::disk::{self, Disk, Own};
use crate::gpt::{Partition, Table};
use crate::initrd::Offer;
use crate::kernel::Kernel;
use crate::menu::{self, Choice};
use crate::record_store::{RecordStore, StoreError};
use crate::slot::{Fault, VerifiedPart, read_manifest, read_part};
use crate::{clock, devicetree, firmware, key_chain, keyring, machine, start_mark, watchdog};

/// Boots, and resets the machine when there is nothing that can be booted.
pub fn run() -> Status {
    clock::start();
    let entered = since_power_on();
    watchdog::arm();
    say!("loader {}, m for the menu", env!("CARGO_PKG_VERSION"));
    match disk::own() {
        Ok(own) => Loader::new(own, entered).boot(),
        Err(error) => say!("cannot find the disk that this loader came from: {error}"),
    }
    machine::restart_later()
}

/// The disk, and the clock.
struct Loader {
    disk: Disk,
    table: Table,
    start: Option<u64>,
    firmware: Option<Started>,
    store: Option<RecordStore>,
    manifests: [Result<VerifiedManifest, Fault>; 2],
    entered: Duration,
    verifying: Duration,
}

impl Loader {
    fn new(mut own: Own, entered: Duration) -> Loader {
        if !own.twins.is_empty() {
            say!("another disk is a copy of this one, with the same GUID: it is left alone");
        }
        // First of all: if the firmware is to try other files, this start ends here.
        let firmware = firmware::consider(&mut own);
        // The kernel would see two identical disks, and stop.
        let start = start_mark::write(&mut own).unwrap_or_else(|error| {
            say!("cannot mark this disk: {error}");
            None
        });
        let Own { mut disk, table, .. } = own;
        let keys = keyring::load().unwrap_or_else(|error| {
            say!("{error}");
            Vec::new()
        });
        if keys.is_empty() {
            say!("this loader carries no keys: no slot can be trusted");
        }
        let before = since_power_on();
        let keys = match table.named(Name::BootState.as_str()) {
            Some(partition) => key_chain::follow(&keys, &mut disk, partition),
            None => keys,
        };
        let manifests = Slot::ALL.map(|slot| {
            let partition = table.named(slot.partition()).ok_or(Fault::Missing)?;
            read_manifest(&mut disk, partition, &keys)
        });
        let verifying = since_power_on() - before;
        let store = table
            .named(Name::BootState.as_str())
            .map(|partition| RecordStore::load(&mut disk, partition.clone()));
        Loader {
            disk,
            table,
            start,
            firmware,
            store,
            manifests,
            entered,
            verifying,
        }
    }

    /// Executes the steps of the decision. Returns only when nothing is left to start.
    fn boot(mut self) {
        let loaded = self
            .store
            .as_ref()
            .map_or(slots::load(&[], &[]), |store| *store.loaded());
        if loaded.record.is_none() {
            say!("slot record is lost: going by what the slots hold");
        }
        let findings = self.manifests.each_ref().map(|found| match found {
            Ok(manifest) => Ok(manifest.version),
            Err(fault) => Err(fault.reason()),
        });
        let mut boot = Boot::new(&loaded, findings);
        match menu::offer(|| self.list(boot.record())) {
            Choice::GoOn => {}
            Choice::Start(slot) => boot.choose(slot),
            Choice::Restart => machine::restart(),
        }
        // The menu may have taken a while.
        watchdog::feed();
        loop {
            match boot.step() {
                Step::Refuse { slot, reason } => self.refuse(slot, reason, None),
                Step::Try(attempt) => {
                    let fault = self.attempt(&mut boot, &attempt);
                    self.refuse(attempt.slot, fault.reason(), Some(&fault));
                    boot.failed(attempt.slot, fault.reason());
                }
                Step::Exhausted(restored) => {
                    if let Some(record) = restored {
                        self.store(&mut boot, record);
                    }
                    say!("no slot can be started");
                    return;
                }
            }
        }
    }

    /// Reports that a slot is not started, and why. Details, if there are any, are on a separate line.
    fn refuse(&self, slot: Slot, reason: Reason, fault: Option<&Fault>) {
        say!("slot {slot} refused: {reason}");
        let fault = fault.or(self.manifests[slot.index()].as_ref().err());
        // A slot may be skipped for its state in the record, whatever else is wrong with it.
        if let Some(fault) = fault.filter(|fault| fault.reason() == reason && fault.is_telling()) {
            say!("slot {slot}: {}", Chain(fault));
        }
    }

    fn list(&self, record: &Record) {
        for slot in Slot::ALL {
            let preferred = if slot == record.preferred {
                ", preferred"
            } else {
                ""
            };
            match &self.manifests[slot.index()] {
                Ok(manifest) => say!(
                    "slot {slot}: {}, {}{preferred}",
                    manifest.version,
                    record.slot(slot)
                ),
                Err(fault) => say!(
                    "slot {slot}: {}; {}{preferred}",
                    record.slot(slot),
                    fault.reason()
                ),
            }
        }
    }

    /// Loads and starts one slot. Returns what went wrong.
    fn attempt(&mut self, boot: &mut Boot, attempt: &Attempt) -> Fault {
        if let Some(record) = attempt.before_load
            && !self.store(boot, record)
        {
            return Fault::Uncounted;
        }
        let partition = self.table.named(attempt.slot.partition()).cloned();
        let (Ok(manifest), Some(partition)) = (&self.manifests[attempt.slot.index()], partition) else {
            return Fault::Missing;
        };
        let manifest = manifest.clone();
        let prepared = match self.prepare(&partition, &manifest) {
            Ok(prepared) => prepared,
            Err(fault) => return fault,
        };
        if let Some(record) = attempt.before_start {
            // The slot is verified and committed, or counted already: a running node is more important than an exact record.
            self.store(boot, record);
        }
        let arguments = self.arguments(boot, attempt, &manifest);
        say!(
            "starting slot {} {} ({})",
            attempt.slot,
            attempt.version,
            attempt.cause
        );
        watchdog::feed();
        Fault::Start(
            prepared
                .kernel
                .start(&format!("{} {arguments}", manifest.cmdline)),
        )
    }

    /// Reads, checks and places everything that the kernel needs.
    fn prepare(&mut self, partition: &Partition, manifest: &VerifiedManifest) -> Result<Prepared, Fault> {
        let kernel = self.read(partition, manifest.kernel())?;
        // The firmware copies the kernel to where it will run: our copy is freed before the initramfs is read.
        let kernel = Kernel::load(&kernel).map_err(|error| Fault::Load(error.status()))?;
        let initramfs = self.read(partition, manifest.initramfs())?;
        let initramfs = Offer::new(initramfs).map_err(|error| Fault::HandOver(error.status()))?;
        let tree = match devicetree::choose(manifest) {
            Some(part) => {
                let tree = self.read(partition, part)?;
                Some(Installed::new(&tree).map_err(|error| Fault::HandOver(error.status()))?)
            }
            None => None,
        };
        Ok(Prepared {
            kernel,
            _initramfs: initramfs,
            _tree: tree,
        })
    }

    fn read(&mut self, partition: &Partition, part: &Part) -> Result<VerifiedPart, Fault> {
        let before = since_power_on();
        let read = read_part(&mut self.disk, partition, part);
        self.verifying += since_power_on() - before;
        read
    }

    /// Returns the kernel arguments for this boot.
    fn arguments(&self, boot: &Boot, attempt: &Attempt, manifest: &VerifiedManifest) -> String {
        let failed: Vec<_> = boot.failures().collect();
        let millis = |duration: Duration| duration.as_millis() as u64;
        let timings = Timings {
            total: millis(since_power_on() - self.entered),
            verify: millis(self.verifying),
            firmware: millis(self.entered),
        };
        let arguments = KernelArguments {
            slot: attempt.slot,
            manifest: manifest.id(),
            disk: self.table.disk,
            start: self.start,
            cause: attempt.cause,
            firmware: self.firmware,
            failed: &failed,
            timings,
        };
        arguments.to_string()
    }

    /// Writes the record; reports if it cannot be written.
    fn store(&mut self, boot: &mut Boot, record: Record) -> bool {
        let stored = match &mut self.store {
            Some(store) => store.store(&mut self.disk, record),
            None => Err(StoreError::Missing),
        };
        match stored {
            Ok(()) => boot.stored(record),
            Err(ref error) => say!("{}", Chain(error)),
        }
        stored.is_ok()
    }
}

/// A kernel in memory, with what it will request. Dropping it restores the former state.
struct Prepared {
    kernel: Kernel,
    _initramfs: Offer,
    _tree: Option<Installed>,
}
