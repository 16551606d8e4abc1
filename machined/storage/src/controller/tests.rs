//! STATE and DATA on a disk that is a folder of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use node::boot::{Stamps, cmdline};
use node::children::Output;
use state::testkit::settle_one;
use sys::block::RecordingResize;
use sys::mount::{MountCall, RecordingMounts};

use super::*;
use crate::content::HEAD;
use crate::prepare::testing::RecordingTools;

const GUID: &str = "00000000-0000-0000-0000-000000000007";

#[derive(Clone, Default)]
struct Shared {
    mounts: Arc<RecordingMounts>,
    tools: Arc<RecordingTools>,
}

impl Mounter for Shared {
    fn mount(&self, mount: &Mount) -> sys::Result<()> {
        self.mounts.mount(mount)
    }
    fn unmount(&self, target: &Path, lazy: bool) -> sys::Result<()> {
        self.mounts.unmount(target, lazy)
    }
}

#[async_trait]
impl Tools for Shared {
    async fn run(&self, program: &'static str, arguments: Vec<String>) -> std::io::Result<Output> {
        self.tools.run(program, arguments).await
    }
}

/// A machine whose disk has these heads on STATE and DATA.
struct Bench {
    root: tempfile::TempDir,
    shared: Shared,
    storage: Storage,
    store: Store,
}

fn bench(cmdline: &str, state: &[u8], data: &[u8], exits: &[i32]) -> Bench {
    let nobody = [(2, "BOOTSTATE", vec![0; 1 << 20]), (3, "CONFIG", vec![0; 4096])];
    bench_with(cmdline, state, data, exits, &nobody)
}

fn bench_with(
    cmdline: &str,
    state: &[u8],
    data: &[u8],
    exits: &[i32],
    others: &[(u32, &str, Vec<u8>)],
) -> Bench {
    let root = tempfile::tempdir().unwrap();
    let devices = Devices {
        sys_block: root.path().join("sys"),
        dev: root.path().join("dev"),
        ..Devices::default()
    };
    fs::create_dir_all(&devices.dev).unwrap();
    let mut gpt = vec![0; 2048];
    gpt[512..520].copy_from_slice(b"EFI PART");
    gpt[524..528].copy_from_slice(&92u32.to_le_bytes());
    gpt[568..584].copy_from_slice(&uuid::Uuid::parse_str(GUID).unwrap().to_bytes_le());
    let crc = crc32fast::hash(&gpt[512..604]);
    gpt[528..532].copy_from_slice(&crc.to_le_bytes());
    fs::write(devices.dev.join("vda"), gpt).unwrap();
    let volumes = [(6, "STATE", state.to_vec()), (7, "DATA", data.to_vec())];
    for (number, name, head) in volumes.iter().chain(others) {
        let node = format!("vda{number}");
        let folder = devices.sys_block.join("vda").join(&node);
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("uevent"),
            format!("PARTN={number}\nPARTNAME={name}\n"),
        )
        .unwrap();
        fs::write(folder.join("start"), "2048").unwrap();
        fs::write(folder.join("size"), "4096").unwrap();
        fs::write(devices.dev.join(node), head).unwrap();
    }
    let shared = Shared {
        tools: Arc::new(RecordingTools::answering(exits)),
        ..Shared::default()
    };
    let means = Means {
        devices,
        mounter: Box::new(shared.clone()),
        kernel: Box::new(RecordingResize::default()),
        tools: Box::new(shared.clone()),
        config_in: |device| fs::read(device).is_ok_and(|bytes| bytes.starts_with(b"BPCONFIG")),
        root: root.path().join("root"),
    };
    let store = Store::new();
    Stamps::start(&store, &cmdline::parse(cmdline), String::new(), BTreeMap::new());
    Bench {
        root,
        shared,
        storage: Storage::new(means),
        store,
    }
}

