//! Flashing: an unfinished disk has no table or boots a whole system, and flashing again finishes it.

use flash_tool::config::Injected;
use flash_tool::plan::{Content, Plan};
use flash_tool::watch::Silent;
use flash_tool::{BundleFacts, apply, plan};
use layout::{Extent, Name};
use manifest::Digest;
use powercut::{
    Broken, How, Image, Node, Options, Outcome, Places, Power, Recorder, Recording, State, Tally, explore,
    read_table, report,
};
use samples::Release;
use slots::{Record, Slot};

use crate::support::{CONFIG, Fault, MIB, build, ensure, fill, guids, id, node, noise, reader, recipe};

/// A size that is large enough, but not whole MiB.
const DISK: u64 = 264 * MIB + 5 * 512;

/// One of this many states is flashed again to the end, as are all those in which no write is torn: each takes as long as
/// checking a thousand others.
const RESUME_EVERY: u64 = 200;

fn planned(release: &Release, config: Option<&str>) -> Plan {
    let config = config.map(|text| {
        Injected::parse("node.yaml".as_ref(), text.to_owned().into(), &Default::default()).unwrap()
    });
    let options = flash_tool::Options {
        guids: guids(),
        config,
        discard: false,
    };
    plan(&BundleFacts::of(&reader(release)), DISK, options).unwrap()
}

fn flash(release: &Release, plan: &Plan, disk: &Image) -> Recording {
    let mut recorder = Recorder::new(disk.clone());
    apply(plan, &mut reader(release), &mut recorder, &mut Silent).unwrap();
    recorder.finish()
}

/// What must hold after a cut.
struct Proof<'a> {
    node: Node,
    release: &'a Release,
    plan: Plan,
    /// What the disk booted before.
    old: Power,
    /// What it holds after an uninterrupted flash.
    done: Image,
    /// The number of states in which flashing was repeated.
    resumed: u64,
    seen: u64,
}

impl Proof<'_> {
    fn check(&mut self, state: &State) -> Result<(), Fault> {
        let mut disk = Recorder::new(state.image.clone());
        let power = self.node.power_on(&mut disk).unwrap();
        match &power {
            Power::NoTable => {}
            old if *old == self.old => {}
            Power::Loader(Outcome::Started(new)) => {
                ensure(new.whole && new.slot == Slot::A, || {
                    format!("a broken system starts: {new:?}")
                })?;
                ensure(new.manifest == id(self.release), || {
                    format!("some other system starts: {new:?}")
                })?;
                self.complete(&state.image)?;
            }
            other => return Err(Fault(format!("{other:?}"))),
        }
        self.seen += 1;
        if self.seen % RESUME_EVERY == 1 || matches!(state.how, How::After(_)) {
            self.resumed += 1;
            let after = flash(self.release, &self.plan, &state.image).after;
            ensure(after.digest() == self.done.digest(), || {
                "flashing again does not end with the right bytes".to_owned()
            })?;
        }
        Ok(())
    }

    /// With the new table in place, everything else is.
    fn complete(&self, disk: &Image) -> Result<(), Fault> {
        for piece in &self.plan.pieces {
            let Extent { start, len } = piece.extent;
            let there = disk.bytes(start, len as usize);
            let good = match &piece.content {
                Content::Zeros => there.iter().all(|byte| *byte == 0),
                Content::Bytes(bytes) => there == *bytes,
                Content::Frame(frame) => Digest::of(&there) == frame.sha256,
            };
            ensure(good, || format!("there is a table, but not yet {:?}", piece.what))?;
        }
        Ok(())
    }
}

fn prove(release: &Release, disk: &Image, config: Option<&str>) -> Result<(Tally, u64), Broken<Fault>> {
    let plan = planned(release, config);
    let recording = flash(release, &plan, disk);
    assert!(
        recording.is_durable(),
        "when flashing is done, nothing is left in a cache"
    );
    prove_recording(&recording, release, plan, disk)
}

/// Proves it for a recorded or constructed flash.
fn prove_recording(
    recording: &Recording,
    release: &Release,
    plan: Plan,
    disk: &Image,
) -> Result<(Tally, u64), Broken<Fault>> {
    let node = node();
    let old = node.power_on(&mut Recorder::new(disk.clone())).unwrap();
    let mut proof = Proof {
        node,
        release,
        plan,
        old,
        done: recording.after.clone(),
        resumed: 0,
        seen: 0,
    };
    let tally = explore(recording, &Options::from_env().samples(100), |state| {
        proof.check(state)
    })?;
    Ok((tally, proof.resumed))
}

fn passes(name: &str, release: &Release, disk: &Image, config: Option<&str>) -> Tally {
    let (tally, resumed) = prove(release, disk, config).unwrap();
    report(
        &format!("flashing {name}, {resumed} of them flashed again"),
        tally,
    );
    tally
}

/// A disk that a node has used: both slots hold systems, both file systems are there.
fn used() -> (Image, Release) {
    let old = build(&recipe(1, 100_000));
    let mut disk = flash(&old, &planned(&old, None), &Image::new(DISK, 0xee)).after;
    let table = read_table(&disk).unwrap();
    let at = |name| table.layout.extent(name);
    let places = Places::of(&table);
    fill(&mut disk, &places, Slot::B, &old);
    let record = Record::initial().commit(Slot::B);
    let (offset, bytes) = Node::record(&disk, &places).next(&record);
    disk.write(places.record.start + offset, &bytes);
    disk.write(at(Name::State).start + 1024, &noise(300_000, 8));
    disk.write(at(Name::Data).start + 1024, &noise(300_000, 9));
    (disk, old)
}

#[test]
fn a_blank_disk() {
    let new = build(&recipe(2, 150_000));
    let tally = passes("a blank disk", &new, &Image::new(DISK, 0), Some(CONFIG));
    assert!(tally.generated > 1500, "{tally:?}");
}

#[test]
fn a_disk_full_of_something_else() {
    let new = build(&recipe(2, 150_000));
    let tally = passes("a foreign disk", &new, &Image::new(DISK, 0xee), Some(CONFIG));
    assert!(tally.generated > 20_000, "{tally:?}");
}

#[test]
fn a_disk_of_a_node() {
    let (disk, old) = used();
    let started = node().power_on(&mut Recorder::new(disk.clone())).unwrap();
    assert!(
        matches!(&started, Power::Loader(Outcome::Started(b)) if b.slot == Slot::B && b.manifest == id(&old) && b.whole)
    );
    let new = build(&recipe(2, 150_000));
    let tally = passes("a used disk", &new, &disk, None);
    assert!(tally.generated > 1500, "{tally:?}");
}

/// The proof can fail: a writer that omits a flush is caught, except where nothing depends on it.
#[test]
fn a_writer_that_omits_a_flush_is_caught() {
    let (disk, _) = used();
    let new = build(&recipe(2, 150_000));
    let plan = planned(&new, None);
    let right = flash(&new, &plan, &disk);
    let caught = |sync: usize| {
        let wrong = right.without_sync(sync);
        prove_recording(&wrong, &new, plan.clone(), &disk).is_err()
    };
    let caught = (0..right.syncs()).map(caught).collect::<Vec<_>>();
    // The first separates the old table from the new pieces, the third all of the new system from its table. The second
    // exists for reading the pieces back; and of the two copies of the table each is valid without the other.
    assert_eq!(caught, [true, false, true, false, false]);
}
