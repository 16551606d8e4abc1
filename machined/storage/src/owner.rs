//! The owner record on the BOOTSTATE partition.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use layout::Name;
use medium::{FileMedium, Medium};
use node::disk::{Devices, Disk};
use owner::{AREA, Loaded, OFFSETS, Owner};

/// The partition, or a file of a test. A machine that has none is nobody's.
#[derive(Debug, Clone, Default)]
pub struct OwnerFile {
    device: Option<PathBuf>,
}

impl OwnerFile {
    /// Names the partition; nothing is read yet.
    pub fn new(device: Option<PathBuf>) -> Self {
        OwnerFile { device }
    }

    /// Finds it on a disk. One without BOOTSTATE keeps nothing.
    pub fn on(devices: &Devices, disk: &Disk) -> io::Result<Self> {
        let found = devices.partition(disk, Name::BootState.as_str())?;
        Ok(Self::new(found.map(|partition| partition.device)))
    }

    /// Returns whose the node is. A partition that cannot be read says nothing, so that the node counts as somebody's.
    pub fn owner(&self) -> Owner {
        let Some(device) = &self.device else {
            return Owner::Nobody;
        };
        let read = File::open(device).and_then(FileMedium::new);
        read.map_or(Owner::Unknown, |mut bootstate| read_from(&mut bootstate).owner)
    }

    /// Makes both copies say whose the node is.
    ///
    /// # Errors
    /// When it cannot be written, or reads back differently.
    pub fn set(&self, owner: &Owner) -> io::Result<()> {
        let Some(device) = &self.device else {
            return Ok(());
        };
        let file = File::options().read(true).write(true).open(device)?;
        write_to(&mut FileMedium::new(file)?, owner)
    }
}

/// Reads both copies from a BOOTSTATE partition. One that cannot be read counts as damaged.
fn read_from(bootstate: &mut dyn Medium) -> Loaded {
    let copies = OFFSETS.map(|offset| {
        let mut copy = vec![0; AREA];
        bootstate.read_at(offset, &mut copy).is_ok().then_some(copy)
    });
    owner::load(copies.each_ref().map(Option::as_deref))
}

/// Writes whose the node is to a BOOTSTATE partition: the older copy, a flush, then the other one. What is there already
/// is not written again.
pub fn write_to(bootstate: &mut dyn Medium, owner: &Owner) -> io::Result<()> {
    for _ in OFFSETS {
        let before = read_from(bootstate);
        if before.settled && before.owner == *owner {
            break;
        }
        let (offset, bytes) = before.next(owner);
        bootstate.write_at(offset, &bytes)?;
        bootstate.sync()?;
        bootstate.drop_cache()?;
    }
    let after = read_from(bootstate);
    if after.settled && after.owner == *owner {
        return Ok(());
    }
    Err(io::Error::other(
        "the owner record reads back differently from what was written: the medium fails",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use powercut::{Image, Options, Recorder, Recording, State, Tally, explore, report};

    use super::*;

    const BOOTSTATE: u64 = 1 << 20;

    fn ours() -> Owner {
        Owner::of("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    }

    fn theirs() -> Owner {
        Owner::of(&"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n".repeat(20))
    }

    #[test]
    fn without_a_partition_a_node_is_nobodys() {
        let none = OwnerFile::default();
        none.set(&ours()).unwrap();
        assert_eq!(none.owner(), Owner::Nobody);
        let gone = OwnerFile::new(Some("/nowhere/bootstate".into()));
        assert_eq!(gone.owner(), Owner::Unknown, "in doubt it is somebody's");
        assert!(gone.set(&ours()).is_err());
    }

    #[test]
    fn damage_to_one_copy_brings_no_older_answer_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(BOOTSTATE).unwrap();
        let on_disk = OwnerFile::new(Some(file.path().to_owned()));
        assert_eq!(on_disk.owner(), Owner::Nobody);
        for owner in [ours(), Owner::Nobody, theirs()] {
            on_disk.set(&owner).unwrap();
            assert_eq!(on_disk.owner(), owner);
        }
        for offset in OFFSETS {
            for damage in [&[0; 4096][..], &[0xff; 16]] {
                file.as_file().write_all_at(damage, offset).unwrap();
                assert_eq!(on_disk.owner(), theirs());
                on_disk.set(&theirs()).unwrap();
            }
        }
        for offset in OFFSETS {
            file.as_file().write_all_at(&[0xff; 16], offset).unwrap();
        }
        assert_eq!(on_disk.owner(), Owner::Unknown);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Fault(String);

    /// Writes each of these, one after the other, over a BOOTSTATE that nobody has written to.
    fn written(owners: &[Owner]) -> Recording {
        let mut recorder = Recorder::new(Image::new(BOOTSTATE, 0));
        for owner in owners {
            write_to(&mut recorder, owner).unwrap();
        }
        recorder.finish()
    }

    /// Each state says what was true before the change that was cut or what is true after it, and the change can be made
    /// again. A node that is somebody's is never nobody's in between.
    fn prove(recording: &Recording, owners: &[Owner]) -> Result<Tally, powercut::Broken<Fault>> {
        let mut known = vec![Owner::Nobody];
        known.extend_from_slice(owners);
        explore(recording, &Options::from_env(), |state: &State| {
            let mut medium = Recorder::new(state.image.clone());
            let found = read_from(&mut medium).owner;
            // Two flushes for each change.
            let done = state.syncs / 2;
            let allowed = &known[done..known.len().min(done + 2)];
            if !allowed.contains(&found) {
                return Err(Fault(format!("{found:?} with {} syncs", state.syncs)));
            }
            for owner in [ours(), Owner::Nobody] {
                write_to(&mut medium, &owner).map_err(|error| Fault(error.to_string()))?;
                if read_from(&mut medium).owner != owner {
                    return Err(Fault("a change cannot be made again".to_owned()));
                }
            }
            Ok(())
        })
    }

    #[test]
    fn a_cut_leaves_the_owner_before_or_after() {
        let owners = [ours(), theirs(), Owner::Nobody, ours()];
        let recording = written(&owners);
        assert!(recording.is_durable());
        assert_eq!(recording.syncs(), 8, "two for each change");
        let tally = prove(&recording, &owners).unwrap();
        report("owner record", tally);
        assert!(tally.generated > 1000, "{tally:?}");
    }

    /// The proof can fail: without a flush between them both copies are torn at once.
    #[test]
    fn a_flush_that_is_left_out_is_caught() {
        let owners = [ours(), theirs(), Owner::Nobody];
        let recording = written(&owners);
        for sync in [2, 3, 4] {
            assert!(prove(&recording.without_sync(sync), &owners).is_err(), "{sync}");
        }
    }
}