impl Bench {
    fn state(&self, volume: Volume) -> VolumeState {
        self.store.get::<VolumeStatus>(volume.partition()).unwrap().state
    }

    fn mounts(&self) -> Vec<String> {
        let prefix = self.root.path().join("root");
        let calls = self.shared.mounts.calls.lock().unwrap();
        let shown = calls.iter().map(|call| match call {
            MountCall::Mount(mount) => {
                let target = mount.target.strip_prefix(&prefix).unwrap().display().to_string();
                let source = mount.source.rsplit('/').next().unwrap().to_owned();
                format!("{source} {target} {}", mount.fstype)
            }
            MountCall::Unmount(target) => format!("unmount {}", target.display()),
        });
        shown.collect()
    }
}

fn on_disk() -> String {
    format!("bedplate.disk={GUID}")
}

fn ext4() -> Vec<u8> {
    let mut head = vec![0; HEAD];
    head[1080..1082].copy_from_slice(&[0x53, 0xef]);
    head
}

#[tokio::test]
async fn the_first_boot_formats_and_mounts_data_before_state() {
    let mut bench = bench(&on_disk(), &[0; HEAD], &[0; HEAD], &[]);
    let action = settle_one(&bench.store, &mut bench.storage).await.unwrap();
    assert_eq!(action, Action::WaitForChange);
    assert_eq!(bench.mounts(), ["vda7 var ext4", "vda6 var/lib/bedplate ext4"]);
    assert_eq!(
        bench.state(Volume::State),
        VolumeState::Ready {
            formatted: true,
            repaired: false
        }
    );
    let tools = bench.shared.tools.calls.lock().unwrap();
    assert_eq!(
        tools.iter().filter(|call| call.contains("mke2fs")).count(),
        2,
        "{tools:?}"
    );
}

