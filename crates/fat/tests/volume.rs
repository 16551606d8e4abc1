//! Volumes that other people's tools made, and what those tools make of ours.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::collections::BTreeMap;
use std::io::Cursor;

use fat::{Change, Error, Volume};
use medium::Medium;
use proptest::prelude::*;
use support::{Made, bytes, contents, run};

fn put<'a>(path: &'a str, data: &'a [u8]) -> Change<'a> {
    Change::Put { path, data }
}

#[test]
fn what_mtools_wrote_is_read_and_what_we_write_they_read() {
    let made = Made::new(40_000, 1);
    let files = [
        ("config.txt", bytes(100, 1)),
        ("bcm2711-rpi-4-b.dtb", bytes(50_001, 2)),
        ("EFI/BOOT/BOOTAA64.EFI", bytes(300_000, 3)),
        ("UPPER.BIN", Vec::new()),
    ];
    for (path, data) in &files {
        made.copy_in(path, data);
    }
    let expected: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|(path, data)| ((*path).to_owned(), data.clone()))
        .collect();
    assert_eq!(contents(&mut made.open()).unwrap(), expected);

    let (loader, tree, text) = (bytes(512_000, 7), bytes(1, 8), bytes(2000, 9));
    let changes = [
        put("overlays/deep/er/poe-plus-hat.dtbo", &text),
        put("bcm2711-rpi-4-b.dtb", &tree),
        put("start4.elf", &text),
        Change::Remove { path: "UPPER.BIN" },
        Change::Remove { path: "never-there" },
        put("efi/boot/bootaa64.efi", &loader),
    ];
    let mut medium = made.open();
    Volume::open(&mut medium).unwrap().apply(&changes).unwrap();
    made.check();
    for (path, data) in [
        ("overlays/deep/er/poe-plus-hat.dtbo", &text),
        ("bcm2711-rpi-4-b.dtb", &tree),
        ("start4.elf", &text),
        ("EFI/BOOT/BOOTAA64.EFI", &loader),
        ("config.txt", &files[0].1),
    ] {
        assert_eq!(made.copy_out(path), *data, "{path}");
    }
    let listed = run("mdir", &["-/", "-b", "-i", made.image(), "::"]);
    assert!(!listed.contains("UPPER"), "{listed}");
    assert!(
        listed.contains("::/EFI/BOOT/BOOTAA64.EFI"),
        "the old name stays: {listed}"
    );
    // The same once more changes nothing.
    let before = std::fs::read(&made.path).unwrap();
    Volume::open(&mut medium).unwrap().apply(&[]).unwrap();
    assert!(std::fs::read(&made.path).unwrap() == before);
}

#[test]
fn a_folder_that_is_full_grows() {
    let made = Made::new(40_000, 1);
    let names: Vec<String> = (0..70)
        .map(|number| format!("overlay-number-{number}.dtbo"))
        .collect();
    let data = bytes(700, 1);
    let changes: Vec<Change<'_>> = names.iter().map(|name| put(name, &data)).collect();
    for half in changes.chunks(35) {
        Volume::open(&mut made.open()).unwrap().apply(half).unwrap();
        made.check();
    }
    let all = contents(&mut made.open()).unwrap();
    assert_eq!(all.len(), names.len());
    assert!(names.iter().all(|name| made.copy_out(name) == data));
}

#[test]
fn a_volume_of_another_crate_is_read_and_changed() {
    let mut disk = Cursor::new(vec![0; 80 << 20]);
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .bytes_per_cluster(1024);
    fatfs::format_volume(&mut disk, options).unwrap();
    let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
    let mut file = volume.root_dir().create_file("start.elf").unwrap();
    std::io::Write::write_all(&mut file, b"old").unwrap();
    drop(file);
    volume.unmount().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("esp.img");
    std::fs::write(&path, disk.into_inner()).unwrap();
    let mut medium = support::open(&path);
    Volume::open(&mut medium)
        .unwrap()
        .apply(&[put("start.elf", b"new!"), put("x/y", b"z")])
        .unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let volume = fatfs::FileSystem::new(support_rw(file), fatfs::FsOptions::new()).unwrap();
    for (path, expected) in [("start.elf", "new!"), ("x/y", "z")] {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut volume.root_dir().open_file(path).unwrap(), &mut text).unwrap();
        assert_eq!(text, expected, "{path}");
    }
}

/// fatfs wants something to write to; nothing is written.
fn support_rw(mut file: std::fs::File) -> Cursor<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    Cursor::new(bytes)
}

