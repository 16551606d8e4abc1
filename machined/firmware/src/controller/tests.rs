//! On a real FAT volume in a file, with the files of a release in a folder.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use api::v1alpha1::{FirmwareDifference as Is, RepairFirmwareRequest, RepairFirmwareResponse};
use backend::Firmware;
use fat::{Change, Volume as Fat};
use firmware_files::{FILES, FirmwareFiles, LIST, Listed, Settings, Trial};
use firmware_trial::Started as FirmwareStarted;
use node::Node;
use release_file::Release;
use state::kinds::{FirmwareStatus, NODE, TrialStatus, VolumeState};
use state::testkit::settle_one;
use sys::clock::RecordingClock;

use super::*;
use crate::Places;
use crate::survey::open;

mod from_config;
mod on_trial;

const LOADER: &str = "EFI/BOOT/BOOTAA64.EFI";
const FIRST: [(&str, &[u8]); 4] = [
    (LOADER, b"loader 1"),
    ("bcm2711-rpi-4-b.dtb", b"tree"),
    ("config.txt", b"kernel=u-boot.bin\n"),
    ("start4.elf", b"firmware 1"),
];
const SECOND: [(&str, &[u8]); 4] = [
    (LOADER, b"loader 2"),
    ("bcm2711-rpi-400.dtb", b"tree of another model"),
    ("config.txt", b"kernel=u-boot.bin\n"),
    ("start4.elf", b"firmware 2"),
];

struct Lab {
    folder: tempfile::TempDir,
    places: Places,
    /// How the firmware says that it was started.
    started: Option<FirmwareStarted>,
}

impl Lab {
    /// An ESP as an image has it, and the release that it is of.
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            esp: folder.path().join("esp.img"),
            bootstate: folder.path().join("bootstate.img"),
            release: folder.path().join("firmware"),
            memory: folder.path().join("firmware.json"),
        };
        let mut disk = Cursor::new(vec![0; 40 << 20]);
        let options = fatfs::FormatVolumeOptions::new()
            .fat_type(fatfs::FatType::Fat32)
            .bytes_per_cluster(512);
        fatfs::format_volume(&mut disk, options).unwrap();
        fs::write(&places.esp, disk.into_inner()).unwrap();
        fs::write(&places.bootstate, vec![0; 1 << 20]).unwrap();
        let lab = Lab {
            folder,
            places,
            started: None,
        };
        lab.change(&FIRST.map(|(path, data)| Change::Put { path, data }));
        lab.release(&FIRST);
        lab
    }

    /// Makes another release the one that runs.
    fn release(&self, files: &[(&str, &[u8])]) {
        let _ = fs::remove_dir_all(&self.places.release);
        let list = FirmwareFiles {
            loader: LOADER.into(),
            files: files.iter().map(|(path, data)| Listed::of(path, data)).collect(),
            settings: Some(Settings {
                path: "config.txt".into(),
                heading: Some("[all]".into()),
                overlays: "overlays".into(),
                overlay_line: "dtoverlay={name}".into(),
                parameter_separator: ",".into(),
                reserved: vec!["kernel".into()],
                repeatable: vec!["dtparam".into()],
                trial: Some(Trial {
                    path: "tryboot.txt".into(),
                    prefix: "trial-".into(),
                    prefix_setting: "os_prefix".into(),
                    named: [("start4.elf".to_owned(), "start_file".to_owned())].into(),
                    mailbox: "vendor,mbox".into(),
                }),
            }),
        };
        for (path, data) in files {
            let path = self.places.release.join(FILES).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, data).unwrap();
        }
        fs::write(self.places.release.join(LIST), list.to_yaml()).unwrap();
    }

    fn change(&self, changes: &[Change<'_>]) {
        let mut medium = open(&self.places.esp, true).unwrap();
        Fat::open(&mut medium).unwrap().apply(changes).unwrap();
    }

    /// Starts the node with a release of that version.
    async fn start(&self, version: &str) -> Started {
        self.start_with(version, "{}", TrialStatus::None).await
    }

    /// The same, with this `machine.firmware`.
    async fn start_with(&self, version: &str, firmware: &str, trial: TrialStatus) -> Started {
        let node = Node::new(Release {
            version: version.into(),
            ..Release::default()
        });
        let volume = VolumeStatus {
            target: "/var/lib/bedplate".into(),
            device: None,
            size: 0,
            state: VolumeState::Ready {
                formatted: false,
                repaired: false,
            },
        };
        node.store
            .put("storage", Volume::State.partition(), volume)
            .unwrap();
        node.store.put("slots", NODE, trial).unwrap();
        node.store.put("config", NODE, config(firmware)).unwrap();
        let handle = FirmwareHandle::new(
            &node,
            self.places.clone(),
            self.started.map(FirmwareStarted::as_str),
        );
        let clock = Arc::new(RecordingClock::at(SystemTime::UNIX_EPOCH));
        let mut watch = FirmwareWatch::new(handle.clone(), Box::new(clock.clone()), node.power.clone());
        settle_one(&node.store, &mut watch).await.unwrap();
        Started {
            node,
            handle,
            watch,
            clock,
        }
    }
}

