//! A reset forgets all that it should, and nothing else; cut short anywhere, it was never begun or is finished.

use layout::Extent as Place;
use powercut::{Broken, Image, Options, Random, Recording, State, Tally, explore, report};

use super::*;
use crate::content::{Content, look};

const PLACES: [(&str, Place); 5] = [
    ("CONFIG", place(0, 128 * 1024)),
    ("STATE", place(128 * 1024, 256 * 1024)),
    ("DATA", place(384 * 1024, HEAD + 64 * 1024)),
    ("SLOT-A", place(384 * 1024 + HEAD + 64 * 1024, 64 * 1024)),
    ("BOOTSTATE", place(512 * 1024 + HEAD, 1024 * 1024)),
];

const fn place(start: u64, len: u64) -> Place {
    Place { start, len }
}

fn find(name: &str) -> Option<Place> {
    let found = PLACES.iter().find(|(known, _)| *known == name);
    found.map(|(_, place)| *place)
}

/// A disk on which everything holds something, and STATE and DATA file systems.
fn used() -> Image {
    let mut random = Random::new(7);
    let mut disk = Image::new(PLACES[4].1.end(), 0);
    for (name, Place { start, len }) in PLACES {
        if name == "BOOTSTATE" {
            continue;
        }
        for at in (1024..len).step_by(40_960) {
            disk.write(start + at, &random.bytes(3000));
        }
        if ["STATE", "DATA"].contains(&name) {
            disk.write(start + 1024 + 56, &[0x53, 0xef]);
        }
    }
    let disk = powercut::Disk::new(disk);
    write_to(&mut disk.open(find("BOOTSTATE").unwrap()), &owner()).unwrap();
    disk.image()
}

/// Several sectors long, so that it can be torn.
fn owner() -> Owner {
    Owner::of(&"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".repeat(200))
}

fn owner_on(disk: &Image) -> Owner {
    let copies =
        owner::OFFSETS.map(|offset| disk.bytes(find("BOOTSTATE").unwrap().start + offset, owner::AREA));
    owner::load(copies.each_ref().map(|copy| Some(&copy[..]))).owner
}

/// What a disk holds, but for how often its owner was written.
fn content(disk: &Image) -> (u128, Owner) {
    let mut bare = disk.clone();
    let place = find("BOOTSTATE").unwrap();
    bare.write(place.start, &vec![0; place.len as usize]);
    (bare.digest(), owner_on(disk))
}

fn run(disk: &Image, scope: ResetScope) -> Recording {
    let disk = powercut::Disk::new(disk.clone());
    let told = forget(scope, &mut |name| {
        Ok(find(name).map(|place| Box::new(disk.open(place)) as Box<dyn Medium>))
    });
    assert!(told.iter().all(|(_, done)| done.is_ok()), "{told:?}");
    disk.finish()
}

