//! Reading `/sys` and `/proc` of made-up hosts.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use flash_tool::host::{Bus, Disk, Found, Host, Use};

/// Makes files below a root.
fn tree(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Creates a disk in the kernel's place, and the link to it in `/sys/block`.
fn disk(root: &Path, name: &str, place: &str, files: &[(&str, &str)]) {
    let dir = root.join("sys").join(place).join(name);
    fs::create_dir_all(&dir).unwrap();
    tree(&dir, files);
    fs::create_dir_all(root.join("sys/block")).unwrap();
    symlink(
        Path::new("..").join(place).join(name),
        root.join("sys/block").join(name),
    )
    .unwrap();
}

fn find(host: &Host, name: &str) -> Disk {
    host.disks()
        .unwrap()
        .into_iter()
        .find(|disk| disk.name == name)
        .unwrap()
}

/// A laptop: NVMe with an encrypted LVM root and swap, a USB stick that is mounted, a card, a loop device.
fn laptop() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    disk(
        root,
        "nvme0n1",
        "devices/pci0000:00/nvme/nvme0",
        &[
            ("dev", "259:0\n"),
            ("size", "1000215216\n"),
            ("removable", "0\n"),
            ("ro", "0\n"),
            ("queue/logical_block_size", "512\n"),
            ("device/model", "Fast 512GB   \n"),
            ("device/serial", "S123\n"),
            ("nvme0n1p1/dev", "259:1\n"),
            ("nvme0n1p1/partition", "1\n"),
            ("nvme0n1p2/dev", "259:2\n"),
            ("nvme0n1p2/partition", "2\n"),
            ("nvme0n1p2/holders/dm-0/x", ""),
        ],
    );
    disk(
        root,
        "dm-0",
        "devices/virtual/block",
        &[
            ("dev", "253:0\n"),
            ("size", "900000000\n"),
            ("slaves/nvme0n1p2/x", ""),
            ("holders/dm-1/x", ""),
        ],
    );
    disk(
        root,
        "dm-1",
        "devices/virtual/block",
        &[("dev", "253:1\n"), ("size", "1\n"), ("slaves/dm-0/x", "")],
    );
    disk(
        root,
        "sdb",
        "devices/pci0000:00/usb1/1-1/host0",
        &[
            ("dev", "8:16\n"),
            ("size", "15633408\n"),
            ("diskseq", "12\n"),
            ("removable", "1\n"),
            ("device/vendor", "Acme    \n"),
            ("device/model", "Stick\n"),
            ("sdb1/dev", "8:17\n"),
            ("sdb1/partition", "1\n"),
        ],
    );
    disk(
        root,
        "sdc",
        "devices/pci0000:00/usb1/1-2/host1",
        &[("dev", "8:32\n"), ("size", "0\n"), ("removable", "1\n")],
    );
    disk(
        root,
        "mmcblk0",
        "devices/mmc",
        &[
            ("dev", "179:0\n"),
            ("size", "62333952\n"),
            ("ro", "1\n"),
            ("device/type", "SD\n"),
            ("device/name", "SD32G\n"),
            ("device/serial", "0xabc\n"),
        ],
    );
    tree(
        root,
        &[
            ("sys/devices/pci0000:00/usb1/1-1/serial", "4711\n"),
            (
                "proc/self/mountinfo",
                "22 1 253:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n\
                 23 22 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
                 24 22 0:44 / /media/my\\040stick rw - btrfs /dev/sdb1 rw\n\
                 25 22 0:22 / /proc rw - proc proc rw\n\
                 garbage\n",
            ),
            (
                "proc/swaps",
                "Filename Type Size Used Priority\n/dev/mapper/swap partition 1 0 -2\n",
            ),
            ("dev/dm-0", ""),
        ],
    );
    fs::create_dir_all(root.join("dev/mapper")).unwrap();
    symlink("../dm-0", root.join("dev/mapper/swap")).unwrap();
    let host = Host::at(root);
    (dir, host)
}

