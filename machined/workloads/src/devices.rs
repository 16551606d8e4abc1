//! Finds the devices that a workload wants among those of the node.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::oci::Device;
use crate::settings::Wanted;

/// How deep below a USB device its files can be, and how many folders are looked at: bounds on what a strange device costs.
const DEPTH: usize = 8;
const FOLDERS_MAX: usize = 4096;

/// What a workload needs and the node lacks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no such file.
    #[error("the node has no device {0}; plug it in, or turn on what provides it")]
    Path(String),
    /// There is a file, and it is no device.
    #[error("{0} is not a device")]
    Other(String),
    /// No such device is plugged in.
    #[error("no USB device {0} is plugged in")]
    Usb(String),
    /// One is plugged in, and no driver made a file for it.
    #[error(
        "the USB device {0} is plugged in, and no driver has a file in /dev for it; add its module to machine.modules"
    )]
    NoFile(String),
}

/// Finds every device that is wanted, below these folders in place of `/dev` and `/sys`.
///
/// # Errors
///
/// The first that is missing.
pub fn find(wanted: &[Wanted], dev: &Path, sys: &Path) -> Result<Vec<Device>, Missing> {
    let mut found = Vec::new();
    for one in wanted {
        if let Some(path) = &one.path {
            let target = one.target.as_ref().unwrap_or(path);
            found.push(at(path, target, one.read_only, dev)?);
        }
        if let Some(id) = &one.usb {
            let names = usb(id, sys)?;
            if names.is_empty() {
                return Err(Missing::NoFile(id.clone()));
            }
            for name in names {
                let path = format!("/dev/{name}");
                found.push(at(&path, &path, one.read_only, dev)?);
            }
        }
    }
    Ok(found)
}

fn at(path: &str, target: &str, read_only: bool, dev: &Path) -> Result<Device, Missing> {
    let file = dev.join(path.strip_prefix("/dev/").unwrap_or(path));
    let meta = fs::metadata(file).map_err(|_| Missing::Path(path.to_owned()))?;
    let kind = meta.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(Missing::Other(path.to_owned()));
    }
    // As glibc's gnu_dev_major and gnu_dev_minor have it.
    let number = meta.rdev();
    Ok(Device {
        path: target.to_owned(),
        block: kind.is_block_device(),
        major: (number >> 8) & 0xfff | (number >> 32) & !0xfff,
        minor: number & 0xff | (number >> 12) & !0xff,
        read_only,
    })
}

/// Returns the names in `/dev` of everything that belongs to the USB devices of an id.
fn usb(id: &str, sys: &Path) -> Result<Vec<String>, Missing> {
    let (vendor, product) = id.split_once(':').unwrap_or((id, ""));
    let devices = fs::read_dir(sys.join("bus/usb/devices"))
        .into_iter()
        .flatten()
        .flatten();
    let is = |folder: &Path, name: &str, text: &str| {
        fs::read_to_string(folder.join(name)).is_ok_and(|content| content.trim() == text)
    };
    let mut plugged = false;
    let mut names = Vec::new();
    for device in devices {
        let folder = device.path();
        if is(&folder, "idVendor", vendor) && is(&folder, "idProduct", product) {
            plugged = true;
            names.extend(names_below(&folder));
        }
    }
    names.sort();
    names.dedup();
    if plugged {
        Ok(names)
    } else {
        Err(Missing::Usb(id.to_owned()))
    }
}

/// Returns the name in `/dev` of each device in a folder of `/sys`, and below. Links lead elsewhere, and are not followed.
fn names_below(folder: &Path) -> Vec<String> {
    let Ok(start) = folder.canonicalize() else {
        return Vec::new();
    };
    let mut left: Vec<(PathBuf, usize)> = vec![(start, 0)];
    let (mut names, mut seen) = (Vec::new(), 0);
    while let Some((folder, depth)) = left.pop() {
        seen += 1;
        if seen > FOLDERS_MAX {
            break;
        }
        if let Ok(event) = fs::read_to_string(folder.join("uevent")) {
            names.extend(
                event
                    .lines()
                    .filter_map(|line| Some(line.strip_prefix("DEVNAME=")?.to_owned())),
            );
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if depth < DEPTH && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push((entry.path(), depth + 1));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: Option<&str>, usb: Option<&str>) -> Vec<Wanted> {
        vec![Wanted {
            path: path.map(Into::into),
            usb: usb.map(Into::into),
            target: None,
            read_only: false,
        }]
    }

    #[test]
    fn a_device_has_its_numbers_and_a_missing_one_is_named() {
        let (dev, sys) = (Path::new("/dev"), Path::new("/nowhere"));
        let found = find(&wanted(Some("/dev/null"), None), dev, sys).unwrap();
        assert_eq!((found[0].major, found[0].minor, found[0].block), (1, 3, false));
        let missing = find(&wanted(Some("/dev/ttyUSB77"), None), dev, sys).unwrap_err();
        assert_eq!(missing, Missing::Path("/dev/ttyUSB77".into()));
        assert_eq!(
            find(&wanted(None, Some("10c4:ea60")), dev, sys),
            Err(Missing::Usb("10c4:ea60".into()))
        );
    }

    #[test]
    fn a_usb_device_is_found_by_vendor_and_product() {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("bus/usb/devices/1-1");
        let port = device.join("1-1:1.0/ttyUSB0/tty/ttyUSB0");
        fs::create_dir_all(&port).unwrap();
        fs::write(device.join("idVendor"), "10c4\n").unwrap();
        fs::write(device.join("idProduct"), "ea60\n").unwrap();
        assert_eq!(usb("10c4:ea60", sys.path()), Ok(Vec::new()), "no driver");
        fs::write(port.join("uevent"), "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0\n").unwrap();
        assert_eq!(usb("10c4:ea60", sys.path()), Ok(vec!["ttyUSB0".into()]));
        assert_eq!(
            usb("10c4:ea61", sys.path()),
            Err(Missing::Usb("10c4:ea61".into()))
        );
    }
}
