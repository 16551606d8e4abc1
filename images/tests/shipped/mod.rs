//! What a release ships for its nodes is what is on its ESP, and a node can renew it there.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fat::{Change, Volume};
use firmware_files::{Difference, FILES, FOLDER, FirmwareFiles, Found, LIST, Listed, compare, faults};
use images::parts::BoardParts;
use images::tree::Node;
use medium::FileMedium;

use crate::bench::run;

fn file<'a>(parts: &'a BoardParts<'_>, path: &str) -> &'a [u8] {
    match parts.firmware.get(path.trim_start_matches('/')) {
        Some(Node::File { data, .. }) => data,
        _ => panic!("{path} is not shipped"),
    }
}

fn open(esp: &Path) -> FileMedium {
    FileMedium::new(File::options().read(true).write(true).open(esp).unwrap()).unwrap()
}

fn found(esp: &Path) -> Vec<Found> {
    let mut medium = open(esp);
    let mut volume = Volume::open(&mut medium).unwrap();
    let mut all = Vec::new();
    for file in volume.files().unwrap() {
        let mut data = Vec::new();
        volume.read(&file, |piece| data.extend_from_slice(piece)).unwrap();
        let Listed { path, size, sha256 } = Listed::of(&file.path, &data);
        let sha256 = Some(sha256);
        all.push(Found { path, size, sha256 });
    }
    all
}

/// Holds an ESP against what is shipped for it, then changes it as somebody might, and repairs it.
pub fn look(board: &str, parts: &BoardParts<'_>, esp: &Path) {
    let list = String::from_utf8(file(parts, &format!("{FOLDER}/{LIST}")).to_vec()).unwrap();
    let list = FirmwareFiles::parse(&list).unwrap();
    assert_eq!(compare(&list.files, &[], &found(esp)), [], "{board}");
    let shipped = |path: &str| file(parts, &format!("{FOLDER}/{FILES}/{path}"));
    for listed in &list.files {
        assert_eq!(
            *listed,
            Listed::of(&listed.path, shipped(&listed.path)),
            "{board}"
        );
    }

    // Firmware and what it is patched with belong together: they change by one write.
    // The root folder follows the tables, at the start.
    let mut image = vec![0; 2 << 20];
    File::open(esp).unwrap().read_exact(&mut image).unwrap();
    let sector = |short: &[u8]| {
        image
            .windows(11)
            .position(|window| window == short)
            .map(|at| at / 512)
    };
    for (one, other) in [(b"START   ELF", b"FIXUP   DAT"), (b"START4  ELF", b"FIXUP4  DAT")] {
        assert_eq!(sector(one), sector(other), "{board}");
    }

    let mut medium = open(esp);
    let changes = [
        Change::Put {
            path: "recovery.bin",
            data: b"a stranger",
        },
        Change::Put {
            path: &list.loader,
            data: b"another loader",
        },
    ];
    Volume::open(&mut medium).unwrap().apply(&changes).unwrap();
    let expected = [
        (list.loader.clone(), Difference::Changed),
        ("recovery.bin".to_owned(), Difference::Unknown),
    ];
    assert_eq!(compare(&list.files, &[], &found(esp)), expected, "{board}");
    let mut all: Vec<Change<'_>> = vec![Change::Remove { path: "recovery.bin" }];
    all.extend(list.files.iter().map(|listed| Change::Put {
        path: &listed.path,
        data: shipped(&listed.path),
    }));
    Volume::open(&mut medium).unwrap().apply(&all).unwrap();
    assert_eq!(
        compare(&list.files, &[], &found(esp)),
        [],
        "{board}: after a repair"
    );
    run("/usr/sbin/fsck.vfat", &["-n", esp.to_str().unwrap()]);

    if let Some(settings) = &list.settings {
        let own = shipped(&settings.path);
        for line in [
            "kernel=mine.img",
            "include more.txt",
            "os_prefix=other/",
            "enable_uart=0",
        ] {
            assert_eq!(faults(&list, own, &[line]).len(), 1, "{board}: {line}");
        }
        assert_eq!(
            faults(&list, own, &["dtparam=spi=on", "hdmi_group=1"]),
            [],
            "{board}"
        );
    }
}
