//! What is on a disk, by file systems that their own tools make, and by nodes that this tool flashes.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use flash_tool::contents::{Contents, Release};
use flash_tool::host::Partition;
use support::{CONFIG, MIB, Recipe, sample};

/// A program, its arguments before the file, and what is recognised afterwards. Only the first three are on every machine.
const MADE: &[(&str, &[&str], &str)] = &[
    ("mkfs.ext4", &["-q", "-F", "-L", "photos"], "ext4 \"photos\""),
    ("mkfs.vfat", &["-n", "BOOTFS"], "FAT \"BOOTFS\""),
    ("mkswap", &["-q", "-L", "spare"], "swap \"spare\""),
    ("mkfs.ext2", &["-q", "-F"], "ext2 or ext3"),
    ("mkfs.vfat", &["-F", "16"], "FAT"),
    ("mkfs.xfs", &["-q", "-f", "-L", "big"], "XFS \"big\""),
    ("mkfs.btrfs", &["-q", "-f", "-L", "tree"], "Btrfs \"tree\""),
    ("mkfs.f2fs", &["-q", "-f"], "F2FS"),
    ("mkfs.exfat", &[], "exFAT"),
    ("mkfs.ntfs", &["-q", "-F"], "NTFS"),
    ("mkfs.erofs", &[], "EROFS"),
    (
        "cryptsetup",
        &[
            "luksFormat",
            "-q",
            "--pbkdf-force-iterations=4",
            "--pbkdf-memory=32",
            "--key-file=/etc/hostname",
        ],
        "LUKS",
    ),
];
const SIZE: u64 = 384 * MIB;

fn blank(path: &Path) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.set_len(SIZE).unwrap();
    file
}

fn contents(file: &File, partitions: &[Partition]) -> Contents {
    Contents::read(file, file.metadata().unwrap().len(), partitions, &[]).unwrap()
}

#[test]
fn what_other_tools_make_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    for (index, (program, arguments, expected)) in MADE.iter().enumerate() {
        let file = blank(&path);
        let mut command = Command::new(program);
        command.args(*arguments).arg(&path);
        if *program == "mkfs.erofs" {
            let source = folder.path().join("source");
            fs::create_dir_all(&source).unwrap();
            command.arg(source);
        }
        let output = match command.output() {
            Err(error) if index > 2 && error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: no {program} here");
                continue;
            }
            output => output.unwrap(),
        };
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found = contents(&file, &[]);
        assert_eq!(found.to_string(), *expected, "{program}");
    }
}

#[test]
fn each_partition_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (path, inner) = (folder.path().join("disk"), folder.path().join("inner"));
    blank(&inner);
    assert!(
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-L", "home"])
            .arg(&inner)
            .status()
            .unwrap()
            .success()
    );
    let disk = blank(&path);
    disk.set_len(SIZE + 2 * MIB).unwrap();
    disk.write_all_at(&fs::read(&inner).unwrap(), MIB).unwrap();
    // A partition table of a PC with one Linux partition.
    let mut sector = [0_u8; 512];
    sector[446 + 4] = 0x83;
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all_at(&sector, 0).unwrap();
    let partitions = [
        Partition {
            name: "sdx1".into(),
            start: MIB,
            size: SIZE,
        },
        Partition {
            name: "sdx2".into(),
            start: MIB + SIZE,
            size: MIB,
        },
    ];
    let found = contents(&disk, &partitions);
    assert_eq!(found.to_string(), "MBR, ext4 \"home\"");
    assert_eq!(found.partitions.len(), 1, "{found:?}");
    assert!(contents(&blank(&path), &[]).is_empty());
}

#[test]
fn a_node_is_named_with_the_release_that_a_key_signed() {
    let sample = sample(&Recipe::default());
    let folder = tempfile::tempdir().unwrap();
    let (disk, config) = (folder.path().join("disk"), folder.path().join("config.yaml"));
    fs::write(&config, CONFIG).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bedplate-flash"))
        .arg("--key")
        .arg(&sample.key_file)
        .args(["--yes", "--hostname", "porch", "--config"])
        .args([&config, &sample.bundle, &disk])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let size = file.metadata().unwrap().len();
    let version = sample.manifest.version.to_string();
    let read = |keys: &[_]| Contents::read(&file, size, &[], keys).unwrap();
    assert_eq!(
        read(&[sample.key]).to_string(),
        format!("Bedplate {version} for {}, node porch", sample.manifest.board)
    );
    assert_eq!(read(&[]).node.unwrap().release, Release::NoKey);
    let stranger = samples::Signer::default().key();
    assert_eq!(read(&[stranger]).node.unwrap().release, Release::OtherKey);
    // A flash that did not end has no partition table, so it is no node.
    file.write_all_at(&[0; 512], 512).unwrap();
    file.write_all_at(&[0; 512], size - 512).unwrap();
    assert_eq!(read(&[sample.key]).node, None);
}
