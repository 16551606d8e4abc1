//! Every board of this repository, made of its locked packages and taken apart with tools that are not ours.
//!
//! Programs of ours, initramfs and root are stand-ins: what is looked at is what the board alone decides.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod bench;
mod shipped;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use bench::{fetcher, flash, open, root, run};
use board::{Arch, Catalog, Selection};
use images::parts::{self, BoardParts};
use images::select;
use manifest::ImageName;
use signing::{Protection, SecretKey};

/// The requirements of a board's firmware for its image.
struct Facts {
    board: &'static str,
    /// What the board's device trees say of themselves.
    model: &'static str,
    /// Files on the ESP beside the loader.
    esp: &'static [&'static str],
    /// Where the first partition starts, in MiB.
    first_partition: u64,
    /// Set when a boot ROM of Rockchip's finds its boot code.
    rockchip: bool,
    hybrid_mbr: bool,
    /// Where its firmware, which can try files, has its mailbox.
    mailbox: Option<u64>,
}

const PI_3: &[&str] = &[
    "bcm2837-rpi-3-a-plus.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-cm3-io3.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
    "bootcode.bin",
    "config.txt",
    "fixup.dat",
    "start.elf",
    "u-boot.bin",
];
const PI_4: &[&str] = &[
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-cm4-io.dtb",
    "config.txt",
    "fixup4.dat",
    "start4.elf",
    "u-boot.bin",
];
const PI_5: &[&str] = &[
    "bcm2712-d-rpi-5-b.dtb",
    "bcm2712-rpi-5-b.dtb",
    "config.txt",
    "u-boot.bin",
];

const fn facts(board: &'static str, model: &'static str) -> Facts {
    Facts {
        board,
        model,
        esp: &[],
        first_partition: 1,
        rockchip: false,
        hybrid_mbr: false,
        mailbox: None,
    }
}

const fn rockchip(board: &'static str, model: &'static str) -> Facts {
    Facts {
        first_partition: 16,
        rockchip: true,
        ..facts(board, model)
    }
}

/// A board that is not here fails the test: whoever adds one says what its firmware wants.
const BOARDS: &[Facts] = &[
    facts("generic-amd64", ""),
    facts("generic-arm64", ""),
    facts("openstack-amd64", ""),
    facts("qemu-arm64", ""),
    Facts {
        esp: PI_3,
        hybrid_mbr: true,
        ..facts("rpi3", "Raspberry Pi")
    },
    Facts {
        esp: PI_4,
        mailbox: Some(0xfe00_b880),
        ..facts("rpi4", "Raspberry Pi")
    },
    Facts {
        esp: PI_5,
        mailbox: Some(0x10_7c01_3880),
        ..facts("rpi5", "Raspberry Pi 5")
    },
    rockchip("rock-pi-4", "Radxa ROCK Pi 4"),
    rockchip("rock-4se", "Radxa ROCK 4SE"),
    rockchip("rockpro64", "Pine64 RockPro64"),
    rockchip("rock64", "Pine64 Rock64"),
    rockchip("rock-pi-e", "Radxa ROCK Pi E"),
    Facts {
        rockchip: false,
        ..rockchip("rock-5b", "Radxa ROCK 5")
    },
    facts("jetson-nano", "NVIDIA Jetson Nano"),
    facts("jetson-orin-nano", "NVIDIA Jetson Orin Nano"),
    facts("jetson-agx-orin", "NVIDIA Jetson AGX Orin"),
];

/// Decodes what Rockchip's boot ROM decodes: RC4 with the key that is in every ROM of theirs.
fn rc4(data: &[u8]) -> Vec<u8> {
    const KEY: [u8; 16] = [124, 78, 3, 4, 85, 5, 9, 7, 45, 44, 123, 56, 23, 13, 23, 17];
    let mut state: Vec<u8> = (0..=255).collect();
    let mut j = 0_usize;
    for i in 0..256 {
        j = (j + usize::from(state[i]) + usize::from(KEY[i % 16])) % 256;
        state.swap(i, j);
    }
    let (mut i, mut j) = (0_usize, 0_usize);
    let next = |byte: &u8| {
        i = (i + 1) % 256;
        j = (j + usize::from(state[i])) % 256;
        state.swap(i, j);
        byte ^ state[(usize::from(state[i]) + usize::from(state[j])) % 256]
    };
    data.iter().map(next).collect()
}