#[tokio::test]
async fn nothing_on_either_volume_is_a_device_or_gains_rights_and_nothing_runs_from_state() {
    for cmdline in [on_disk(), "quiet".to_owned()] {
        let mut bench = bench(&cmdline, &[0; HEAD], &[0; HEAD], &[]);
        settle_one(&bench.store, &mut bench.storage).await.unwrap();
        let calls = bench.shared.mounts.calls.lock().unwrap();
        assert_eq!(calls.len(), 2, "{cmdline}");
        for call in calls.iter() {
            let MountCall::Mount(mount) = call else {
                panic!("{call:?}")
            };
            let both = MountFlags::MS_NODEV | MountFlags::MS_NOSUID;
            assert!(mount.flags.contains(both), "{mount:?}");
            let state = mount.target.ends_with("var/lib/bedplate");
            assert_eq!(
                mount.flags.contains(MountFlags::MS_NOEXEC),
                state,
                "programs run from the volumes of pods, which are on DATA: {mount:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_later_boot_checks_and_mounts() {
    let mut bench = bench(&on_disk(), &ext4(), &ext4(), &[0, 1]);
    settle_one(&bench.store, &mut bench.storage).await.unwrap();
    assert_eq!(
        bench.state(Volume::Data),
        VolumeState::Ready {
            formatted: false,
            repaired: false
        }
    );
    assert_eq!(
        bench.state(Volume::State),
        VolumeState::Ready {
            formatted: false,
            repaired: true
        }
    );
    assert!(bench.root.path().join("root/var/lib/bedplate").exists());
}

#[tokio::test]
async fn memory_stands_in_for_a_broken_data_but_never_for_state() {
    let mut bench = bench(&on_disk(), &[1; HEAD], &[1; HEAD], &[8, 8]);
    let action = bench.storage.reconcile(&bench.store).await.unwrap();
    assert_eq!(action, Action::After(AGAIN));
    assert_eq!(bench.mounts(), ["tmpfs var tmpfs"]);
    assert!(matches!(bench.state(Volume::Data), VolumeState::Volatile { .. }));
    assert!(matches!(bench.state(Volume::State), VolumeState::Failed { .. }));
    let tools = bench.shared.tools.calls.lock().unwrap();
    assert!(
        tools.iter().all(|call| !call.contains("mke2fs")),
        "somebody's data: {tools:?}"
    );
}

/// A node that is somebody's, with this in CONFIG.
fn owned(state: &[u8], config: &[u8], exits: &[i32]) -> Bench {
    let others = [(2, "BOOTSTATE", vec![0; 1 << 20]), (3, "CONFIG", config.to_vec())];
    let bench = bench_with(&on_disk(), state, &ext4(), exits, &others);
    let bootstate = bench.root.path().join("dev/vda2");
    let owner = Owner::of("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    OwnerFile::new(Some(bootstate)).set(&owner).unwrap();
    bench
}

#[tokio::test]
async fn a_blank_state_of_somebodys_node_is_rescued_and_never_formatted() {
    // DATA is checked first.
    let mut rescued = owned(&[0; HEAD], &[0; 4096], &[0, 1]);
    settle_one(&rescued.store, &mut rescued.storage).await.unwrap();
    let ready = VolumeState::Ready {
        formatted: false,
        repaired: true,
    };
    assert_eq!(rescued.state(Volume::State), ready);

    for state in [[0; HEAD], [1; HEAD]] {
        let mut lost = owned(&state, &[0; 4096], &[0, 8]);
        settle_one(&lost.store, &mut lost.storage).await.unwrap();
        assert!(matches!(lost.state(Volume::State), VolumeState::Volatile { .. }));
        assert_eq!(lost.mounts(), ["vda7 var ext4", "tmpfs var/lib/bedplate tmpfs"]);
        let tools = lost.shared.tools.calls.lock().unwrap();
        assert!(tools.iter().all(|call| !call.contains("mke2fs")), "{tools:?}");
    }
}

#[tokio::test]
async fn a_config_in_config_makes_a_hopeless_state_anew() {
    let mut bench = owned(&[1; HEAD], b"BPCONFIG", &[0, 8, 0]);
    settle_one(&bench.store, &mut bench.storage).await.unwrap();
    let formatted = VolumeState::Ready {
        formatted: true,
        repaired: false,
    };
    assert_eq!(bench.state(Volume::State), formatted);
    assert_eq!(bench.mounts(), ["vda7 var ext4", "vda6 var/lib/bedplate ext4"]);
}

/// The power went in the middle of a reset: what is left of the old file systems is not brought back.
#[tokio::test]
async fn a_reset_that_was_cut_short_is_gone_on_with() {
    let mut state = ext4();
    state[..8].copy_from_slice(b"BPFORGET");
    state[8] = 2;
    let mut bench = bench(&on_disk(), &state, &ext4(), &[]);
    settle_one(&bench.store, &mut bench.storage).await.unwrap();
    let formatted = VolumeState::Ready {
        formatted: true,
        repaired: false,
    };
    assert_eq!(bench.state(Volume::State), formatted);
    assert_eq!(bench.state(Volume::Data), formatted);
    for node in ["vda6", "vda7"] {
        let bytes = fs::read(bench.root.path().join("dev").join(node)).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{node}");
    }
}

#[tokio::test]
async fn without_a_loader_there_is_only_memory() {
    let mut bench = bench("quiet", &[0; HEAD], &[0; HEAD], &[]);
    settle_one(&bench.store, &mut bench.storage).await.unwrap();
    assert_eq!(
        bench.mounts(),
        ["tmpfs var tmpfs", "tmpfs var/lib/bedplate tmpfs"]
    );
    assert!(bench.shared.tools.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_disk_that_went_away_is_an_error_that_names_it() {
    let mut bench = bench("bedplate.disk=other", &[0; HEAD], &[0; HEAD], &[]);
    let error = bench.storage.reconcile(&bench.store).await.unwrap_err();
    assert!(
        error.chain().starts_with("disk other is gone; there is vda ("),
        "{error}"
    );
}
