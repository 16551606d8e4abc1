//! The power fails at every moment of a trial: when files are put on trial, counted, committed and taken away again.
//!
//! After each power cut the board goes on living: its firmware by the model in [`super::board`], the loader by
//! `bootloader-core`, the node by the code under test, each start after the other, until nothing changes any more.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use bootloader_core::firmware_try;
use fat::Volume;
use firmware_files::{FILES, FirmwareFiles, LIST, Listed};
use layout::Extent;
use medium::Medium;
use powercut::{Disk, Image, Options, Recording, State, explore, report};

use super::board::{Board, HANGS};
use super::sample_release::{LOADER, release, settings};
use super::*;
use crate::memory::Memory;
use crate::survey::look;

const MIB: u64 = 1 << 20;
const ESP: Extent = Extent { start: 0, len: MIB };
const BOOTSTATE: Extent = Extent { start: MIB, len: MIB };
/// More starts than any way to the end needs.
const STARTS: usize = 12;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

impl From<SurveyError> for Fault {
    fn from(error: SurveyError) -> Fault {
        Fault(state::chain(&error))
    }
}

/// What the new files are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// The board starts with them, and the node is healthy.
    Good,
    /// The board hangs.
    Hang,
    /// The node is not healthy.
    Sick,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The files that are wanted are the usual ones, and nothing is left of the trial.
    Committed,
    /// The old files are the usual ones, and the node reports that the new ones were taken back.
    TakenBack,
}

/// A node that runs a release, with the files of the one before on its ESP.
struct World {
    _folder: tempfile::TempDir,
    places: Places,
    wanted: Wanted,
    memory: Memory,
    new: New,
    before: Image,
}

