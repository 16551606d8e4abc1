//! Volumes with a label that somebody attached to the machine: a CD, a stick, a virtual disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloud::volume::{DESCRIPTOR, Format, LENGTH, identify};
use state::chain;
use sys::mount::{LinuxMounts, Mount, MountFlags, Mounter};

/// Where a volume is mounted while it is read.
const TARGET: &str = "/run/bedplate/platform";
/// Devices that nobody attaches, or that take seconds to say that they are empty.
const NEVER: &[&str] = &["ram", "loop", "zram", "dm-", "md", "nbd", "fd", "mtdblock"];

/// Reads volumes, one at a time.
#[derive(Clone)]
pub(super) struct Volumes {
    sys_block: PathBuf,
    dev: PathBuf,
    target: PathBuf,
    mounts: Arc<dyn Mounter>,
    /// Set while one is read: a device that hangs holds one thread, not one more in each round.
    busy: Arc<AtomicBool>,
}

/// A file on a volume, and the most bytes that it may have.
pub(super) type Wanted = (&'static str, usize);

impl Volumes {
    /// The volumes of this machine.
    pub(super) fn here() -> Self {
        Volumes {
            sys_block: "/sys/block".into(),
            dev: "/dev".into(),
            target: TARGET.into(),
            mounts: Arc::new(LinuxMounts),
            busy: Arc::default(),
        }
    }

    /// Reads files from the first volume with a label, each `None` when there is no such file. `None` when there is no such volume.
    ///
    /// # Errors
    ///
    /// One sentence, when there is such a volume, and it cannot be read.
    pub(super) async fn files<const N: usize>(
        &self,
        label: &'static str,
        files: [Wanted; N],
    ) -> Result<Option<[Option<Vec<u8>>; N]>, String> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err("a volume is still being read".to_owned());
        }
        let volumes = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let read = volumes.read(label, files);
            volumes.busy.store(false, Ordering::Release);
            read
        });
        read.await.map_err(|error| chain(&error))?
    }

    fn read<const N: usize>(
        &self,
        label: &str,
        files: [Wanted; N],
    ) -> Result<Option<[Option<Vec<u8>>; N]>, String> {
        let Some((device, format)) = self.find(label) else {
            return Ok(None);
        };
        let mount = self.mount(&device, format)?;
        let mut found = [const { None }; N];
        for (content, (name, most)) in found.iter_mut().zip(files) {
            *content = file(&mount.volumes.target, name, most)?;
        }
        Ok(Some(found))
    }

    /// Finds the first volume with a label, by the names of devices.
    fn find(&self, label: &str) -> Option<(PathBuf, Format)> {
        self.devices().into_iter().find_map(|device| {
            let volume = look(&device).ok().flatten().filter(|volume| volume.is(label))?;
            Some((device, volume.format))
        })
    }

    /// Lists disks, and their partitions after them.
    fn devices(&self) -> Vec<PathBuf> {
        let attached = |name: &String| !NEVER.iter().any(|prefix| name.starts_with(prefix));
        let mut devices = Vec::new();
        for disk in names(&self.sys_block).into_iter().filter(attached) {
            let folder = self.sys_block.join(&disk);
            let is_partition = |name: &String| folder.join(name).join("partition").exists();
            let partitions = names(&folder).into_iter().filter(is_partition);
            devices.extend(
                std::iter::once(disk.clone())
                    .chain(partitions)
                    .map(|name| self.dev.join(name)),
            );
        }
        devices
    }

    fn mount(&self, device: &Path, format: Format) -> Result<Mounted<'_>, String> {
        let fstype = match format {
            Format::Iso9660 => "iso9660",
            Format::Fat => "vfat",
        };
        let flags =
            MountFlags::MS_RDONLY | MountFlags::MS_NOSUID | MountFlags::MS_NODEV | MountFlags::MS_NOEXEC;
        let mount = Mount::new(device.display().to_string(), &self.target, fstype).flags(flags);
        fs::create_dir_all(&self.target)
            .map_err(|error| format!("cannot create {}: {error}", self.target.display()))?;
        self.mounts.mount(&mount).map_err(|error| chain(&error))?;
        Ok(Mounted { volumes: self })
    }
}

/// Unmounts a volume again.
struct Mounted<'a> {
    volumes: &'a Volumes,
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let volumes = self.volumes;
        if let Err(error) = volumes.mounts.unmount(&volumes.target, true) {
            tracing::warn!("{}", chain(&error));
        }
    }
}

/// Reads what tells a volume's label. A drive without a medium, or a device too small, has none.
fn look(device: &Path) -> io::Result<Option<cloud::volume::Volume>> {
    let file = File::open(device)?;
    let (mut first, mut descriptor) = ([0; LENGTH], [0; LENGTH]);
    file.read_exact_at(&mut first, 0)?;
    // A small one has no such place.
    let _beyond_its_end = file.read_exact_at(&mut descriptor, DESCRIPTOR);
    Ok(identify(&first, &descriptor))
}

