//! The power goes while the first boot moves the config from CONFIG into STATE.
//!
//! What STATE holds is the file system's word: a file that was synced and renamed is the old one or the new one.

use std::fs;
use std::os::unix::fs::FileExt;

use machine_config::medium;
use owner::Owner;
use powercut::{Broken, Image, Options, Recorder, Recording, State, Tally, explore, report};
use state::testkit::config;
use storage::owner::write_to;

use super::disk::erase;
use super::testing::places;
use super::tests::other;
use super::{ConfigDisk, Found, acquire};

const CONFIG_LEN: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

/// CONFIG with a long config on it, and with remains of a longer one behind it.
fn flashed() -> Image {
    let mut image = Image::new(CONFIG_LEN, 0);
    image.write(20_000, &[b's'; 40_000]);
    let comment = "# a comment of some length that tells nothing\n".repeat(150);
    let yaml = config().to_yaml_with_secrets() + &comment;
    image.write(0, &medium::encode(&yaml).unwrap());
    image
}

fn erased(image: &Image) -> Recording {
    let mut recorder = Recorder::new(image.clone());
    erase(&mut recorder).unwrap();
    recorder.finish()
}

/// Starts a node that has this on CONFIG, and looks what it makes of it.
fn start(disk: &ConfigDisk, image: &Image) -> Result<(), Fault> {
    let bytes = image.bytes(0, CONFIG_LEN as usize);
    let file = fs::File::options()
        .write(true)
        .open(disk.medium.as_ref().unwrap())
        .unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let acquired = acquire(disk);
    let right = matches!(&acquired.found, Found::Config(found, _) if **found == config());
    if !right || !acquired.problems.is_empty() {
        return Err(Fault(format!("{acquired:?}")));
    }
    let left = fs::read(disk.medium.as_ref().unwrap()).unwrap();
    match left.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => Err(Fault(format!("byte {at} of the config is still there"))),
    }
}

fn prove(recording: &Recording) -> Result<Tally, Broken<Fault>> {
    // It is moved before it is wiped: whatever is cut from here on, STATE has it.
    let (_dir, disk) = places();
    disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
    // The head is one sector, which a medium writes whole or not at all.
    let options = Options {
        noise: false,
        ..Options::from_env()
    };
    explore(recording, &options, |state: &State| start(&disk, &state.image))
}

#[test]
fn the_config_is_there_once_and_all_of_it_is_wiped() {
    let image = flashed();
    // Before it is filed, while it is, and when what was staged is to go.
    for (accepted, staged) in [
        (None, None),
        (Some(other()), Some(other())),
        (Some(config()), Some(other())),
    ] {
        let (_dir, disk) = places();
        if let Some(config) = accepted {
            disk.file_accepted(&config.to_yaml_with_secrets()).unwrap();
        }
        if let Some(config) = staged {
            disk.file_staged(&config.to_yaml_with_secrets()).unwrap();
        }
        start(&disk, &image).unwrap();
        assert_eq!(disk.read_staged().unwrap(), None);
    }
    let recording = erased(&image);
    assert!(recording.is_durable());
    let tally = prove(&recording).unwrap();
    report("wiping CONFIG", tally);
    assert!(tally.generated > 1000, "{tally:?}");
}

/// The proof can fail: a wipe in one go leaves secrets behind, or a config that is damaged.
#[test]
fn a_wipe_in_one_go_is_caught() {
    let recording = erased(&flashed());
    assert_eq!(recording.syncs(), 2, "head, rest");
    assert!(prove(&recording.without_sync(0)).is_err());
    assert!(prove(&recording.in_order(&[1, 0])).is_err());
}

/// The power goes while the first config is accepted, by the API or from CONFIG: files first, then whose the node is.
/// `stages` are the steps in which the files change; after each of them the owner record may be in any of the states.
fn accepted(
    stages: &[fn(&ConfigDisk)],
    owned: &Recording,
    filed_first: bool,
) -> Result<Tally, Broken<Fault>> {
    let (_dir, disk) = places();
    let bootstate = disk.medium.as_ref().unwrap().with_file_name("BOOTSTATE");
    let empty = || {
        fs::remove_dir_all(&disk.state).unwrap();
        fs::create_dir(&disk.state).unwrap();
    };
    let check = |image: &Image, done: usize| {
        fs::write(&bootstate, image.bytes(0, BOOTSTATE_LEN as usize)).unwrap();
        empty();
        for stage in &stages[..done] {
            stage(&disk);
        }
        let found = acquire(&disk).found;
        let right = match (&found, done) {
            // Nothing was accepted yet.
            (Found::Nothing, 0) => true,
            (Found::Config(found, _), 1..) => **found == config(),
            _ => false,
        };
        let owner = disk.owner.owner();
        let settled = (found == Found::Nothing) == (owner == Owner::Nobody);
        if right && settled {
            return Ok(());
        }
        Err(Fault(format!("{found:?} with {owner:?} after {done} steps")))
    };
    let done = if filed_first { stages.len() } else { 0 };
    for done in 0..done {
        check(&owned.before, done).map_err(|source| Broken {
            how: powercut::How::After(0),
            syncs: 0,
            seed: 0,
            source,
        })?;
    }
    explore(owned, &Options::from_env(), |state: &State| {
        check(&state.image, done)
    })
}

const BOOTSTATE_LEN: u64 = 1 << 20;

fn first_file(disk: &ConfigDisk) {
    disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
    fs::remove_file(disk.state.join(super::disk::SECOND)).unwrap();
}

fn both_files(disk: &ConfigDisk) {
    disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
}

#[test]
fn a_first_config_is_accepted_or_never_came_and_locks_nobody_out() {
    let mut bootstate = Recorder::new(Image::new(BOOTSTATE_LEN, 0));
    let owner = Owner::of(&config().machine.ca.cert.to_string());
    write_to(&mut bootstate, &owner).unwrap();
    let owned = bootstate.finish();
    let stages: [fn(&ConfigDisk); 2] = [first_file, both_files];
    let tally = accepted(&stages, &owned, true).unwrap();
    report("accepting the first config", tally);
    assert!(tally.generated > 100, "{tally:?}");
    // The proof can fail: a node that is somebody's before its config is filed is locked when it is cut off between.
    assert!(accepted(&stages, &owned, false).is_err());
}
