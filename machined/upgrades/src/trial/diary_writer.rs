//! Writes the diary of a system on trial, and decides when.

use std::path::Path;
use std::time::Duration;

use layout::Name;
use node::boot::{Cmdline, Handover, cmdline};
use node::disk::{Devices, Partition};
use node::logs::KernelTail;

use super::diary::{Diary, LOG_MAX, TrialStage};
use super::diary_file::DiaryFile;
use super::record::RecordFile;

/// The shortest interval between writes: every write wears the medium.
const SOONEST: Duration = Duration::from_secs(1);
/// The interval of writes for a growing log, after the start.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// The duration of the start, during which each line may be the last.
const START: Duration = Duration::from_secs(60);

/// Writes the diary.
pub struct DiaryWriter {
    file: DiaryFile,
    log: Box<dyn Log>,
    written: Option<(Duration, Diary)>,
    log_grew: bool,
}

/// The end of a log that grows.
pub trait Log: Send {
    /// Takes what is new, without waiting; returns whether anything was.
    fn refresh(&mut self) -> bool;
    /// Returns the end of the log.
    fn text(&self) -> String;
}

impl Log for KernelTail {
    fn refresh(&mut self) -> bool {
        KernelTail::refresh(self)
    }

    fn text(&self) -> String {
        KernelTail::text(self)
    }
}

impl DiaryWriter {
    /// Writes to this partition, with the kernel's log.
    pub fn new(file: DiaryFile) -> Self {
        DiaryWriter::with(file, Box::new(KernelTail::open(LOG_MAX)))
    }

    /// The same, with another log.
    pub fn with(file: DiaryFile, log: Box<dyn Log>) -> Self {
        DiaryWriter {
            file,
            log,
            written: None,
            log_grew: false,
        }
    }

    /// Writes an entry if it is new and due. An entry with a reason is the last: it is
    /// written at once.
    pub fn note(&mut self, now: Duration, mut diary: Diary) -> std::io::Result<()> {
        self.log_grew |= self.log.refresh();
        let last = self
            .written
            .as_ref()
            .map(|(at, last)| (*at, diary.says_the_same(last)));
        if diary.reason.is_empty() && !is_due(now, last, self.log_grew) {
            return Ok(());
        }
        diary.log = self.log.text();
        diary.uptime_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.file.write(&diary)?;
        self.written = Some((now, diary));
        self.log_grew = false;
        Ok(())
    }
}

/// Decides whether to write, given when the last entry was written and whether it says the same.
fn is_due(now: Duration, last: Option<(Duration, bool)>, log_grew: bool) -> bool {
    let Some((at, same)) = last else { return true };
    let waited = now.saturating_sub(at);
    match (same, log_grew) {
        (false, _) => waited >= SOONEST,
        (true, true) => waited >= if now < START { SOONEST } else { LOG_EVERY },
        (true, false) => false,
    }
}

/// Starts a diary in the initramfs, as soon as the disk is there. Does nothing unless the slot is on trial.
pub fn begin(bootstate: &Partition, line: &Cmdline, boot_id: &str) {
    // Without a diary the trial continues: there will only be less to report.
    let _untold = on_trial(bootstate, line).map(|mut diary| {
        diary.boot_id = boot_id.to_owned();
        DiaryWriter::new(DiaryFile::new(&bootstate.device)).note(sys::clock::since_boot(), diary)
    });
}

/// Records why a system on trial cannot continue, before it restarts. For PID 1 when nothing else works any more: finds the
/// disk itself, and does nothing when there is none, or no trial.
pub fn last_words(reason: &str) {
    let Some((line, bootstate)) = own_bootstate() else {
        return;
    };
    let Some(fresh) = on_trial(&bootstate, &line) else {
        return;
    };
    let file = DiaryFile::new(&bootstate.device);
    let boot_id = boot_id();
    // The stage is already recorded, if this boot has recorded anything.
    let known = file
        .read()
        .ok()
        .flatten()
        .filter(|known| known.boot_id == boot_id);
    let mut diary = known.unwrap_or(Diary { boot_id, ..fresh });
    diary.reason = reason.to_owned();
    let _untold = DiaryWriter::new(file).note(sys::clock::since_boot(), diary);
}

/// Returns the loader's arguments, and BOOTSTATE of the disk in them.
pub(super) fn own_bootstate() -> Option<(Cmdline, Partition)> {
    let line = cmdline::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let devices = Devices {
        start: line.start,
        sequence: Handover::read().disk,
        ..Devices::default()
    };
    let disk = devices.find(line.disk.as_deref()?).ok().flatten()?;
    let bootstate = devices
        .partition(&disk, Name::BootState.as_str())
        .ok()
        .flatten()?;
    Some((line, bootstate))
}