impl World {
    /// With `whole`, all files are those of a newer release; else the config has a line more.
    fn new(new: New, whole: bool) -> World {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            esp: "/nowhere".into(),
            bootstate: "/nowhere".into(),
            release: folder.path().to_owned(),
            memory: "/nowhere".into(),
        };
        let hangs: &[&str] = match new {
            New::Hang => &[HANGS],
            New::Good | New::Sick => &[],
        };
        let (version, own, lines): (u8, &[&str], &[&str]) = match whole {
            true => (2, hangs, &[]),
            false => (
                1,
                &[],
                if hangs.is_empty() {
                    &["arm_freq=1800"]
                } else {
                    hangs
                },
            ),
        };
        let files = release(version, own);
        for (path, data) in &files {
            let path = folder.path().join(FILES).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, data).unwrap();
        }
        let listed = |files: &[(String, Vec<u8>)]| -> Vec<Listed> {
            files.iter().map(|(path, data)| Listed::of(path, data)).collect()
        };
        let list = FirmwareFiles {
            loader: LOADER.into(),
            files: listed(&files),
            settings: Some(settings()),
        };
        fs::write(folder.path().join(LIST), list.to_yaml()).unwrap();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let old = release(1, &[]);
        World {
            wanted: Wanted::read(&places, &lines).unwrap(),
            memory: Memory {
                version: "1.0.0".into(),
                files: listed(&old),
            },
            before: image(folder.path(), &old),
            _folder: folder,
            places,
            new,
        }
    }

    fn case(&self, disk: &Disk, started: Started) -> Result<Case, Fault> {
        let found = look(&mut disk.open(ESP), &self.wanted, &self.memory)?;
        let mark = mark_file::read(&mut disk.open(BOOTSTATE))?;
        let asked = Asked::ByItself {
            running: "1.0.0",
            renew: true,
        };
        Ok(Case::new(
            &self.places,
            &self.wanted,
            &found,
            asked,
            Some((Some(started), mark)),
        )?)
    }

    /// Starts the board again and again, and asks nothing of anybody but to cut the power of a board that hangs.
    fn live(&self, disk: &Disk) -> Result<End, Fault> {
        let mut board = Board::default();
        for _ in 0..STARTS {
            let running = match board.start(&contents(disk)?) {
                Ok(running) => running,
                Err(hang) if hang.started == Started::Trial => continue,
                Err(hang) => return Err(Fault(format!("the board does not start: {hang}"))),
            };
            if let Some(counted) = firmware_try(
                mark_file::read(&mut disk.open(BOOTSTATE))?.as_ref(),
                running.started,
            ) {
                mark_file::write(&mut disk.open(BOOTSTATE), Some(&counted))?;
                board.set_flag();
                continue;
            }
            let case = self.case(disk, running.started)?;
            match case.step {
                Step::Running if self.new != New::Good => {}
                Step::Nothing => return self.end(disk),
                Step::TakenBack => return self.taken_back(disk),
                _ => case.carry_out_on(&mut disk.open(ESP), &mut disk.open(BOOTSTATE))?,
            }
        }
        Err(Fault("it does not come to an end".into()))
    }

    fn end(&self, disk: &Disk) -> Result<End, Fault> {
        let files = contents(disk)?;
        if self.new != New::Good {
            return Err(Fault("new files were committed that were no good".into()));
        }
        if let Some(path) = files.keys().find(|path| self.wanted.trial().unwrap().owns(path)) {
            return Err(Fault(format!("{path} was left over")));
        }
        Ok(End::Committed)
    }

    fn taken_back(&self, disk: &Disk) -> Result<End, Fault> {
        let found = look(&mut disk.open(ESP), &self.wanted, &self.memory)?;
        let changed = |(_, difference): &(String, Difference)| *difference != Difference::OtherRelease;
        match found.differences.iter().find(|difference| changed(difference)) {
            Some((path, _)) => Err(Fault(format!("{path} is neither old nor new"))),
            None => Ok(End::TakenBack),
        }
    }

    /// Does what is due, and records it.
    fn record(&self, before: &Image, started: Started, step: Step) -> Recording {
        let disk = Disk::new(before.clone());
        let case = self.case(&disk, started).unwrap();
        assert_eq!(case.step, step);
        case.carry_out_on(&mut disk.open(ESP), &mut disk.open(BOOTSTATE))
            .unwrap();
        disk.finish()
    }

    /// Checks how each state ends, and counts the ends.
    fn prove(&self, recording: &Recording, ends: &[End]) -> Result<BTreeMap<&'static str, usize>, String> {
        // A sector holds what it did or what was written: FAT has no checksum by which a reader could notice noise.
        let options = Options {
            noise: false,
            exhaustive: 6,
            ..Options::from_env().samples(12)
        };
        let mut counts = BTreeMap::new();
        let tally = explore(recording, &options, |state: &State| {
            let end = self.live(&Disk::new(state.image.clone()))?;
            *counts
                .entry(match end {
                    End::Committed => "committed",
                    End::TakenBack => "taken back",
                })
                .or_default() += 1;
            match ends.contains(&end) {
                true => Ok(()),
                false => Err(Fault(format!("it ends with {end:?}"))),
            }
        });
        let tally = tally.map_err(|broken| format!("{broken}: {}", broken.source))?;
        report(&format!("a trial of firmware, {:?}: {counts:?}", self.new), tally);
        Ok(counts)
    }
}

