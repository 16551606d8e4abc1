//! The host's disks, read from `/sys` and `/proc`. Makes no decisions.

mod disk;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::mount_table;

pub use self::disk::{Bus, Disk, Partition, Use};

/// Where the kernel's file systems are.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }
}

impl Host {
    /// Looks for `sys` and `proc` below `root` instead of `/`: for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Lists all disks with a medium, by name.
    pub fn disks(&self) -> io::Result<Vec<Disk>> {
        let mut disks = Vec::new();
        for entry in fs::read_dir(self.block())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            match self.disk(&name) {
                Ok(disk) => disks.push(disk),
                // A card reader may be removed in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        disks.retain(|disk| disk.size > 0 && !["ram", "zram"].iter().any(|kind| disk.name.starts_with(kind)));
        disks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(disks)
    }

    /// Lists the partitions of a disk, in the order of their places.
    pub fn partitions_of(&self, disk: &Disk) -> Vec<Partition> {
        let dir = self.block().join(&disk.name);
        let partition = |name: String| {
            // Both are in units of 512 bytes, whatever the disk's sectors.
            let bytes = |file: &str| {
                let sectors: u64 = self.text(&dir.join(&name).join(file))?.parse().ok()?;
                sectors.checked_mul(512)
            };
            let (start, size) = (bytes("start")?, bytes("size")?);
            let fits = start.checked_add(size).is_some_and(|end| end <= disk.size);
            fits.then_some(Partition { name, start, size })
        };
        let mut all: Vec<Partition> = self.partitions(&dir).into_iter().filter_map(partition).collect();
        all.sort_by_key(|partition| partition.start);
        all
    }

    /// Finds the disk of a device number, or a partition and its disk's name.
    pub fn find(&self, number: (u64, u64)) -> io::Result<Found> {
        for entry in fs::read_dir(self.block())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let dir = self.block().join(&name);
            if self.number(&dir) == Some(number) {
                return self.disk(&name).map(Found::Disk);
            }
            if self
                .partitions(&dir)
                .iter()
                .any(|part| self.number(&dir.join(part)) == Some(number))
            {
                return Ok(Found::PartitionOf(name));
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the kernel does not list this device among its disks",
        ))
    }

    /// Finds the loop device whose backing file this is, if any; the file is given as device and inode.
    pub fn loop_over(&self, file: (u64, u64)) -> Option<String> {
        let names = self.names(&self.block()).into_iter();
        names.filter(|name| name.starts_with("loop")).find(|name| {
            let path = self.text(&self.block().join(name).join("loop/backing_file"));
            let named = path.and_then(|path| fs::metadata(path).ok());
            // The path may be old, or from another mount namespace. The kernel knows the file itself, but shows it only to those
            // who may open the device.
            named.is_some_and(|facts| (facts.dev(), facts.ino()) == file)
                || File::open(self.dev().join(name)).is_ok_and(|device| {
                    sys::loop_device::backing_file(&device).is_ok_and(|known| known == file)
                })
        })
    }

    /// Returns true if a directory is for devices: `/dev` and everything below, whichever path leads there.
    pub fn is_for_devices(&self, folder: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (folder, dev) = (real(folder), real(&self.dev()));
        if folder.starts_with(&dev) {
            // A directory for shared memory, which is meant when it is named.
            return !folder.starts_with(dev.join("shm"));
        }
        let device = |path: &Path| fs::metadata(path).ok().map(|facts| facts.dev());
        // If /dev is a separate file system, it is recognised by that, also when mounted elsewhere.
        device(&dev)
            .is_some_and(|number| Some(number) != device(&self.root) && device(&folder) == Some(number))
    }

    fn disk(&self, name: &str) -> io::Result<Disk> {
        let dir = self.block().join(name);
        let number = self.number(&dir).ok_or(io::ErrorKind::NotFound)?;
        let is_set = |file: &str| self.text(&dir.join(file)).is_some_and(|text| text != "0");
        let figure = |file: &str| {
            self.text(&dir.join(file))
                .and_then(|text| text.parse::<u64>().ok())
        };
        let real = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
        Ok(Disk {
            name: name.to_owned(),
            // The kernel writes ! for the / in a name such as cciss/c0d0.
            path: Path::new("/dev").join(name.replace('!', "/")),
            number,
            model: self.model(&dir),
            serial: self.serial(&dir, &real),
            port: port(&real),
            sequence: figure("diskseq"),
            size: figure("size").unwrap_or(0).saturating_mul(512),
            sector: figure("queue/logical_block_size").unwrap_or(512),
            removable: is_set("removable"),
            read_only: is_set("ro"),
            bus: self.bus(name, &dir, &real),
            uses: self.uses(name, &dir),
        })
    }

    fn bus(&self, name: &str, dir: &Path, real: &Path) -> Bus {
        let path = real.to_string_lossy();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if starts(&["mmcblk"]) {
            let card = self.text(&dir.join("device/type"));
            if card.as_deref() == Some("MMC") {
                Bus::Emmc
            } else {
                Bus::Sd
            }
        } else if starts(&["loop", "nbd", "ram"]) {
            Bus::Loop
        } else if starts(&["dm-", "md"]) || !self.names(&dir.join("slaves")).is_empty() {
            Bus::Stacked
        } else if path.contains("/usb") {
            Bus::Usb
        } else if starts(&["nvme"]) {
            Bus::Nvme
        } else if starts(&["vd"]) || path.contains("/virtio") {
            Bus::Virtio
        } else if starts(&["sd", "sr"]) {
            Bus::Scsi
        } else {
            Bus::Other
        }
    }