/// Returns the first entry of a system whose slot is on trial.
fn on_trial(bootstate: &Partition, line: &Cmdline) -> Option<Diary> {
    let slot = line.slot?;
    let record = RecordFile::new(&bootstate.device).read().ok()?.record?;
    matches!(record.slot(slot), slots::SlotState::Trial { .. }).then(|| Diary {
        slot,
        manifest: line.manifest.clone().unwrap_or_default(),
        version: String::new(),
        boot_id: String::new(),
        stage: TrialStage::Initramfs,
        uptime_ms: 0,
        checks: Vec::new(),
        reason: String::new(),
        log: String::new(),
    })
}

/// Returns the boot ID; empty if the kernel has none.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    text.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::diary::tests::diary;
    use super::*;

    /// A log that grows on demand.
    struct Growing(std::sync::Arc<std::sync::atomic::AtomicBool>);

    impl Log for Growing {
        fn refresh(&mut self) -> bool {
            self.0.swap(false, std::sync::atomic::Ordering::SeqCst)
        }
        fn text(&self) -> String {
            "[    1.000000] a line\n".into()
        }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn writes_are_few() {
        assert!(is_due(s(3), None, false));
        for (now, at, same, grew, due) in [
            (s(3), s(3), false, false, false),
            (s(4), s(3), false, false, true),
            (s(4), s(3), true, false, false),
            (s(4), s(3), true, true, true),
            (s(100), s(95), true, true, false),
            (s(105), s(95), true, true, true),
            (s(100), s(99), false, true, true),
            (s(1000), s(99), true, false, false),
        ] {
            assert_eq!(
                is_due(now, Some((at, same)), grew),
                due,
                "{now:?} {at:?} {same} {grew}"
            );
        }
    }

    #[test]
    fn an_entry_is_written_when_it_is_new() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let on_disk = DiaryFile::new(file.path());
        let grows = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let mut writer = DiaryWriter::with(on_disk.clone(), Box::new(Growing(grows.clone())));
        let entry = |stage| Diary {
            stage,
            reason: String::new(),
            ..diary()
        };
        let mut after = |now, diary| {
            writer.note(now, diary).unwrap();
            on_disk.read().unwrap().unwrap()
        };
        let first = after(s(10), entry(TrialStage::Root));
        assert_eq!(
            (first.uptime_ms, first.log.as_str()),
            (10_000, "[    1.000000] a line\n")
        );
        assert_eq!(
            after(s(100), entry(TrialStage::Root)).uptime_ms,
            10_000,
            "nothing is new"
        );
        assert_eq!(
            after(s(101), entry(TrialStage::Storage)).stage,
            TrialStage::Storage
        );
        let hasty = entry(TrialStage::Network);
        assert_eq!(
            after(s(101), hasty.clone()).stage,
            TrialStage::Storage,
            "too soon"
        );
        let last = Diary {
            reason: "unhealthy".into(),
            ..hasty
        };
        assert_eq!(
            after(s(101), last).reason,
            "unhealthy",
            "the last entry is never too soon"
        );
        grows.store(true, std::sync::atomic::Ordering::SeqCst);
        let grown = Diary {
            reason: String::new(),
            ..diary()
        };
        assert_eq!(after(s(103), grown).uptime_ms, 103_000);
    }

    #[test]
    fn only_a_trial_has_a_diary() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let record = RecordFile::new(file.path());
        let bootstate = Partition {
            name: "BOOTSTATE".into(),
            number: 2,
            device: file.path().to_owned(),
            start: 0,
            len: 1024 * 1024,
        };
        let line = cmdline::parse(&format!("bedplate.slot=b bedplate.manifest={}", "ab".repeat(32)));
        let initial = slots::Record::initial();
        record.write(&record.read().unwrap(), &initial).unwrap();
        begin(&bootstate, &line, "boot");
        assert_eq!(DiaryFile::new(file.path()).read().unwrap(), None);
        let armed = initial.arm_trial(slots::Slot::B, 2);
        record.write(&record.read().unwrap(), &armed).unwrap();
        begin(&bootstate, &line, "boot");
        let begun = DiaryFile::new(file.path()).read().unwrap().unwrap();
        assert_eq!(
            (begun.boot_id.as_str(), begun.stage),
            ("boot", TrialStage::Initramfs)
        );
        assert_eq!(begun.manifest, "ab".repeat(32));
    }
}
