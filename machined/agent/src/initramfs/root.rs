//! Opens the verified root, and reads what PID 1 is made of before it runs.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use sys::device_mapper::{DeviceMapper, Table};
use sys::mount::{Mount, MountFlags, Mounter};

use super::slot::Plan;

/// Where the root is mounted until it is the root.
pub(super) const NEW_ROOT: &str = "/sysroot";
/// What runs from it as PID 1.
pub(super) const PROGRAM: &str = "/usr/bin/machined";
/// How often a root that cannot be read is tried, in case that the medium only stutters.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Says why a root cannot be entered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    System(#[from] sys::Error),
    #[error("the root has no {PROGRAM}")]
    NoProgram,
    #[error("cannot read {PROGRAM} of the root")]
    Program(#[source] io::Error),
}

impl Error {
    /// Tells whether the medium did not give what was signed. dm-verity and a medium that fails answer alike.
    pub(super) fn is_damage(&self) -> bool {
        let source = match self {
            Error::System(error) => &error.source,
            Error::Program(source) => source,
            Error::NoProgram => return false,
        };
        source.raw_os_error() == Some(EIO)
    }
}

/// "I/O error": what a read answers that dm-verity refuses.
const EIO: i32 = 5;

/// Makes the devices of a plan and mounts the root.
pub(super) fn mount(plan: &Plan, mapper: &dyn DeviceMapper, mounter: &dyn Mounter) -> Result<(), Error> {
    let slot = mapper.create("bedplate-slot", &Table::verity(&plan.slot))?;
    let root = mapper.create("bedplate-root", &plan.root(&slot))?;
    let flags = MountFlags::MS_RDONLY | MountFlags::MS_NOSUID | MountFlags::MS_NODEV | MountFlags::MS_NOATIME;
    let mount = Mount::new(root.display().to_string(), NEW_ROOT, "erofs").flags(flags);
    persist(PAUSE, || Ok(mounter.mount(&mount)?))
}

/// Reads PID 1 from its first byte to its last. What is damaged in it would kill it later, without a word.
pub(super) fn prove(root: &Path) -> Result<(), Error> {
    let path = root.join(PROGRAM.trim_start_matches('/'));
    persist(PAUSE, || {
        let read = File::open(&path).and_then(|mut program| io::copy(&mut program, &mut io::sink()));
        match read {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoProgram),
            Err(error) => Err(Error::Program(error)),
        }
    })
}

/// Tries again when the medium did not give what was signed.
fn persist(pause: Duration, mut attempt: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if error.is_damage() => std::thread::sleep(pause),
            other => return other,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use sys::device_mapper::{RecordingDeviceMapper, Verity};
    use sys::mount::{MountCall, RecordingMounts};

    use super::*;

    #[test]
    fn the_root_is_a_verified_read_only_part_of_the_slot() {
        let slot = Verity {
            device: "/dev/vda4".into(),
            data_blocks: 3,
            tree_offset: 12288,
            root_hash: "11".into(),
            salt: "00".into(),
        };
        let (mapper, mounter) = (RecordingDeviceMapper::default(), RecordingMounts::default());
        let plan = Plan {
            slot,
            root_offset: 8192,
            root_len: 4096,
        };
        mount(&plan, &mapper, &mounter).unwrap();
        let made = mapper.created.lock().unwrap();
        assert_eq!(made[0].1.target, "verity");
        assert_eq!(made[1].1.parameters, "/dev/dm-0 16");
        let calls = mounter.calls.lock().unwrap();
        let MountCall::Mount(mount) = &calls[0] else {
            panic!("{calls:?}")
        };
        assert_eq!(
            (mount.source.as_str(), mount.fstype.as_str()),
            ("/dev/dm-1", "erofs")
        );
        assert!(mount.flags.contains(MountFlags::MS_RDONLY));
    }

    #[test]
    fn a_medium_that_stutters_is_asked_again_and_nothing_else_is() {
        let answers = |errors: &[i32]| {
            let mut left: Vec<i32> = errors.iter().rev().copied().collect();
            let mut asked = 0;
            let result = persist(Duration::ZERO, || {
                asked += 1;
                match left.pop() {
                    Some(error) => Err(Error::Program(io::Error::from_raw_os_error(error))),
                    None => Ok(()),
                }
            });
            (result.map_err(|error| error.is_damage()), asked)
        };
        const EACCES: i32 = 13;
        assert_eq!(answers(&[EIO, EIO]), (Ok(()), 3));
        assert_eq!(answers(&[EIO, EIO, EIO]), (Err(true), 3));
        assert_eq!(answers(&[EACCES]), (Err(false), 1));
    }

    #[test]
    fn a_root_without_a_program_is_no_damage() {
        let root = tempfile::tempdir().unwrap();
        let missing = prove(root.path()).unwrap_err();
        assert!(matches!(missing, Error::NoProgram) && !missing.is_damage());
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        std::fs::write(root.path().join("usr/bin/machined"), "a program").unwrap();
        prove(root.path()).unwrap();
    }
}