fn image(folder: &std::path::Path, files: &[(String, Vec<u8>)]) -> Image {
    let path = folder.join("esp.img");
    let made = Command::new("/usr/sbin/mkfs.vfat")
        .args(["-F", "32", "-s", "1", "-C", path.to_str().unwrap(), "512"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut image = Image::new(2 * MIB, 0);
    image.write(0, &fs::read(path).unwrap());
    let disk = Disk::new(image);
    let changes: Vec<Changed> = files
        .iter()
        .map(|(path, data)| (path.clone(), Some(data.clone())))
        .collect();
    apply(&mut disk.open(ESP), &changes).unwrap();
    disk.image()
}

fn contents(disk: &Disk) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
    let read = |medium: &mut dyn Medium| {
        let mut volume = Volume::open(medium)?;
        let mut all = BTreeMap::new();
        for file in volume.files()? {
            let mut data = Vec::new();
            volume.read(&file, |piece| data.extend_from_slice(piece))?;
            all.insert(file.path.clone(), data);
        }
        Ok::<_, SurveyError>(all)
    };
    Ok(read(&mut disk.open(ESP))?)
}

/// Puts files on trial, and lets the loader count.
fn prepared(world: &World) -> Image {
    world.record(&world.before, Started::Usual, Step::Prepare).after
}

fn counted(world: &World) -> Recording {
    let disk = Disk::new(prepared(world));
    let mark = mark_file::read(&mut disk.open(BOOTSTATE)).unwrap().unwrap();
    let counted = firmware_try(Some(&mark), Started::Usual).unwrap();
    mark_file::write(&mut disk.open(BOOTSTATE), Some(&counted)).unwrap();
    disk.finish()
}

#[test]
fn without_a_power_cut_good_files_are_kept_and_others_taken_back() {
    for whole in [false, true] {
        for (new, end) in [
            (New::Good, End::Committed),
            (New::Hang, End::TakenBack),
            (New::Sick, End::TakenBack),
        ] {
            let world = World::new(new, whole);
            let disk = Disk::new(world.before.clone());
            assert_eq!(world.live(&disk).unwrap(), end, "{new:?}, whole {whole}");
        }
    }
}

#[test]
fn a_power_cut_while_files_are_put_on_trial_changes_nothing_about_its_end() {
    for whole in [false, true] {
        for (new, end) in [(New::Good, End::Committed), (New::Hang, End::TakenBack)] {
            let world = World::new(new, whole);
            let recording = world.record(&world.before, Started::Usual, Step::Prepare);
            assert!(recording.is_durable());
            world.prove(&recording, &[end]).unwrap();
        }
    }
}

#[test]
fn a_power_cut_at_the_count_or_during_the_trial_costs_the_trial_at_most() {
    for (new, ends) in [
        (New::Good, &[End::Committed, End::TakenBack][..]),
        (New::Hang, &[End::TakenBack]),
    ] {
        let world = World::new(new, true);
        let ends = world.prove(&counted(&world), ends).unwrap();
        assert!(
            ends["taken back"] > 0,
            "once it was counted, it is not tried again: {ends:?}"
        );
    }
}

#[test]
fn a_power_cut_during_the_commit_leaves_a_board_that_starts_and_completes_it() {
    for whole in [false, true] {
        let world = World::new(New::Good, whole);
        let recording = world.record(&counted(&world).after, Started::Trial, Step::Running);
        assert!(recording.is_durable());
        let ends = world
            .prove(&recording, &[End::Committed, End::TakenBack])
            .unwrap();
        assert!(
            ends["committed"] > 10 * ends.get("taken back").copied().unwrap_or(0),
            "{ends:?}"
        );
    }
}

/// What was asked for is withdrawn before the next start.
#[test]
fn a_power_cut_while_a_trial_is_withdrawn_leaves_nothing_of_it() {
    let asking = World::new(New::Good, true);
    let mut world = World::new(New::Good, false);
    world.wanted = Wanted::read(&world.places, &[]).unwrap();
    let recording = world.record(&prepared(&asking), Started::Usual, Step::Clear);
    let ends = world.prove(&recording, &[End::Committed]).unwrap();
    assert!(ends["committed"] > 10, "{ends:?}");
}

/// The proof can fail: it notices when the mark does not wait for the files, and when the count does not come first.
#[test]
fn a_wrong_order_is_caught() {
    let world = World::new(New::Good, true);
    let recording = world.record(&world.before, Started::Usual, Step::Prepare);
    let caught = (0..recording.syncs())
        .filter(|number| {
            world
                .prove(&recording.without_sync(*number), &[End::Committed])
                .is_err()
        })
        .count();
    assert!(
        caught >= 1,
        "no missing flush of {} is noticed",
        recording.syncs()
    );
    // A loader that does not count tries a file that hangs again and again.
    let hanging = World::new(New::Hang, true);
    let mut board = Board::default();
    let disk = Disk::new(prepared(&hanging));
    for _ in 0..3 {
        assert!(board.start(&contents(&disk).unwrap()).is_ok());
        let mark = mark_file::read(&mut disk.open(BOOTSTATE)).unwrap();
        assert!(firmware_try(mark.as_ref(), Started::Usual).is_some());
        board.set_flag();
        assert!(board.start(&contents(&disk).unwrap()).is_err());
    }
}