fn config(firmware: &str) -> MachineConfig {
    let text = samples::CONFIG.replacen("machine:\n", &format!("machine:\n  firmware: {firmware}\n"), 1);
    machine_config::parse(&text).unwrap()
}

struct Started {
    node: Node,
    handle: FirmwareHandle,
    watch: FirmwareWatch,
    clock: Arc<RecordingClock>,
}

impl Started {
    fn status(&self) -> FirmwareStatus {
        self.node.store.get(NODE).unwrap()
    }

    fn differences(&self) -> Vec<(String, Is)> {
        let answer = self.handle.status().unwrap();
        let files = answer.differences.into_iter();
        files.map(|file| (file.path.clone(), file.difference())).collect()
    }

    async fn repair(&self, dry_run: bool, remove_unknown: bool) -> RepairFirmwareResponse {
        let request = RepairFirmwareRequest {
            dry_run,
            remove_unknown,
            without_trial: false,
        };
        self.handle.repair(request).await.unwrap()
    }
}

impl Lab {
    /// Reads a file of the ESP.
    fn read(&self, path: &str) -> String {
        let mut medium = open(&self.places.esp, false).unwrap();
        let mut volume = Fat::open(&mut medium).unwrap();
        let files = volume.files().unwrap();
        let file = files.iter().find(|file| file.path == path).unwrap();
        let mut data = Vec::new();
        volume.read(file, |piece| data.extend_from_slice(piece)).unwrap();
        String::from_utf8(data).unwrap()
    }
}

fn named(differences: &[(&str, Is)]) -> Vec<(String, Is)> {
    differences
        .iter()
        .map(|(path, is)| ((*path).to_owned(), *is))
        .collect()
}

