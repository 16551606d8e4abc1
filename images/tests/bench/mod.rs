//! Makes a board's own parts of its locked packages, and flashes a file with them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use board::{Arch, Kernel, Selection};
use flash_tool::watch::Silent;
use flash_tool::{BundleFacts, Options};
use images::inputs::{self, Inputs, KernelFiles};
use images::packages::deb::Files;
use images::packages::fetch::{Fetcher, Sources};
use images::packages::kept::Kept;
use images::packages::lock::Lock;
use images::packages::mirror::Mirror;
use images::packages::wanted::WantedSet;
use images::parts::BoardParts;
use images::process;
use images::publish::{self, Contents};
use images::report::Progress;
use images::request::Request;
use images::slot::{self, Content};
use layout::Guids;
use manifest::PartKind;
use medium::FileMedium;
use signing::SecretKey;

/// Returns the folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cache() -> PathBuf {
    let given = std::env::var_os("BEDPLATE_CACHE").map(PathBuf::from);
    let home = || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/bedplate");
    given.unwrap_or_else(home)
}

/// Makes a fetcher that keeps to the lock, with the cache that builds use.
pub fn fetcher() -> Fetcher {
    let sources = Sources {
        mirror: Box::new(|| match std::env::var("BEDPLATE_MIRROR") {
            Ok(url) => Mirror::named(&url, None),
            Err(_) => Mirror::from_host(Path::new("/etc/apt"), None),
        }),
        snapshot: None,
        kept: Kept::default(),
        allow_changed: Vec::new(),
    };
    let lock = Lock::load(&root().join("images/packages.lock.yaml")).unwrap();
    Fetcher::new(&cache(), lock, sources)
}

/// Opens the packages of boards that have one kernel, once for all of them.
pub fn open(boards: &[Selection], kernel: &Kernel, arch: Arch, fetcher: &mut Fetcher) -> Inputs {
    let kernel = fetcher.kernel(kernel, arch).unwrap();
    let mut set = WantedSet::default();
    for package in boards.iter().flat_map(|board| inputs::wanted(board).unwrap()) {
        set.add(package).unwrap();
    }
    for package in &kernel {
        set.add(package.clone()).unwrap();
    }
    let fetched = fetcher.fetch(&set.into_vec(), arch).unwrap();
    let mut packages = inputs::open(&fetched).unwrap();
    let mut files = Files::new();
    for part in &kernel {
        files.extend(packages.remove(&part.name).unwrap());
    }
    let packages_of_kernel = kernel.into_iter().map(|part| part.name).collect();
    Inputs {
        kernel: KernelFiles {
            packages: packages_of_kernel,
            files,
        },
        packages,
        fetched,
    }
}

/// Publishes a board's own parts with a small stand-in for the rest, and flashes a file with them.
pub fn flash(selection: &Selection, parts: &BoardParts<'_>, key: &SecretKey, folder: &Path) -> PathBuf {
    let stand_in = |kind, name: &str| Content {
        kind,
        name: name.into(),
        data: vec![1; 4096],
    };
    let mut contents = vec![
        stand_in(PartKind::Kernel, "vmlinuz"),
        stand_in(PartKind::Initramfs, "initramfs.cpio"),
    ];
    contents.extend(parts.device_trees.iter().map(|tree| Content {
        kind: tree.kind,
        name: tree.name.clone(),
        data: tree.data.clone(),
    }));
    contents.push(stand_in(PartKind::Root, "root.erofs"));
    let slot = slot::assemble(contents, selection.board.disk.slot_size.0).unwrap();
    let request = Request {
        selection,
        version: "1.2.3".parse().unwrap(),
        keys: std::slice::from_ref(key),
        trust: &[],
        floor: Default::default(),
        binaries: Path::new("unused"),
        cache: folder,
        out: folder,
        created: 1_700_000_000,
        patch_from: &[],
        kubernetes: None,
        containers: &[],
        disk_images: &[],
    };
    let contents = Contents {
        slot: &slot,
        esp: &parts.esp,
        boot_code: parts.boot_code.as_deref(),
        locked: true,
    };
    let (bundle, _) = publish::write(&request, &contents, &mut [], &Progress::new(true)).unwrap();
    let file = BufReader::new(File::open(&bundle).unwrap());
    let mut reader = bundle::Reader::open(file, &[key.public()]).unwrap();
    let facts = BundleFacts::of(&reader);
    let size = facts.least().unwrap();
    let options = Options {
        guids: Guids::from_seed(&facts.manifest().id().0),
        config: None,
        discard: false,
    };
    let plan = flash_tool::plan(&facts, size, options).unwrap();
    let disk = bundle.with_extension("img");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&disk)
        .unwrap();
    file.set_len(size).unwrap();
    flash_tool::apply(
        &plan,
        &mut reader,
        &mut FileMedium::new(file).unwrap(),
        &mut Silent,
    )
    .unwrap();
    disk
}

/// Runs a program that must succeed, and returns its output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    process::output(Command::new(program).args(arguments)).unwrap()
}
