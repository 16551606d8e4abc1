//! Packages from further suites and from a folder of one's own: locked, and found again by the lock.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use board::{Arch, Catalog};
use images::inputs;
use images::packages::fetch::{FetchError, Fetcher, Sources};
use images::packages::fetched::Fetched;
use images::packages::kept::Kept;
use images::packages::lock::Lock;
use images::packages::mirror::{Mirror, MirrorError};
use support::{Archives, good, said};

const FILES: &str = "esp: {packages: [{name: firmware, suite: forky}]}\n";

/// Lays out an archive of two suites, and a tree with a board on a kernel of the second and one on a kernel of its own.
fn tree(archives: &Archives) {
    let base: Vec<(&str, &str, &str)> = images::erofs::PACKAGES
        .iter()
        .map(|name| (*name, "1", ""))
        .collect();
    let mut trixie = base.clone();
    trixie.extend([
        ("linux-image-arm64", "6", "depends on linux-image-6-arm64"),
        ("linux-image-6-arm64", "6", ""),
        ("firmware", "1", "old"),
    ]);
    archives.lay_out("now", &trixie);
    let forky = [
        (
            "linux-image-arm64",
            "7",
            "depends on linux-image-7-arm64, linux-base-arm64",
        ),
        (
            "linux-image-7-arm64",
            "7",
            "depends on linux-binary-7-arm64, linux-modules-7-arm64, kmod",
        ),
        ("linux-binary-7-arm64", "7", ""),
        ("linux-modules-7-arm64", "7", ""),
        ("firmware", "2", "new"),
    ];
    archives.add_suite("now", "forky", &forky);
    for (name, rest) in [
        (
            "arm",
            "abstract: true\narch: arm64\nkernel: {package: linux-image-arm64}\n".to_owned(),
        ),
        ("old", "inherit: arm\n".to_owned()),
        (
            "new",
            format!("inherit: arm\nkernel: {{package: linux-image-arm64, suite: forky}}\n{FILES}"),
        ),
        (
            "own",
            "inherit: arm\nkernel: {package: linux-image-9-own, from: own}\n".to_owned(),
        ),
    ] {
        let text = format!(
            "apiVersion: bedplate.dev/v1alpha1\nkind: Board\nname: {name}\ndescription: test\n{rest}"
        );
        fs::create_dir_all(archives.path("tree/boards/own")).unwrap();
        fs::create_dir_all(archives.path("tree/overlays")).unwrap();
        fs::write(archives.path(&format!("tree/boards/{name}.yaml")), text).unwrap();
    }
    put_own(archives, "our kernel");
}

fn put_own(archives: &Archives, content: &str) {
    let deb = archives.deb("linux-image-9-own", "9", content);
    fs::copy(deb, archives.path("tree/boards/own/kernel.deb")).unwrap();
}

/// Updates the lock.
fn lock(archives: &Archives) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bedplate-image"));
    program.arg("lock").arg("--tree").arg(archives.path("tree"));
    program.arg("--lock").arg(archives.path("new.lock.yaml"));
    program.arg("--keyring").arg(archives.path("keyring.gpg"));
    program.arg("--cache").arg(archives.path("cache"));
    program.args(["--mirror", &archives.url("now")]);
    let program = program.env_remove("BEDPLATE_SNAPSHOT").stdin(Stdio::null());
    program.output().unwrap()
}

/// Fetches what a board needs by the lock, as a build does.
fn fetch(archives: &Archives, board: &str, cache: &Path) -> Result<(Vec<String>, Vec<Fetched>), FetchError> {
    let catalog = Catalog::load(&[archives.path("tree")]).unwrap();
    let selection = catalog.select(board, &[]).unwrap();
    let folders: Vec<_> = catalog.kernel_folders().collect();
    let none = || MirrorError::None {
        folder: "unused".into(),
    };
    let sources = Sources {
        mirror: Box::new(move || Err::<Mirror, _>(none())),
        snapshot: None,
        kept: Kept::open(&folders).unwrap(),
        allow_changed: Vec::new(),
    };
    let lock = Lock::load(&archives.path("new.lock.yaml")).unwrap();
    let mut fetcher = Fetcher::new(cache, lock, sources);
    let kernel = fetcher.kernel(&selection.board.kernel, Arch::Arm64)?;
    let names = kernel.iter().map(|part| part.name.clone()).collect();
    let wanted: Vec<_> = inputs::wanted(&selection)
        .unwrap()
        .into_iter()
        .chain(kernel)
        .collect();
    let fetched = fetcher.fetch(&wanted, Arch::Arm64)?;
    assert!(fetcher.notes().is_empty());
    Ok((names, fetched))
}

#[test]
fn packages_of_further_suites_and_folders_are_locked_and_found_again() {
    let Some(archives) = Archives::new() else { return };
    tree(&archives);
    good(&lock(&archives));
    let cache = archives.path("cache");
    let (kernel, fetched) = fetch(&archives, "new", &cache).unwrap();
    assert_eq!(kernel, ["linux-binary-7-arm64", "linux-modules-7-arm64"]);
    let firmware = fetched.iter().find(|package| package.name == "firmware").unwrap();
    assert_eq!(
        (
            firmware.version.as_str(),
            firmware.suite.as_ref().unwrap().as_str()
        ),
        ("2", "forky")
    );
    assert_eq!(
        fetch(&archives, "old", &cache).unwrap().0,
        ["linux-image-6-arm64"]
    );

    // A kernel of one's own needs neither cache nor mirror: its folder has it, as long as it is the locked one.
    let empty = archives.path("empty");
    let (kernel, fetched) = fetch(&archives, "own", &empty).unwrap();
    assert_eq!(kernel, ["linux-image-9-own"]);
    assert_eq!(fetched[0].version, "9");
    put_own(&archives, "another kernel");
    let error = fetch(&archives, "own", &empty).unwrap_err();
    assert!(matches!(error, FetchError::NotInFolder { .. }), "{error}");
    assert!(error.to_string().contains("bedplate-image lock"), "{error}");
    good(&lock(&archives));
    assert!(fetch(&archives, "own", &empty).is_ok());
}

#[test]
fn a_package_of_two_suites_and_a_folder_without_the_package_are_refused() {
    let Some(archives) = Archives::new() else { return };
    tree(&archives);
    let old = archives.path("tree/boards/old.yaml");
    let text = fs::read_to_string(&old).unwrap();
    fs::write(&old, text.clone() + &FILES.replace(", suite: forky", "")).unwrap();
    let refused = lock(&archives);
    assert!(
        said(&refused).contains("\"firmware\" is asked for from"),
        "{}",
        said(&refused)
    );
    fs::write(&old, text).unwrap();

    fs::remove_file(archives.path("tree/boards/own/kernel.deb")).unwrap();
    fs::copy(
        archives.deb("other", "1", ""),
        archives.path("tree/boards/own/other.deb"),
    )
    .unwrap();
    let refused = lock(&archives);
    assert!(said(&refused).contains("there: other all"), "{}", said(&refused));
}
