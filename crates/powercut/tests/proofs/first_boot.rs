//! The first boot: DATA grows to the medium, and the partition table says so, twice.
//!
//! What else a first boot does to the disk is proved next to its code, in machined. Making file systems is not ours to
//! prove.

use layout::{DiskSpec, Layout, Name, Table};
use powercut::{
    Broken, How, Image, Options, Outcome, Places, Power, Recorder, Recording, State, Tally, explore, report,
};
use samples::Recipe;
use slots::{Record, Slot};

use crate::support::{Fault, MIB, build, ensure, fill, guids, node, recipe};

/// The smallest medium, and one that is larger, but not by whole MiB.
const SMALL: u64 = 264 * MIB;
const LARGE: u64 = 300 * MIB + 7 * 512;

/// A small disk with a system, on a larger medium.
fn disk(hybrid: bool, cmdline: &'static str) -> Image {
    let recipe = Recipe {
        cmdline,
        ..recipe(1, 20_000)
    };
    let spec = DiskSpec {
        slot_size: recipe.slot_size,
        first_partition: MIB,
    };
    let table = Table {
        layout: Layout::for_medium(&spec, SMALL).unwrap(),
        guids: guids(),
        hybrid,
    };
    let images = table.images().unwrap();
    let mut disk = Image::new(SMALL, 0);
    disk.write(0, &images.head);
    disk.write(table.layout.table_tail().start, &images.tail);
    let places = Places::of(&table);
    fill(&mut disk, &places, Slot::A, &build(&recipe));
    disk.write(places.record.start, &slots::encode(1, &Record::initial()));
    disk.grow(LARGE);
    disk
}

/// Runs what machined runs at each start.
fn fit(disk: &Image) -> (Recording, Option<Table>) {
    let mut recorder = Recorder::new(disk.clone());
    let table = Table::fit(&mut recorder, medium::Medium::sync).unwrap();
    (recorder.finish(), table)
}

fn check(state: &State, before: &Image, done: &Image) -> Result<(), Fault> {
    // A medium that garbles the sector being written may destroy the MBR, and with it the disk: no order of writes
    // helps. It happens once in the life of a disk.
    let mbr = |image: &Image| image.bytes(0, 512);
    if matches!(state.how, How::Noise(..)) && ![mbr(before), mbr(done)].contains(&mbr(&state.image)) {
        return Ok(());
    }
    let power = node().power_on(&mut Recorder::new(state.image.clone())).unwrap();
    let runs = matches!(&power, Power::Loader(Outcome::Started(started)) if started.whole);
    ensure(runs, || format!("{power:?}"))?;
    let (again, _) = fit(&state.image);
    ensure(again.is_durable(), || "something is left in a cache".to_owned())?;
    ensure(again.after.digest() == done.digest(), || {
        "the next start does not end with the right tables".to_owned()
    })
}

fn prove(recording: &Recording) -> Result<Tally, Broken<Fault>> {
    let (before, done) = (&recording.before, &recording.after);
    explore(recording, &Options::from_env(), |state| {
        check(state, before, done)
    })
}

#[test]
fn data_grows() {
    for hybrid in [false, true] {
        let (recording, table) = fit(&disk(hybrid, "quiet gpt"));
        let data = table.unwrap().layout.extent(Name::Data);
        assert_eq!(data.end(), 299 * MIB);
        assert!(recording.is_durable());
        let (again, table) = fit(&recording.after);
        assert!(table.is_none() && again.events.is_empty(), "once is enough");
        let tally = prove(&recording).unwrap();
        let kind = if hybrid { "hybrid" } else { "protective" };
        report(&format!("growing DATA, {kind} MBR"), tally);
        assert!(tally.generated > 500, "{tally:?}");
    }
}

/// The proof can fail: Linux reads the second table only when told to, and the order matters.
#[test]
fn every_assumption_is_needed() {
    let (recording, _) = fit(&disk(true, "quiet"));
    let blind = prove(&recording).unwrap_err();
    assert!(blind.source.0.contains("Blind"), "{blind}: {}", blind.source);

    let (recording, _) = fit(&disk(true, "quiet gpt"));
    let at_once = prove(&recording.without_sync(0)).unwrap_err();
    assert!(
        at_once.source.0.contains("NoTable"),
        "{at_once}: {}",
        at_once.source
    );
    let first_first = prove(&recording.in_order(&[1, 0])).unwrap_err();
    assert!(
        first_first.source.0.contains("NoTable"),
        "{first_first}: {}",
        first_first.source
    );
}

#[test]
fn every_image_makes_linux_read_both_tables() {
    let base = include_str!("../../../../overlays/base/overlay.yaml");
    let list = base
        .split_once("kernelArguments:\n")
        .expect("a list, an argument a line")
        .1;
    let lines = list.lines().map(str::trim);
    let mut arguments = lines
        .filter(|line| !line.starts_with('#'))
        .map_while(|line| line.strip_prefix("- "));
    assert!(arguments.any(|argument| argument == "gpt"), "{list}");
}