#[test]
fn what_does_not_fit_or_cannot_be_a_name_changes_nothing() {
    let made = Made::new(40_000, 1);
    made.copy_in("start.elf", &bytes(20_000_000, 1));
    let before = std::fs::read(&made.path).unwrap();
    let large = bytes(22_000_000, 2);
    let refused = |changes: &[Change<'_>]| {
        Volume::open(&mut made.open())
            .unwrap()
            .apply(changes)
            .unwrap_err()
    };
    assert!(matches!(refused(&[put("start.elf", &large)]), Error::Full { .. }));
    for path in ["", "/a", "a//b", "a/../b", "a:b", "dot.", "ü"] {
        assert!(
            matches!(refused(&[put(path, b"x")]), Error::Path { .. }),
            "{path:?}"
        );
    }
    assert!(std::fs::read(&made.path).unwrap() == before);
    let error = refused(&[put("start.elf/below", b"x")]).to_string();
    assert!(error.contains("start.elf"), "{error}");
    made.check();
}

/// A medium that returns something else than what was written to it.
struct Forgetful(medium::FileMedium, bool);

impl Medium for Forgetful {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, out)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        // Cells that no longer take anything: the first block of new data is lost.
        if std::mem::replace(&mut self.1, false) {
            return Ok(());
        }
        self.0.write_at(offset, bytes)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }
    fn drop_cache(&mut self) -> std::io::Result<()> {
        self.0.drop_cache()
    }
}

#[test]
fn a_medium_that_forgets_is_noticed_before_the_old_file_is_given_up() {
    let made = Made::new(40_000, 1);
    made.copy_in("u-boot.bin", b"old");
    let mut medium = Forgetful(made.open(), true);
    let error = Volume::open(&mut medium)
        .unwrap()
        .apply(&[put("u-boot.bin", b"new")])
        .unwrap_err();
    assert!(
        matches!(&error, Error::ReadBack { path } if path == "u-boot.bin"),
        "{error}"
    );
    assert_eq!(made.copy_out("u-boot.bin"), b"old");
    // The next attempt succeeds, and nothing is left behind.
    Volume::open(&mut medium)
        .unwrap()
        .apply(&[put("u-boot.bin", b"new")])
        .unwrap();
    assert_eq!(made.copy_out("u-boot.bin"), b"new");
    made.check();
}

#[test]
fn other_file_systems_and_damaged_folders_are_refused_by_name() {
    let made = Made::new(40_000, 1);
    made.copy_in("EFI/BOOT/BOOTX64.EFI", &bytes(5000, 1));
    let image = std::fs::read(&made.path).unwrap();
    let opened = |image: &[u8]| {
        std::fs::write(&made.path, image).unwrap();
        contents(&mut made.open()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(opened(&vec![0; 4096]).contains("no boot sector"));
    // The folder EFI is the first to take a cluster after the root: its chain now is a loop.
    let table = 32 * 512;
    let mut looped = image.clone();
    looped[table + 12..table + 16].copy_from_slice(&3u32.to_le_bytes());
    let error = opened(&looped);
    assert!(error.contains("damaged") && error.contains("/EFI"), "{error}");
    run(
        "mkfs.vfat",
        &["-F", "16", "-C", &format!("{}.16", made.image()), "16384"],
    );
    let sixteen = std::fs::read(format!("{}.16", made.image())).unwrap();
    assert!(opened(&sixteen).contains("another kind of FAT"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a power cut or an attacker left in tables and folders: reading ends, and so does repairing.
    #[test]
    fn a_garbled_volume_never_panics(flips in proptest::collection::vec((0usize..60_000, any::<u8>()), 1..60)) {
        let mut image = prepared();
        for (at, value) in flips {
            image[at] = value;
        }
        let mut medium = powercut::Recorder::new(powercut::Image::new(image.len() as u64, 0));
        medium.write_at(0, &image).unwrap();
        let _ = contents(&mut medium);
        if let Ok(mut volume) = Volume::open(&mut medium)
            && volume.apply(&[put("EFI/BOOT/BOOTAA64.EFI", &[7; 3000])]).is_ok()
        {
            let all = contents_of_sound(&mut medium);
            prop_assert_eq!(all.get("EFI/BOOT/BOOTAA64.EFI").map(Vec::len), Some(3000));
        }
    }
}

fn contents_of_sound(medium: &mut dyn Medium) -> BTreeMap<String, Vec<u8>> {
    let mut volume = Volume::open(medium).unwrap();
    let mut all = BTreeMap::new();
    for file in volume.files().unwrap() {
        let mut data = Vec::new();
        if volume.read(&file, |piece| data.extend_from_slice(piece)).is_ok() {
            all.insert(file.path.to_ascii_uppercase(), data);
        }
    }
    all
}

/// A volume with a few files, made once.
fn prepared() -> Vec<u8> {
    static IMAGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    IMAGE
        .get_or_init(|| {
            let made = Made::new(1024, 1);
            made.put_in("EFI/BOOT/BOOTAA64.EFI", &bytes(5000, 1));
            made.put_in("config.txt", &bytes(700, 2));
            made.put_in("start-with-a-long-name.elf", &bytes(9000, 3));
            std::fs::read(&made.path).unwrap()
        })
        .clone()
}
