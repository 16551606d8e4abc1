//! The power fails at every moment at which files are replaced, added and removed.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::collections::BTreeMap;

use fat::{Change, Volume};
use medium::Medium;
use powercut::{Broken, Image, Options, Recorder, Recording, State, Tally, explore, report};
use support::{Made, bytes, contents};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

type Files = BTreeMap<String, Vec<u8>>;

/// What is replaced: the firmware's pair and the text are in the root, the loader is below.
const OLD: [(&str, usize, u8); 5] = [
    ("config.txt", 90, 1),
    ("fixup.dat", 700, 2),
    ("start.elf", 6000, 3),
    ("cmdline.txt", 10, 4),
    ("EFI/BOOT/BOOTAA64.EFI", 3000, 5),
];

fn old() -> Image {
    let made = Made::new(512, 1);
    for (path, len, number) in OLD {
        made.put_in(path, &bytes(len, number));
    }
    let content = std::fs::read(&made.path).unwrap();
    let mut image = Image::new(content.len() as u64, 0);
    image.write(0, &content);
    image
}

fn new() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("overlays/i2c-sensor.dtbo", bytes(900, 10)),
        ("config.txt", bytes(1200, 11)),
        ("fixup.dat", bytes(701, 12)),
        ("start.elf", bytes(7000, 13)),
        ("EFI/BOOT/BOOTAA64.EFI", bytes(3500, 14)),
    ]
}

fn apply(medium: &mut dyn Medium, files: &[(&'static str, Vec<u8>)]) -> Result<(), fat::Error> {
    let mut changes: Vec<Change<'_>> = files
        .iter()
        .map(|(path, data)| Change::Put { path, data })
        .collect();
    changes.insert(3, Change::Remove { path: "cmdline.txt" });
    Volume::open(medium)?.apply(&changes)
}

fn recorded(image: &Image) -> Recording {
    let mut recorder = Recorder::new(image.clone());
    apply(&mut recorder, &new()).unwrap();
    recorder.finish()
}

/// Each file is old or new, those of one sector together, the loader last; and going on ends with all of them new.
fn check(state: &State, before: &Files, after: &Files) -> Result<(), Fault> {
    let mut medium = Recorder::new(state.image.clone());
    let found = contents(&mut medium).map_err(|error| Fault(error.to_string()))?;
    for path in found.keys().chain(before.keys()).chain(after.keys()) {
        let is = found.get(path);
        if is != before.get(path) && is != after.get(path) {
            return Err(Fault(format!(
                "{path} is neither old nor new: {:?} bytes",
                is.map(Vec::len)
            )));
        }
    }
    let is_new = |path: &str| found.get(path) == after.get(path);
    if is_new("start.elf") != is_new("fixup.dat") {
        return Err(Fault("start.elf and fixup.dat do not belong together".into()));
    }
    let others = [
        "config.txt",
        "start.elf",
        "overlays/i2c-sensor.dtbo",
        "cmdline.txt",
    ];
    if is_new("EFI/BOOT/BOOTAA64.EFI") && !others.into_iter().all(is_new) {
        return Err(Fault("the loader is new before the rest".into()));
    }
    apply(&mut medium, &new()).map_err(|error| Fault(format!("going on fails: {error}")))?;
    let end = contents(&mut medium).map_err(|error| Fault(error.to_string()))?;
    if end != *after {
        return Err(Fault(format!("going on ends with {:?}", end.keys())));
    }
    Ok(())
}

fn prove(recording: &Recording) -> Result<Tally, Broken<Fault>> {
    // A sector holds what it did or what was written: FAT has no checksum by which a reader could notice noise.
    let options = Options {
        noise: false,
        ..Options::from_env().samples(200)
    };
    let read = |image: &Image| contents(&mut Recorder::new(image.clone())).unwrap();
    let (before, after) = (read(&recording.before), read(&recording.after));
    explore(recording, &options, |state| check(state, &before, &after))
}

#[test]
fn each_file_is_old_or_new_whenever_the_power_fails() {
    let recording = recorded(&old());
    assert!(recording.is_durable());
    let tally = prove(&recording).unwrap();
    report("replacing files of an ESP", tally);
    assert!(tally.distinct > 200, "{tally:?}");
}

/// The proof can fail: some flush that is left out is noticed.
#[test]
fn a_missing_flush_is_caught() {
    let recording = recorded(&old());
    let caught = (0..recording.syncs())
        .filter(|number| prove(&recording.without_sync(*number)).is_err())
        .count();
    assert!(
        caught >= 3,
        "only {caught} of {} flushes are noticed",
        recording.syncs()
    );
}

/// The disk is whole for other people's tools after an interrupted run was completed.
#[test]
fn what_an_interrupted_run_left_behind_is_cleared_away() {
    let recording = recorded(&old());
    let (states, _) = powercut::states(
        &recording,
        &Options {
            noise: false,
            ..Options::from_env().samples(1)
        },
    );
    let made = Made::new(512, 1);
    for state in states.iter().step_by(states.len() / 12) {
        let mut medium = Recorder::new(state.image.clone());
        apply(&mut medium, &new()).unwrap();
        let mut content = vec![0; medium.len() as usize];
        medium.read_at(0, &mut content).unwrap();
        std::fs::write(&made.path, content).unwrap();
        made.check();
    }
}