fn bytes(disk: &Image, name: &str) -> Vec<u8> {
    let place = find(name).unwrap();
    disk.bytes(place.start, place.len as usize)
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(&'static str);

fn check(state: &State, recording: &Recording, scope: ResetScope) -> Result<(), Fault> {
    let disk = powercut::Disk::new(state.image.clone());
    let holds = |holds: bool, what| if holds { Ok(()) } else { Err(Fault(what)) };
    if owner_on(&state.image) != owner() {
        let left = ["CONFIG", "STATE"].map(|name| bytes(&state.image, name));
        // The mark of the reset itself is no secret.
        let blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        holds(
            owner_on(&state.image) == Owner::Nobody && blank(&left[0]) && blank(&left[1][SECTOR as usize..]),
            "it is nobody's before all is forgotten",
        )?;
    }
    match begun(&mut disk.open(find("STATE").unwrap())).unwrap() {
        Some(found) => {
            holds(found == scope, "another reset is gone on with")?;
            let after = run(&state.image, found);
            holds(after.is_durable(), "something waits in a cache")?;
            holds(
                content(&after.after) == content(&recording.after),
                "something is not forgotten",
            )
        }
        None => {
            let (before, after) = (content(&recording.before), content(&recording.after));
            holds(
                [before, after].contains(&content(&state.image)),
                "half a reset that nobody goes on with",
            )
        }
    }
}

fn prove(recording: &Recording, scope: ResetScope) -> Result<Tally, Broken<Fault>> {
    // The mark has no second copy: it is there or not.
    let options = Options {
        noise: false,
        ..Options::from_env().samples(50)
    };
    explore(recording, &options, |state| check(state, recording, scope))
}

#[test]
fn a_reset_that_is_cut_short_is_finished_or_never_began() {
    for (scope, name) in [
        (ResetScope::State, "of STATE"),
        (ResetScope::Data, "of DATA"),
        (ResetScope::All, "of all"),
    ] {
        let recording = run(&used(), scope);
        let tally = prove(&recording, scope).unwrap();
        report(&format!("reset {name}"), tally);
        assert!(tally.generated > 1000, "{scope:?}: {tally:?}");
    }
}

/// The proof can fail.
#[test]
fn a_reset_in_another_order_is_caught() {
    let recording = run(&used(), ResetScope::All);
    assert_eq!(
        recording.syncs(),
        7,
        "mark, CONFIG, DATA, STATE, owner twice, mark"
    );
    for order in [
        [1, 0, 2, 3, 4, 5, 6],
        [0, 1, 2, 4, 3, 5, 6],
        [0, 4, 5, 1, 2, 3, 6],
        [0, 1, 2, 3, 6, 4, 5],
    ] {
        assert!(
            prove(&recording.in_order(&order), ResetScope::All).is_err(),
            "{order:?}"
        );
    }
    // Once one copy is nobody's, the other one is torn without harm.
    for sync in 0..5 {
        assert!(
            prove(&recording.without_sync(sync), ResetScope::All).is_err(),
            "{sync}"
        );
    }
    let recording = run(&used(), ResetScope::Data);
    assert_eq!(recording.syncs(), 3, "mark, DATA, mark");
    for order in [[1, 0, 2], [0, 2, 1]] {
        assert!(
            prove(&recording.in_order(&order), ResetScope::Data).is_err(),
            "{order:?}"
        );
    }
    for sync in 0..2 {
        assert!(
            prove(&recording.without_sync(sync), ResetScope::Data).is_err(),
            "{sync}"
        );
    }
}

/// What a hopeless DATA is repaired by: the next start finds it blank, and STATE and CONFIG as they were.
#[test]
fn a_reset_of_data_keeps_who_the_node_is() {
    let mut before = used();
    let data = find("DATA").unwrap();
    before.write(data.start, &Random::new(9).bytes(HEAD as usize + 40_000));
    let after = run(&before, ResetScope::Data).after;
    for name in ["CONFIG", "STATE", "BOOTSTATE", "SLOT-A"] {
        assert_eq!(bytes(&after, name), bytes(&before, name), "{name}");
    }
    assert_eq!(owner_on(&after), owner());
    assert_eq!(look(&bytes(&before, "DATA")[..4096]), Content::Unknown);
    assert_eq!(look(&bytes(&after, "DATA")[..4096]), Content::Blank);
}

#[test]
fn what_is_forgotten_is_zero_and_the_rest_is_left() {
    let before = used();
    for scope in [ResetScope::State, ResetScope::All] {
        let after = run(&before, scope).after;
        for name in ["CONFIG", "STATE"] {
            assert!(bytes(&after, name).iter().all(|byte| *byte == 0), "{name}");
        }
        assert_eq!(look(&bytes(&after, "STATE")[..4096]), Content::Blank);
        let (was, data) = (bytes(&before, "DATA"), bytes(&after, "DATA"));
        let forgotten = if scope == ResetScope::All {
            HEAD as usize
        } else {
            0
        };
        assert!(data[..forgotten].iter().all(|byte| *byte == 0));
        assert_eq!(data[forgotten..], was[forgotten..]);
        assert_eq!(bytes(&after, "SLOT-A"), bytes(&before, "SLOT-A"));
        assert_eq!((owner_on(&before), owner_on(&after)), (owner(), Owner::Nobody));
    }
}

#[test]
fn what_cannot_be_forgotten_is_told_and_tried_again() {
    let disk = powercut::Disk::new(used());
    let told = forget(ResetScope::All, &mut |name| match name {
        "DATA" => Err(io::Error::other("the medium fails")),
        name => Ok(find(name).map(|place| Box::new(disk.open(place)) as Box<dyn Medium>)),
    });
    let failed: Vec<_> = told.iter().filter(|(_, done)| done.is_err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, "DATA");
    let mut state = disk.open(find("STATE").unwrap());
    assert_eq!(begun(&mut state).unwrap(), Some(ResetScope::All));
    assert_eq!(owner_on(&disk.image()), owner(), "what is left is not given away");
    // And a disk without STATE is forgotten as far as it goes.
    let told = forget(ResetScope::State, &mut |name| {
        let place = find(name).filter(|_| name != "STATE");
        Ok(place.map(|place| Box::new(disk.open(place)) as Box<dyn Medium>))
    });
    assert!(matches!(&told[..], [("CONFIG", Ok(()))]), "{told:?}");
}

#[test]
fn a_mark_is_no_file_system_and_a_file_system_no_mark() {
    let mut head = used().bytes(find("STATE").unwrap().start, 4096);
    let at = |head: &[u8]| {
        let mut image = Image::new(4096, 0);
        image.write(0, head);
        begun(&mut powercut::Recorder::new(image)).unwrap()
    };
    assert_eq!(at(&head), None);
    assert_eq!(at(&[0; 4096]), None);
    for scope in [ResetScope::All, ResetScope::Data, ResetScope::State] {
        head[..SECTOR as usize].copy_from_slice(&mark(scope));
        assert_eq!(at(&head), Some(scope));
    }
    head[300] ^= 1;
    assert_eq!(at(&head), None, "nothing is forgotten on a vague request");
}
