use layout::{DiskSpec, Layout};
use node::boot::{Stamps, cmdline};
use powercut::{Broken, Image, Options, Recorder, Recording, State, Tally, explore, read_table, report};
use state::kinds::NODE;
use state::testkit::settle_one;

use super::*;

const MIB: u64 = 1024 * 1024;
/// A medium for the smallest image.
const SIZE: u64 = 320 * MIB;

/// A machine with disks written from one image.
struct Bench {
    root: tempfile::TempDir,
    devices: Devices,
    store: Store,
    events: Events,
}

fn image() -> Table {
    let spec = DiskSpec {
        slot_size: 16 * MIB,
        first_partition: MIB,
    };
    Table {
        layout: Layout::for_medium(&spec, SIZE).unwrap(),
        guids: Guids::from_seed(b"a release"),
        hybrid: true,
    }
}

impl Bench {
    fn new(disks: &[&str]) -> Bench {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices {
            sys_block: root.path().join("sys"),
            dev: root.path().join("dev"),
            sequence: Some(1),
            ..Devices::default()
        };
        for folder in [&devices.sys_block, &devices.dev, &root.path().join("state")] {
            std::fs::create_dir(folder).unwrap();
        }
        let bench = Bench {
            root,
            devices,
            store: Store::new(),
            events: Events::new(),
        };
        for (index, name) in disks.iter().enumerate() {
            bench.plug(name, index + 1, None);
        }
        let line = format!("bedplate.disk={}", image().guids.disk);
        Stamps::start(
            &bench.store,
            &cmdline::parse(&line),
            String::new(),
            Default::default(),
        );
        let volume = VolumeStatus {
            target: String::new(),
            device: None,
            size: 0,
            state: VolumeState::Ready {
                formatted: false,
                repaired: false,
            },
        };
        bench
            .store
            .put("storage", Volume::State.partition(), volume)
            .unwrap();
        bench
    }

    /// Plugs a disk in: a fresh one from the image, or a copy of another.
    fn plug(&self, name: &str, sequence: usize, copy_of: Option<&str>) {
        let table = copy_of.map_or_else(image, |original| self.table(original));
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(self.devices.dev.join(name))
            .unwrap();
        file.set_len(SIZE).unwrap();
        table.write(&mut file, |_| Ok(())).unwrap();
        let folder = self.devices.sys_block.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("diskseq"), format!("{sequence}\n")).unwrap();
    }

    fn serial(&self, name: &str, serial: &str) {
        std::fs::write(self.devices.sys_block.join(name).join("serial"), serial).unwrap();
    }

    fn table(&self, name: &str) -> Table {
        Table::read(&mut File::open(self.devices.dev.join(name)).unwrap()).unwrap()
    }

    async fn look(&self) -> DiskStatus {
        let state = self.root.path().join("state");
        let mut controller = OwnDisk::new(self.devices.clone(), &state, self.events.clone());
        settle_one(&self.store, &mut controller).await.unwrap();
        self.store.get(NODE).unwrap()
    }

    fn told(&self) -> Vec<String> {
        let mut reader = self.events.follow(None);
        std::iter::from_fn(|| reader.try_next())
            .map(|event| event.item.message)
            .collect()
    }
}

#[tokio::test]
async fn a_disk_gets_guids_of_its_own_once_and_nothing_else_changes() {
    let bench = Bench::new(&["vda"]);
    let first = bench.look().await;
    let own = bench.table("vda");
    assert_ne!(own.guids.disk, image().guids.disk);
    assert!(
        own.guids
            .partitions
            .iter()
            .zip(image().guids.partitions)
            .all(|(own, image)| *own != image)
    );
    assert_eq!((own.layout, own.hybrid), (image().layout, true));
    assert_eq!(first.guid, own.guids.disk.to_string());
    assert_eq!(bench.look().await, first, "once");
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test]
async fn a_second_card_of_the_same_image_is_no_copy_of_one_that_was_started() {
    let bench = Bench::new(&["vda", "vdb"]);
    assert_eq!(bench.look().await.copies, [""; 0]);
    assert_eq!(
        bench.table("vdb").guids,
        image().guids,
        "the other disk is left alone"
    );
}