/// Reads a file below a folder. Links may not lead out of it.
fn file(root: &Path, name: &str, most: usize) -> Result<Option<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("cannot read {name}: {error}");
    let path = match fs::canonicalize(root.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        path => path.map_err(failed)?,
    };
    let inside = path.starts_with(fs::canonicalize(root).map_err(failed)?);
    if !inside || !fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(format!("{name} is not a file of the volume"));
    }
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut content));
    read.map_err(failed)?;
    match content.len() > most {
        true => Err(format!("{name} has more than {most} bytes")),
        false => Ok(Some(content)),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
pub(super) mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Mounts a folder: the real mount of a real volume is what the scenario `platforms` is for.
    struct Folder {
        content: PathBuf,
        mounted: AtomicBool,
    }

    impl Mounter for Folder {
        fn mount(&self, mount: &Mount) -> sys::Result<()> {
            assert!(
                mount
                    .flags
                    .contains(MountFlags::MS_RDONLY | MountFlags::MS_NODEV | MountFlags::MS_NOSUID)
            );
            assert!(!self.mounted.swap(true, Ordering::AcqRel), "it was unmounted");
            fs::remove_dir(&mount.target).unwrap();
            std::os::unix::fs::symlink(&self.content, &mount.target).unwrap();
            Ok(())
        }

        fn unmount(&self, target: &Path, _: bool) -> sys::Result<()> {
            self.mounted.store(false, Ordering::Release);
            fs::remove_file(target).unwrap();
            Ok(())
        }
    }

    /// A machine with an empty drive, a disk with a partition, and a CD with this label and these files.
    pub(in super::super) fn attached(label: &str, files: &[(&str, &[u8])]) -> (TempDir, Volumes) {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        for folder in [
            "dev",
            "run",
            "sys/sda/sda1",
            "sys/sda/queue",
            "sys/sr0",
            "sys/sr1",
            "sys/loop0",
            "content",
        ] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        fs::write(path("sys/sda/sda1/partition"), "1\n").unwrap();
        let mut cd = vec![0; 64 * 1024];
        let at = usize::try_from(DESCRIPTOR).unwrap();
        cd[at..at + 7].copy_from_slice(b"\x01CD001\x01");
        cd[at + 40..at + 40 + label.len()].copy_from_slice(label.as_bytes());
        for (device, content) in [
            ("sda", vec![0; 512]),
            ("sda1", vec![0; 100]),
            ("sr0", vec![]),
            ("sr1", cd.clone()),
        ] {
            fs::write(path("dev").join(device), content).unwrap();
        }
        fs::write(path("dev/loop0"), cd).unwrap();
        for (name, content) in files {
            let name = path("content").join(name);
            fs::create_dir_all(name.parent().unwrap()).unwrap();
            fs::write(name, content).unwrap();
        }
        let volumes = Volumes {
            sys_block: path("sys"),
            dev: path("dev"),
            target: path("run/volume"),
            mounts: Arc::new(Folder {
                content: path("content"),
                mounted: AtomicBool::new(false),
            }),
            busy: Arc::default(),
        };
        (dir, volumes)
    }

    #[tokio::test]
    async fn files_are_read_from_the_volume_with_the_label() {
        let (dir, volumes) = attached("CIDATA", &[("user-data", b"text"), ("a/b", b"long")]);
        let devices: Vec<String> = volumes
            .devices()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(devices, ["sda", "sda1", "sr0", "sr1"]);
        let files = [("user-data", 4), ("a/b", 4), ("missing", 4)];
        for _again in 0..2 {
            let read = volumes.files("cidata", files).await.unwrap().unwrap();
            assert_eq!(read, [Some(b"text".to_vec()), Some(b"long".to_vec()), None]);
        }
        assert_eq!(volumes.files("config-2", files).await, Ok(None));
        let long = volumes.files("cidata", [("a/b", 3)]).await.unwrap_err();
        assert_eq!(long, "a/b has more than 3 bytes");

        let link = |name: &str, to: &Path| {
            std::os::unix::fs::symlink(to, dir.path().join("content").join(name)).unwrap()
        };
        link("outside", &dir.path().join("dev/sr1"));
        link("inside", Path::new("a/b"));
        let outside = volumes.files("cidata", [("outside", 1 << 20)]).await.unwrap_err();
        assert_eq!(outside, "outside is not a file of the volume");
        let folder = volumes.files("cidata", [("a", 9)]).await.unwrap_err();
        assert_eq!(folder, "a is not a file of the volume");
        let inside = volumes.files("cidata", [("inside", 9)]).await.unwrap().unwrap();
        assert_eq!(inside, [Some(b"long".to_vec())]);
        assert!(!volumes.target.exists(), "nothing stays mounted");
    }
}