#[tokio::test]
async fn what_was_changed_is_reported_at_the_next_start_and_repaired_on_request() {
    let lab = Lab::new();
    let started = lab.start("1.0.0").await;
    assert_eq!(started.differences(), []);
    assert_eq!(
        (started.status().installed.as_str(), started.status().files),
        ("1.0.0", 4)
    );
    lab.change(&[
        Change::Put {
            path: LOADER,
            data: b"loader of somebody else",
        },
        Change::Remove { path: "start4.elf" },
        Change::Put {
            path: "autoboot.txt",
            data: b"boot_partition=2\n",
        },
        Change::Put {
            path: "System Volume Information/x",
            data: b"Windows was here",
        },
    ]);
    let started = lab.start("1.0.0").await;
    let found = named(&[
        (LOADER, Is::Changed),
        ("autoboot.txt", Is::Unknown),
        ("start4.elf", Is::Missing),
    ]);
    assert_eq!(started.differences(), found);
    let problems = started.handle.status().unwrap().problems;
    assert_eq!(problems.len(), 3);
    assert!(
        problems[0]
            .starts_with("EFI/BOOT/BOOTAA64.EFI on the EFI system partition is not that of the release")
    );

    let before = fs::read(&lab.places.esp).unwrap();
    let planned = started.repair(true, true).await;
    assert_eq!(planned.written, ["start4.elf", LOADER], "the loader last");
    assert_eq!(planned.removed, ["autoboot.txt"]);
    assert!(
        fs::read(&lab.places.esp).unwrap() == before,
        "a dry run writes nothing"
    );
    assert_eq!(started.differences(), found);

    let done = started.repair(false, false).await;
    assert_eq!((done.written, done.removed.len()), (planned.written, 0));
    assert_eq!(started.differences(), named(&[("autoboot.txt", Is::Unknown)]));
    started.repair(false, true).await;
    assert_eq!(started.differences(), []);
    assert_eq!(
        started.repair(false, true).await.written,
        [""; 0],
        "nothing is left to do"
    );
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn another_release_is_not_a_fault_and_is_renewed_on_request() {
    let lab = Lab::new();
    lab.start("1.0.0").await;
    lab.release(&SECOND);
    let started = lab.start("2.0.0").await;
    let older = [
        (LOADER, Is::OtherRelease),
        ("bcm2711-rpi-4-b.dtb", Is::OtherRelease),
        ("bcm2711-rpi-400.dtb", Is::OtherRelease),
        ("start4.elf", Is::OtherRelease),
    ];
    assert_eq!(started.differences(), named(&older));
    assert_eq!(started.status().installed, "1.0.0");
    // Somebody changes a file meanwhile: that is one.
    lab.change(&[Change::Put {
        path: "start4.elf",
        data: b"evil",
    }]);
    let started = lab.start("2.0.0").await;
    assert!(
        started
            .differences()
            .contains(&("start4.elf".to_owned(), Is::Changed))
    );
    let done = started.repair(false, false).await;
    assert_eq!(done.written, ["bcm2711-rpi-400.dtb", "start4.elf", LOADER]);
    assert_eq!(done.removed, ["bcm2711-rpi-4-b.dtb"]);
    assert_eq!(started.differences(), []);
    assert_eq!(started.status().installed, "2.0.0");
    // Back to the release before: its node sees that the files are those of the other one.
    lab.release(&FIRST);
    let started = lab.start("1.0.0").await;
    assert!(
        started
            .status()
            .differences
            .iter()
            .any(|file| file.path == LOADER)
    );
    assert_eq!(started.status().installed, "2.0.0");
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn a_release_on_trial_writes_nothing() {
    let lab = Lab::new();
    lab.change(&[Change::Remove { path: "start4.elf" }]);
    let started = lab.start("1.0.0").await;
    started
        .node
        .store
        .put("slots", NODE, TrialStatus::Waiting { deadline_ms: 1 })
        .unwrap();
    let request = RepairFirmwareRequest::default();
    let error = started.handle.repair(request).await.unwrap_err().to_string();
    assert!(error.contains("on trial"), "{error}");
    assert_eq!(started.differences(), named(&[("start4.elf", Is::Missing)]));
}

#[tokio::test]
async fn what_cannot_be_read_is_reported_and_stops_nothing() {
    for (content, why) in [
        (Some(vec![0; 4096]), "no boot sector"),
        (None, "cannot open"),
        (Some(Vec::new()), "cannot read"),
    ] {
        let lab = Lab::new();
        fs::remove_file(&lab.places.esp).unwrap();
        if let Some(content) = content {
            fs::write(&lab.places.esp, content).unwrap();
        }
        let started = lab.start("1.0.0").await;
        let problems = started.handle.status().unwrap().problems;
        assert!(
            problems[0].contains(why) && problems[0].contains("EFI system partition"),
            "{problems:?}"
        );
        assert!(
            started
                .handle
                .repair(RepairFirmwareRequest::default())
                .await
                .is_err()
        );
    }
    // A list that was cut off, and a file of the release that is another.
    let lab = Lab::new();
    fs::write(lab.places.release.join(LIST), "loader: x\n").unwrap();
    assert!(
        lab.start("1.0.0")
            .await
            .status()
            .problem
            .unwrap()
            .contains("list of firmware files")
    );
    lab.release(&FIRST);
    fs::write(lab.places.release.join(FILES).join(LOADER), "rotten").unwrap();
    lab.change(&[Change::Remove { path: LOADER }]);
    let started = lab.start("1.0.0").await;
    let error = started
        .handle
        .repair(RepairFirmwareRequest::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("not what its list says"), "{error}");
    assert!(lab.folder.path().exists());
}

fn fsck(esp: &Path) {
    let output = std::process::Command::new("/usr/sbin/fsck.vfat")
        .arg("-n")
        .arg(esp)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