fn look(facts: &Facts, selection: &Selection, parts: &BoardParts<'_>, disk: &Path) {
    let board = facts.board;
    let disk_path = disk.to_str().unwrap();
    let said = run("/usr/sbin/sgdisk", &["-v", disk_path]);
    assert!(said.contains("No problems found"), "{board}: {said}");
    let first = run("/usr/sbin/sgdisk", &["-i", "1", disk_path]);
    let start = format!("First sector: {} ", facts.first_partition * 2048);
    assert!(first.contains(&start), "{board}: {first}");
    // An entry of the MBR's own that shows the ESP to a ROM that reads no GPT.
    let mut mbr = [0; 512];
    let mut file = File::open(disk).unwrap();
    file.read_exact(&mut mbr).unwrap();
    let fat = (0..4).any(|entry| matches!(mbr[446 + entry * 16 + 4], 0x0c | 0x0e));
    assert_eq!(fat, facts.hybrid_mbr, "{board}: the MBR shows a FAT partition");

    let esp = disk.with_extension("esp");
    fs::write(&esp, &parts.esp.image).unwrap();
    let esp_path = esp.to_str().unwrap();
    run("/usr/sbin/fsck.vfat", &["-n", esp_path]);
    let listed = run("mdir", &["-/", "-b", "-i", esp_path, "::"]);
    let loader = format!("EFI/BOOT/{}", selection.board.arch.efi_default());
    let listed: BTreeSet<&str> = listed
        .lines()
        .map(|line| line.trim_start_matches("::/"))
        .filter(|name| !name.is_empty() && !name.ends_with('/'))
        .collect();
    let settings = selection.board.esp.firmware_config.as_ref();
    let expected = facts.esp.iter().copied().chain([loader.as_str()]);
    let expected = expected.chain(settings.map(|_| firmware_files::SETTINGS));
    assert_eq!(listed, expected.collect(), "{board}: files on the ESP");

    let trial = selection.board.esp.firmware_trial.as_ref();
    assert_eq!(
        trial.is_some(),
        facts.mailbox.is_some(),
        "{board}: firmware that tries files"
    );
    let named = trial.iter().flat_map(|trial| trial.named.keys());
    for path in named.map(|path| path.relative()) {
        assert!(listed.contains(path), "{board}: {path} is named for trials");
    }
    // The firmware hands one of these trees to the loader.
    for name in listed
        .iter()
        .filter(|name| trial.is_some() && name.ends_with(".dtb"))
    {
        let tree = disk.with_extension("dtb");
        let from = format!("::/{name}");
        run("mcopy", &["-o", "-i", esp_path, &from, tree.to_str().unwrap()]);
        let mailbox = trial.map_or("", |trial| trial.mailbox.as_str());
        let found = bootloader_core::device_tree::registers(&fs::read(tree).unwrap(), mailbox);
        assert_eq!(found, facts.mailbox, "{board}: {name}");
    }

    shipped::look(board, parts, &esp);

    for tree in &parts.device_trees {
        let dtb = disk.with_extension("dtb");
        fs::write(&dtb, &tree.data).unwrap();
        let source = run("dtc", &["-q", "-I", "dtb", "-O", "dts", dtb.to_str().unwrap()]);
        let model = format!("model = \"{}", facts.model);
        assert!(source.contains(&model), "{board}: {} is not for it", tree.name);
    }
    assert_eq!(parts.device_trees.is_empty(), facts.model.is_empty(), "{board}");

    assert_eq!(parts.boot_code.is_some(), facts.rockchip, "{board}: boot code");
    if facts.rockchip {
        // The ROM looks for its magic at 32 KiB, and the loader that it starts looks for U-Boot at 8 MiB.
        let mut at = |offset: u64, len: usize| {
            let mut bytes = vec![0; len];
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.read_exact(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(rc4(&at(32 << 10, 4)), 0x0ff0_aa55_u32.to_le_bytes(), "{board}");
        assert_eq!(
            at(8 << 20, 4),
            0xd00d_feed_u32.to_be_bytes(),
            "{board}: a FIT image"
        );
    }
}

#[test]
fn every_board_is_what_its_firmware_wants() {
    let catalog = Catalog::load(&[root()]).unwrap();
    let mut groups: BTreeMap<(Arch, String), Vec<Selection>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for board in catalog.boards() {
        let selection = catalog.select(board.name.as_str(), &[]).unwrap();
        names.insert(selection.board.name.to_string());
        let kernel = format!("{:?}", selection.board.kernel);
        let group = groups.entry((selection.board.arch, kernel)).or_default();
        group.push(selection);
    }
    let known = BOARDS.iter().map(|facts| facts.board.to_owned());
    assert_eq!(names, known.collect(), "the boards that this test knows");

    let keys = tempfile::tempdir().unwrap();
    let (secret, _) = signing::create(keys.path(), "test", Protection::None).unwrap();
    let key = SecretKey::load(&secret, || None).unwrap();
    let mut fetcher = fetcher();
    for ((arch, _), boards) in groups {
        let inputs = open(&boards, &boards[0].board.kernel, arch, &mut fetcher);
        for selection in boards {
            let name = selection.board.name.as_str();
            let facts = BOARDS.iter().find(|facts| facts.board == name).unwrap();
            let parts = parts::make(&selection, &inputs, b"stand-in".to_vec()).unwrap();
            // Firmware that drivers load is in the root; every file that the board names must be there.
            select::root(&selection.features, &inputs.packages, arch).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let disk = flash(&selection, &parts, &key, folder.path());
            look(facts, &selection, &parts, &disk);
            if let Some(code) = &parts.boot_code {
                let offset = selection.board.boot_code.as_ref().unwrap().offset.0;
                assert!(offset + code.len() as u64 <= selection.board.disk.first_partition.0);
            }
        }
    }
    assert_eq!(
        fetcher.notes(),
        [] as [&str; 0],
        "every package is the locked one"
    );
}

/// What an overlay of a package does to the trees is what dtc's own tool makes of them.
#[test]
fn an_overlay_from_a_package_changes_the_trees_of_its_board() {
    let catalog = Catalog::load(&[root()]).unwrap();
    let plain = catalog.select("rpi4", &[]).unwrap();
    let mut fetcher = fetcher();
    let inputs = open(
        std::slice::from_ref(&plain),
        &plain.board.kernel,
        Arch::Arm64,
        &mut fetcher,
    );
    let loader = || b"stand-in".to_vec();
    let before = parts::make(&plain, &inputs, loader()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, data: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (overlay, sign) in [
        ("rpi-poe-plus-hat", "raspberrypi,firmware-poe-pwm"),
        ("rpi4-spi", "spidev@1"),
    ] {
        let changed = catalog.select("rpi4", &[overlay.to_owned()]).unwrap();
        let own = &changed.features.device_tree_overlays[0];
        let packaged = &inputs.packages[own.package.as_ref().unwrap().as_str()];
        let (_, packaged) = packaged
            .iter()
            .find(|(path, _)| own.file.as_ref().unwrap().matches(path))
            .unwrap();
        let images::tree::Node::File { data, .. } = packaged else {
            panic!("{overlay} is no file")
        };
        let dtbo = file("overlay.dtbo", data);
        let after = parts::make(&changed, &inputs, loader()).unwrap();
        for (tree, base) in after.device_trees.iter().zip(&before.device_trees) {
            let expected = folder.path().join("expected.dtb").to_str().unwrap().to_owned();
            let base = file("base.dtb", &base.data);
            run("fdtoverlay", &["-i", &base, "-o", &expected, &dtbo]);
            let source = |path: &str| run("dtc", &["-q", "-s", "-I", "dtb", "-O", "dts", path]);
            let made = source(&file("made.dtb", &tree.data));
            assert_eq!(made, source(&expected), "{overlay} on {}", tree.name);
            assert!(made.contains(sign), "{overlay} on {}", tree.name);
        }
    }
}

/// Whoever has another board needs no Rust: one YAML file in a folder of their own.
#[test]
fn a_board_of_ones_own_is_one_file() {
    let own = tempfile::tempdir().unwrap();
    fs::create_dir(own.path().join("boards")).unwrap();
    let text = "apiVersion: bedplate.dev/v1alpha1\nkind: Board\nname: nanopc-t4\ndescription: FriendlyElec NanoPC-T4.
inherit: rk3399\ndeviceTrees: {files: [rockchip/rk3399-nanopc-t4.dtb], default: rk3399-nanopc-t4.dtb}
bootCode: {package: u-boot-rockchip, file: /usr/lib/u-boot/nanopc-t4-rk3399/u-boot-rockchip.bin, offset: 32KiB}\n";
    fs::write(own.path().join("boards/nanopc-t4.yaml"), text).unwrap();
    let catalog = Catalog::load(&[root(), own.path().to_owned()]).unwrap();
    let selection = catalog.select("nanopc-t4", &[]).unwrap();
    let mut fetcher = fetcher();
    let kernel = selection.board.kernel.clone();
    let inputs = open(
        std::slice::from_ref(&selection),
        &kernel,
        Arch::Arm64,
        &mut fetcher,
    );
    let parts = parts::make(&selection, &inputs, b"stand-in".to_vec()).unwrap();
    let key = tempfile::tempdir().unwrap();
    let (secret, _) = signing::create(key.path(), "test", Protection::None).unwrap();
    let key = SecretKey::load(&secret, || None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = flash(&selection, &parts, &key, folder.path());
    let facts = rockchip("nanopc-t4", "FriendlyElec NanoPC-T4");
    look(&facts, &selection, &parts, &disk);
    let manifest = fs::read(folder.path().join("bedplate-nanopc-t4-1.2.3.manifest.json")).unwrap();
    let manifest = manifest::Manifest::parse_unverified(&manifest).unwrap();
    assert_eq!(
        manifest.image(ImageName::BOOTCODE).unwrap().offset,
        Some(32 << 10)
    );
}