#[tokio::test]
async fn a_copy_that_is_plugged_in_later_is_reported_until_it_is_gone() {
    let bench = Bench::new(&["vda"]);
    let before = bench.look().await;
    bench.plug("sda", 2, Some("vda"));
    let with_copy = bench.look().await;
    assert_eq!(with_copy.copies, ["sda"]);
    assert!(
        with_copy
            .problem()
            .unwrap()
            .starts_with("sda holds a copy of this node's disk vda")
    );
    assert_ne!(with_copy.guid, before.guid, "the next start cannot confuse them");
    assert_eq!(bench.table("sda").guids.disk.to_string(), before.guid);
    let told = bench.told();
    assert!(told[1].starts_with("sda is a copy of vda"), "{told:?}");
    assert_eq!(bench.look().await, with_copy);
    assert_eq!(bench.told().len(), told.len(), "told once");
    std::fs::remove_dir_all(bench.devices.sys_block.join("sda")).unwrap();
    assert_eq!(bench.look().await.problem(), None);
}

#[tokio::test]
async fn content_that_turns_up_on_other_hardware_is_a_copy() {
    let bench = Bench::new(&["vda"]);
    bench.serial("vda", "card-1\n");
    let before = bench.look().await;
    assert_eq!(before.serial.as_deref(), Some("card-1"));
    bench.serial("vda", "card-2\n");
    let after = bench.look().await;
    assert_ne!(after.guid, before.guid);
    assert_eq!(after.serial.as_deref(), Some("card-2"));
    assert!(
        bench.told()[1].contains("was on hardware card-1 before"),
        "{:?}",
        bench.told()
    );
    assert_eq!(bench.look().await, after);
}

#[tokio::test]
async fn garbage_in_state_costs_new_guids_and_no_more() {
    let bench = Bench::new(&["vda"]);
    bench.look().await;
    for text in ["", "{", "{\"guid\": 1}", "\u{0}\u{0}"] {
        std::fs::write(bench.root.path().join("state").join(FILE), text).unwrap();
        let status = bench.look().await;
        assert_eq!(bench.look().await, status);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

/// The power goes while a disk gets other GUIDs.
fn renamed() -> Recording {
    let images = image().images().unwrap();
    let mut disk = Image::new(SIZE, 0);
    disk.write(0, &images.head);
    disk.write(image().layout.table_tail().start, &images.tail);
    let mut recorder = Recorder::new(disk);
    Table::rename(&mut recorder, Guids::from_seed(b"own"), medium::Medium::sync).unwrap();
    recorder.finish()
}

fn prove(recording: &Recording) -> Result<Tally, Broken<Fault>> {
    let own = Guids::from_seed(b"own");
    // The MBR stays as it is: a sector that is written with the same bytes cannot be torn.
    let options = Options {
        noise: false,
        ..Options::from_env()
    };
    explore(recording, &options, |state: &State| {
        let table = read_table(&state.image).map_err(|error| Fault(error.to_string()))?;
        if table.layout != image().layout || !table.hybrid {
            return Err(Fault(format!("another layout: {table:?}")));
        }
        if ![image().guids, own].contains(&table.guids) {
            return Err(Fault(format!("neither the old GUIDs nor the new: {table:?}")));
        }
        // The next start makes both copies say the same.
        let mut recorder = Recorder::new(state.image.clone());
        Table::fit(&mut recorder, medium::Medium::sync).map_err(|error| Fault(error.to_string()))?;
        let fitted = recorder.finish().after;
        let images = table.images().map_err(|error| Fault(error.to_string()))?;
        let tail = table.layout.table_tail();
        let whole = fitted.bytes(0, images.head.len()) == images.head
            && fitted.bytes(tail.start, images.tail.len()) == images.tail;
        whole
            .then_some(())
            .ok_or_else(|| Fault("the copies differ".to_owned()))
    })
}

#[test]
fn every_power_cut_leaves_the_old_guids_or_the_new() {
    let recording = renamed();
    assert!(recording.is_durable());
    let tally = prove(&recording).unwrap();
    report("a disk's own GUIDs", tally);
    assert!(tally.generated > 100, "{tally:?}");
}

/// The proof can fail: in one go, or in the other order, a cut leaves no table.
#[test]
fn a_careless_change_is_caught() {
    let recording = renamed();
    assert_eq!(recording.syncs(), 2, "the second table, the first");
    assert!(prove(&recording.without_sync(0)).is_err());
}
