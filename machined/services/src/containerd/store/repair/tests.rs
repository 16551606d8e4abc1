//! The store of the machine's own containerd, damaged in the ways that power cuts and bad cards do it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use state::kinds::NODE;

use super::*;
use ::containerd::testing::RealContainerd;
use ::containerd::{Archive, Containerd, ImageStore as _, KUBERNETES, import};

const NAME: &str = "localhost/proof:1";

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Writes an image that came with the system: one layer with one file.
fn offline_image(at: &Path, name: &str, content: &[u8]) {
    let layer = tar_of(&[("file".to_owned(), content.to_vec())]);
    let diff = digest(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff}"]}}}}"#
    );
    let kind = "application/vnd.oci.image";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{{"mediaType":"{kind}.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"{kind}.layer.v1.tar","digest":"sha256:{diff}","size":{}}}]}}"#,
        digest(config.as_bytes()),
        config.len(),
        layer.len()
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}.manifest.v1+json","digest":"sha256:{}","size":{},"annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#,
        digest(manifest.as_bytes()),
        manifest.len()
    );
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", digest(bytes)), bytes.to_vec());
    let files = [
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.into_bytes()),
        blob(manifest.as_bytes()),
        blob(config.as_bytes()),
        blob(&layer),
    ];
    fs::write(at, tar_of(&files)).unwrap();
}

struct Bench {
    real: RealContainerd,
    archive: PathBuf,
    store: Store,
    events: Events,
    repair: StoreRepair,
}

impl Bench {
    fn new() -> Option<Bench> {
        let real = RealContainerd::new()?;
        let archive = real.folder().join("proof.tar");
        offline_image(&archive, NAME, &[7; 100_000]);
        let (store, events) = (Store::new(), Events::new());
        let repair = StoreRepair::new(&real.root(), &real.aside(), store.clone(), events.clone());
        Some(Bench {
            real,
            archive,
            store,
            events,
            repair,
        })
    }

    /// Starts as a node does: the store is checked, containerd starts, and the offline image is imported once it is ready.
    async fn start(&mut self) -> Result<(), String> {
        self.repair.before_start().await;
        self.real.start();
        self.real.ready().await?;
        let containerd = Containerd::connect(&self.real.socket(), KUBERNETES)
            .await
            .unwrap();
        let archive = Archive::open(&self.archive).unwrap();
        import(&containerd, &archive, &archive.images[0]).await.unwrap();
        let digest = containerd.digest(NAME).await.unwrap();
        assert_eq!(digest.as_ref(), Some(&archive.images[0].manifest.digest));
        Ok(())
    }

    /// Unpacks the image, as the first pod that uses it would.
    fn unpack(&self) {
        let archive = self.archive.display().to_string();
        self.real.ctr(&["images", "import", &archive]);
        let snapshots = self.real.ctr(&["snapshots", "ls"]);
        assert!(snapshots.contains("sha256:"), "{snapshots}");
    }

    fn kept(&self) -> Vec<KeptStore> {
        self.store.get::<ContainerStoreStatus>(NODE).unwrap().kept
    }

    fn told(&self) -> String {
        let mut events = self.events.follow(None);
        std::iter::from_fn(|| events.try_next())
            .map(|read| read.item.message + "\n")
            .collect()
    }
}

fn only(folder: &Path) -> PathBuf {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    entries.swap_remove(0)
}

type Damage = (&'static str, fn(&Path), &'static str);

const META: &str = "io.containerd.metadata.v1.bolt/meta.db";
const SNAPSHOTS: &str = "io.containerd.snapshotter.v1.overlayfs/snapshots";
const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

const DAMAGES: &[Damage] = &[
    (
        "garbage over the first 32 KiB",
        |root| change(&root.join(META), |bytes| bytes[..32 << 10].fill(0xa5)),
        "neither copy of its head is valid",
    ),
    (
        "garbage behind the head",
        |root| change(&root.join(META), |bytes| bytes[8 << 10..32 << 10].fill(0xa5)),
        "is not what it should be",
    ),
    (
        "truncated to zero",
        |root| fs::write(root.join(META), "").unwrap(),
        "is empty, and there is content",
    ),
    (
        "gone",
        |root| fs::remove_file(root.join(META)).unwrap(),
        "is empty, and there is content",
    ),
    (
        "cut in half",
        |root| change(&root.join(META), |bytes| bytes.truncate(bytes.len() / 2 - 7000)),
        "it is cut short",
    ),
    (
        "the snapshotter's database is garbage",
        |root| fs::write(root.join(SNAPSHOTS).with_file_name("metadata.db"), [9; 32 << 10]).unwrap(),
        "neither copy of its head is valid",
    ),
    (
        "a snapshot is missing",
        |root| fs::remove_dir_all(only(&root.join(SNAPSHOTS))).unwrap(),
        "is gone",
    ),
    (
        "a blob is cut in half",
        |root| change(&only(&root.join(BLOBS)), |bytes| bytes.truncate(bytes.len() / 2)),
        "bytes",
    ),
    (
        "a blob is missing",
        |root| fs::remove_file(only(&root.join(BLOBS))).unwrap(),
        "has 0 of its",
    ),
];

