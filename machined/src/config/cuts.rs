//! The power goes while the first boot moves the config from CONFIG into STATE.
//!
//! What STATE holds is the file system's word: a file that was synced and renamed is the old one or the new one.

use std::fs;
use std::os::unix::fs::FileExt;

use machine_config::medium;
use powercut::{Broken, Image, Options, Recorder, Recording, State, Tally, explore, report};

use super::disk::{ACCEPTED, STAGED, erase};
use super::tests::{config, other, places};
use super::{ConfigDisk, acquire};

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
    let acquired = acquire(disk, "");
    let found = acquired.found.map(|(config, _)| config);
    if found.as_ref() != Some(&config()) || !acquired.problems.is_empty() {
        return Err(Fault(format!("found {found:?} with {:?}", acquired.problems)));
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
    disk.write(ACCEPTED, &config().to_yaml_with_secrets()).unwrap();
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
        for (name, config) in [(ACCEPTED, accepted), (STAGED, staged)] {
            if let Some(config) = config {
                disk.write(name, &config.to_yaml_with_secrets()).unwrap();
            }
        }
        start(&disk, &image).unwrap();
        assert_eq!(disk.read(STAGED).unwrap(), None);
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