#[test]
fn all_devices_below_the_running_system_are_found() {
    let (_dir, host) = laptop();
    let nvme = find(&host, "nvme0n1");
    assert_eq!(
        (nvme.bus, nvme.removable, nvme.size),
        (Bus::Nvme, false, 512_110_190_592)
    );
    assert_eq!(
        (nvme.model.as_deref(), nvme.serial.as_deref()),
        (Some("Fast 512GB"), Some("S123"))
    );
    let mounted = |device: &str, at: &str| Use::Mounted {
        device: device.into(),
        at: at.into(),
    };
    let held = |device: &str, by: &str| Use::Held {
        device: device.into(),
        by: by.into(),
    };
    assert_eq!(
        nvme.uses,
        [
            mounted("dm-1", "/"),
            mounted("nvme0n1p1", "/boot/efi"),
            Use::Swap {
                device: "dm-0".into()
            },
            held("dm-0", "dm-1"),
            held("nvme0n1p2", "dm-0"),
        ]
    );
    assert_eq!(find(&host, "dm-0").bus, Bus::Stacked);
}

#[test]
fn sticks_and_cards_are_recognised() {
    let (_dir, host) = laptop();
    let stick = find(&host, "sdb");
    assert_eq!(
        (stick.bus, stick.removable, stick.read_only),
        (Bus::Usb, true, false)
    );
    assert_eq!(
        (stick.model.as_deref(), stick.serial.as_deref()),
        (Some("Acme Stick"), Some("4711"))
    );
    assert_eq!((stick.port.as_deref(), stick.sequence), (Some("1-1"), Some(12)));
    assert_eq!(find(&host, "nvme0n1").port, None);
    // btrfs shows no device number of its own, and the path has a space.
    assert_eq!(
        stick.uses,
        [Use::Mounted {
            device: "sdb1".into(),
            at: "/media/my stick".into()
        }]
    );
    let card = find(&host, "mmcblk0");
    assert_eq!(
        (card.bus, card.read_only, card.model.as_deref()),
        (Bus::Sd, true, Some("SD32G"))
    );
}

#[test]
fn empty_readers_are_not_listed() {
    let (_dir, host) = laptop();
    let names = host
        .disks()
        .unwrap()
        .into_iter()
        .map(|disk| disk.name)
        .collect::<Vec<_>>();
    assert_eq!(names, ["dm-0", "dm-1", "mmcblk0", "nvme0n1", "sdb"]);
}

#[test]
fn numbers_lead_to_disks_and_partitions() {
    let (_dir, host) = laptop();
    assert!(matches!(host.find((8, 16)).unwrap(), Found::Disk(disk) if disk.name == "sdb"));
    assert_eq!(host.find((259, 2)).unwrap(), Found::PartitionOf("nvme0n1".into()));
    assert!(host.find((1, 1)).is_err());
}

#[test]
fn a_backing_file_is_recognised_by_any_of_its_names() {
    let (dir, host) = laptop();
    let root = dir.path();
    let (file, other) = (root.join("disk.img"), root.join("other.img"));
    fs::write(&file, "").unwrap();
    fs::write(&other, "").unwrap();
    fs::hard_link(&file, root.join("alias.img")).unwrap();
    let backing = format!("{}\n", file.display());
    disk(
        root,
        "loop3",
        "devices/virtual/block",
        &[("dev", "7:3\n"), ("size", "1\n"), ("loop/backing_file", &backing)],
    );
    let over = |path: &Path| {
        let facts = fs::metadata(path).unwrap();
        host.loop_over((facts.dev(), facts.ino()))
    };
    assert_eq!(over(&file).as_deref(), Some("loop3"));
    assert_eq!(over(&root.join("alias.img")).as_deref(), Some("loop3"));
    assert_eq!(over(&other), None);
}

#[test]
fn the_real_host_can_be_read() {
    // Whatever it has: it must not fail if there is a /sys at all.
    if Path::new("/sys/block").is_dir() {
        Host::default().disks().unwrap();
    }
}

#[test]
fn the_port_is_that_of_the_innermost_usb_device() {
    let dir = tempfile::tempdir().unwrap();
    disk(
        dir.path(),
        "sdd",
        "devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0/block",
        &[("dev", "8:48\n"), ("size", "15633408\n")],
    );
    assert_eq!(find(&Host::at(dir.path()), "sdd").port.as_deref(), Some("2-1.4"));
}