#[tokio::test]
async fn a_damaged_store_is_put_aside_made_anew_and_told() {
    let Some(mut bench) = Bench::new() else { return };
    bench.start().await.unwrap();
    bench.unpack();
    bench.real.kill();
    let sound = bench.real.folder().join("sound");
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    copy(&bench.real.root(), &sound);
    for (name, damage, told) in DAMAGES {
        fs::remove_dir_all(bench.real.root()).unwrap();
        copy(&sound, &bench.real.root());
        bench.repair.before_start().await;
        let before = bench.kept().len();
        damage(&bench.real.root());
        if let Err(error) = bench.start().await {
            panic!("{name}: {error}");
        }
        bench.unpack();
        bench.real.kill();
        let kept = bench.kept();
        assert!(kept.len() <= 2 && kept.len() >= before, "{name}: {kept:?}");
        let last = kept.last().unwrap();
        assert!(last.reason.contains(told), "{name}: {}", last.reason);
        assert!(Path::new(&last.path).join("why.txt").exists());
        assert!(bench.told().contains(&last.reason), "{name}");
    }
}

/// A crash of containerd is no damage, whatever it was doing: nothing may be put aside for it.
#[tokio::test]
async fn a_store_survives_kills_in_pulls_and_creates() {
    let Some(mut bench) = Bench::new() else { return };
    for round in 0..12_u8 {
        if let Err(error) = bench.start().await {
            panic!("round {round}: {error}");
        }
        let name = format!("localhost/proof:{round}");
        let archive = bench.real.folder().join(format!("{round}.tar"));
        offline_image(&archive, &name, &vec![round; 400_000]);
        let mut pull = bench
            .real
            .ctr_command(&["images", "import", &archive.display().to_string()]);
        let container = format!("c{round}");
        let mut create = bench
            .real
            .ctr_command(&["containers", "create", NAME, &container, "/file"]);
        let (mut pull, mut create) = (pull.spawn().unwrap(), create.spawn().unwrap());
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 12)).await;
        bench.real.kill();
        // They end by themselves, or with the connection; how is nobody's concern.
        for client in [&mut pull, &mut create] {
            client.kill().unwrap();
            client.wait().unwrap();
        }
    }
    bench.start().await.unwrap();
    bench.unpack();
    assert_eq!((bench.kept(), bench.told()), (vec![], String::new()));
}

/// A snapshot that containerd's database names, and its snapshotter does not: of a container it is lost; of a layer that was being
/// unpacked, it is what a crash leaves at the moment when the layer gets its final name.
#[tokio::test]
async fn a_layer_that_was_being_unpacked_is_no_damage() {
    for (key, lost) in [("extract-326964897-98S4 sha256:0", false), ("c1", true)] {
        let Some(mut bench) = Bench::new() else { return };
        bench.start().await.unwrap();
        bench.unpack();
        bench.real.kill();
        let database = bench.real.root().join(SNAPSHOTS).with_file_name("metadata.db");
        let before = fs::read(&database).unwrap();
        bench.start().await.unwrap();
        bench.real.ctr(&["snapshots", "prepare", key]);
        bench.real.kill();
        fs::write(&database, before).unwrap();
        bench.start().await.unwrap();
        bench.unpack();
        bench.real.kill();
        let kept = bench.kept();
        assert_eq!(kept.len(), usize::from(lost), "{key}: {kept:?}");
    }
}

#[tokio::test]
async fn a_store_that_never_was_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (store, events) = (Store::new(), Events::new());
    let (root, aside) = (folder.path().join("root"), folder.path().join("aside"));
    let repair = StoreRepair::new(&root, &aside, store.clone(), events.clone());
    repair.before_start().await;
    assert_eq!(store.get(NODE), Some(ContainerStoreStatus::default()));
    assert!(events.follow(None).try_next().is_none() && !aside.exists());
}