    fn model(&self, dir: &Path) -> Option<String> {
        let text = |file: &str| self.text(&dir.join(file)).filter(|text| !text.is_empty());
        let named = match (text("device/vendor"), text("device/model")) {
            // NVMe and virtio have a number for a vendor, SATA disks all the same word.
            (Some(vendor), Some(model)) if !vendor.starts_with("0x") && vendor != "ATA" => {
                Some(format!("{vendor} {model}"))
            }
            (_, model) => model,
        };
        named
            .or_else(|| text("device/name"))
            .or_else(|| text("loop/backing_file"))
    }

    /// Finds the serial number: the device's own, or that of the USB stick it is part of.
    fn serial(&self, dir: &Path, real: &Path) -> Option<String> {
        let text = |path: PathBuf| self.text(&path).filter(|text| !text.is_empty());
        text(dir.join("device/serial"))
            .or_else(|| text(dir.join("serial")))
            .or_else(|| {
                let above = real.ancestors().take_while(|path| !path.ends_with("devices"));
                above.into_iter().find_map(|path| text(path.join("serial")))
            })
    }

    /// Finds the uses of the disk, its partitions, and everything made from them.
    fn uses(&self, name: &str, dir: &Path) -> Vec<Use> {
        let mut uses = BTreeSet::new();
        let mut family = vec![(name.to_owned(), dir.to_owned())];
        family.extend(
            self.partitions(dir)
                .into_iter()
                .map(|part| (part.clone(), dir.join(part))),
        );
        let mut next = 0;
        while let Some((device, place)) = family.get(next).cloned() {
            next += 1;
            for by in self.names(&place.join("holders")) {
                if !family.iter().any(|(known, _)| *known == by) {
                    let above = self.block().join(&by);
                    family.extend(
                        self.partitions(&above)
                            .into_iter()
                            .map(|part| (part.clone(), above.join(part))),
                    );
                    family.push((by.clone(), above));
                }
                uses.insert(Use::Held {
                    device: device.clone(),
                    by,
                });
            }
        }
        let mounts = mount_table::parse(&self.read("proc/self/mountinfo"));
        let swaps = String::from_utf8_lossy(&self.read("proc/swaps")).into_owned();
        for (device, place) in &family {
            let number = self.number(place);
            for mount in &mounts {
                let by_path = mount
                    .source
                    .strip_prefix("/dev/")
                    .is_some_and(|path| self.is(path, device));
                if by_path || number == Some(mount.number) {
                    uses.insert(Use::Mounted {
                        device: device.clone(),
                        at: mount.target.to_string_lossy().into_owned(),
                    });
                }
            }
            let swap = |line: &str| {
                let path = line
                    .split_whitespace()
                    .next()
                    .and_then(|path| path.strip_prefix("/dev/"));
                path.is_some_and(|path| self.is(path, device))
            };
            if swaps.lines().skip(1).any(swap) {
                uses.insert(Use::Swap {
                    device: device.clone(),
                });
            }
        }
        uses.into_iter().collect()
    }

    /// Returns true if a path below `/dev` is a name of this device, possibly by links such as `mapper/vg-root`.
    fn is(&self, path: &str, device: &str) -> bool {
        let real = fs::canonicalize(self.dev().join(path));
        let name = real
            .as_deref()
            .ok()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned());
        path == device || name.as_deref() == Some(device)
    }

    fn dev(&self) -> PathBuf {
        self.root.join("dev")
    }

    fn block(&self) -> PathBuf {
        self.root.join("sys/block")
    }

    fn partitions(&self, dir: &Path) -> Vec<String> {
        self.names(dir)
            .into_iter()
            .filter(|name| dir.join(name).join("partition").exists())
            .collect()
    }

    fn number(&self, dir: &Path) -> Option<(u64, u64)> {
        let text = self.text(&dir.join("dev"))?;
        let (major, minor) = text.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    fn names(&self, dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn text(&self, file: &Path) -> Option<String> {
        Some(fs::read_to_string(file).ok()?.trim().to_owned())
    }

    fn read(&self, path: &str) -> Vec<u8> {
        // Without /proc no mounts are visible: opening the disk exclusively still refuses one that is in use.
        fs::read(self.root.join(path)).unwrap_or_default()
    }
}

/// Finds the USB port in the kernel's place of a disk: the folder of the innermost USB device.
fn port(place: &Path) -> Option<String> {
    let is_port = |name: &&str| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        name.split_once('-')
            .is_some_and(|(bus, path)| digits(bus) && path.split('.').all(digits))
    };
    let folders = place.ancestors().filter_map(|path| path.file_name()?.to_str());
    folders.into_iter().find(is_port).map(str::to_owned)
}

/// What a device number belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A whole disk.
    Disk(Disk),
    /// A partition of the disk with this name.
    PartitionOf(String),
}
