//! Looks for a config on the node's own disk, once, at the start, before the network is up.
//!
//! The places are a table, asked in order; the first one with a config that can be used wins. A config that cannot
//! be used is left where it is and told as a problem: the node then goes on with the next place. When there is none at
//! all, it matters whether the node ever had one: then it is locked, and never waits for anybody's. Only a node that
//! never had one asks [`platform`](super::platform)s, later.

use layout::Name;
use machine_config::{Faults, MachineConfig, medium};
use owner::Owner;
use state::chain;
use state::kinds::config::Source;

use super::disk::{ACCEPTED, ConfigDisk, DiskError, FileError, Filed, FiledError, STAGED, is_leftover};

/// What was found.
#[derive(Debug)]
pub struct Acquired {
    /// What the node is to be.
    pub found: Found,
    /// Whose the node is.
    pub owner: Owner,
    /// What was wrong on the way, one line or more each.
    pub problems: Vec<String>,
}

/// What a node is to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// What this config says; it was in this place.
    Config(Box<MachineConfig>, Source),
    /// Nobody's: it waits for a config in maintenance mode.
    Nothing,
    /// Locked, for this reason: it was configured, and its config cannot be used. The reason is fit for strangers.
    Locked(&'static str),
}

const DAMAGED: &str = "the machine config in STATE is damaged";
const UNKNOWN: &str = "this release cannot use the machine config in STATE";
const UNREADABLE: &str = "the machine config in STATE cannot be read";
const GONE: &str = "the machine config is gone from STATE";
const STATE_LOST: &str = "STATE cannot be used";

/// A place to look for a config.
struct Place {
    source: Source,
    name: &'static str,
    find: fn(&ConfigDisk) -> Result<Option<Filed>, FindError>,
    /// What is done once its config proved usable.
    accept: fn(&ConfigDisk, &Filed, &MachineConfig) -> Result<(), DiskError>,
}

/// In the order of asking. CONFIG is first: whoever flashed a medium again means the config on it.
const PLACES: &[Place] = &[
    Place {
        source: Source::Medium,
        name: Name::Config.as_str(),
        find: find_medium,
        accept: move_to_state,
    },
    Place {
        source: Source::State,
        name: STAGED,
        find: find_staged,
        accept: file,
    },
    Place {
        source: Source::State,
        name: ACCEPTED,
        find: find_accepted,
        accept: keep,
    },
    // Behind STATE: what was applied since the first start counts.
    Place {
        source: Source::File,
        name: "the mounted file",
        find: find_file,
        accept: file,
    },
];

#[derive(Debug, thiserror::Error)]
enum FindError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Filed(#[from] FiledError),
    #[error(transparent)]
    Medium(#[from] medium::MediumError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl FindError {
    /// Returns why a node is locked that has nothing better in STATE.
    fn lock(&self) -> &'static str {
        match self {
            FindError::Faults(_) => UNKNOWN,
            FindError::Filed(FiledError::Damaged { .. }) => DAMAGED,
            FindError::Filed(FiledError::Disk(_))
            | FindError::Disk(_)
            | FindError::File(_)
            | FindError::Medium(_) => UNREADABLE,
        }
    }
}

/// Finds the config of this start on the node's own disk.
pub fn acquire(disk: &ConfigDisk) -> Acquired {
    let mut problems = Vec::new();
    let mut lock = None;
    for place in PLACES {
        let (filed, config) = match read(place, disk) {
            Ok(None) => continue,
            Ok(Some(found)) => found,
            Err(error) => {
                problems.push(format!("{}: {}", place.name, chain(&error)));
                // What lies in STATE was accepted once; what lies in CONFIG was not.
                if place.source == Source::State {
                    lock = Some(error.lock());
                }
                continue;
            }
        };
        problems.extend(filed.problem.clone());
        // The config is good even if it could not be filed: the next start finds it in its old place again.
        if let Err(error) = (place.accept)(disk, &filed, &config) {
            problems.push(format!("{}: {}", place.name, chain(&error)));
        }
        // After it is filed: a node that is cut off between the two still has its config, and comes by here again.
        let owner = Owner::of(&config.machine.ca.cert.to_string());
        problems.extend(disk.own(&owner));
        return Acquired {
            found: Found::Config(Box::new(config), place.source),
            owner,
            problems,
        };
    }
    let owner = match (lock, disk.owner.owner()) {
        // Of a release that kept no record, or kept it in vain.
        (Some(_), Owner::Nobody) => Owner::Unknown,
        (_, owner) => owner,
    };
    let found = match owner {
        Owner::Nobody => Found::Nothing,
        _ if disk.state_lost => Found::Locked(STATE_LOST),
        _ => Found::Locked(lock.unwrap_or(GONE)),
    };
    Acquired {
        found,
        owner,
        problems,
    }
}

fn read(place: &Place, disk: &ConfigDisk) -> Result<Option<(Filed, MachineConfig)>, FindError> {
    let Some(filed) = (place.find)(disk)? else {
        return Ok(None);
    };
    let config = machine_config::parse(&filed.yaml)?;
    Ok(Some((filed, config)))
}

fn find_medium(disk: &ConfigDisk) -> Result<Option<Filed>, FindError> {
    let Some(bytes) = disk.read_medium()? else {
        return Ok(None);
    };
    if is_leftover(&bytes) {
        // A power cut ended the wipe. What was to be wiped is in STATE by now.
        disk.wipe_medium()?;
        return Ok(None);
    }
    Ok(medium::decode(&bytes)?.map(Filed::sound))
}

/// Files the config before the medium is wiped: a power cut between the two only makes this happen again.
fn move_to_state(disk: &ConfigDisk, _: &Filed, config: &MachineConfig) -> Result<(), DiskError> {
    if disk.state_lost {
        // It would be gone with the next start.
        return Ok(());
    }
    disk.file_accepted(&config.to_yaml_with_secrets())?;
    disk.wipe_medium()
}

fn find_file(disk: &ConfigDisk) -> Result<Option<Filed>, FindError> {
    Ok(disk.read_file()?.map(Filed::sound))
}

fn find_staged(disk: &ConfigDisk) -> Result<Option<Filed>, FindError> {
    Ok(disk.read_staged()?)
}

fn file(disk: &ConfigDisk, filed: &Filed, _: &MachineConfig) -> Result<(), DiskError> {
    disk.file_accepted(&filed.yaml)
}

fn find_accepted(disk: &ConfigDisk) -> Result<Option<Filed>, FindError> {
    Ok(disk.read_accepted()?)
}

fn keep(disk: &ConfigDisk, filed: &Filed, config: &MachineConfig) -> Result<(), DiskError> {
    if filed.refile {
        file(disk, filed, config)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use state::testkit::config;

    use super::*;
    use crate::disk::SECOND;
    use crate::testing::places;
    use crate::tests::other;

    fn found(config: MachineConfig, source: Source) -> Found {
        Found::Config(Box::new(config), source)
    }

    fn put_medium(disk: &ConfigDisk, yaml: &str) {
        let mut bytes = medium::encode(yaml).unwrap();
        bytes.resize(1 << 20, 0);
        std::fs::write(disk.medium.as_ref().unwrap(), bytes).unwrap();
    }

    #[test]
    fn without_a_config_there_is_none_and_no_problem() {
        let (_dir, disk) = places();
        let acquired = acquire(&disk);
        assert!(
            acquired.found == Found::Nothing && acquired.problems.is_empty(),
            "{acquired:?}"
        );
    }

    #[test]
    fn the_medium_moves_into_state_and_is_wiped() {
        let (_dir, disk) = places();
        disk.file_accepted(&other().to_yaml_with_secrets()).unwrap();
        disk.file_staged(&other().to_yaml_with_secrets()).unwrap();
        put_medium(&disk, &config().to_yaml_with_secrets());
        let acquired = acquire(&disk);
        assert_eq!(acquired.found, found(config(), Source::Medium));
        assert_eq!(acquired.problems, [""; 0]);
        let medium = std::fs::read(disk.medium.as_ref().unwrap()).unwrap();
        assert!(medium.len() == 1 << 20 && medium.iter().all(|byte| *byte == 0));
        let again = acquire(&disk);
        assert_eq!(
            again.found,
            found(config(), Source::State),
            "with its secrets, and nothing staged before it"
        );
    }

    #[test]
    fn a_bad_config_is_told_and_left_and_the_next_place_is_asked() {
        let (_dir, disk) = places();
        disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
        put_medium(&disk, "kind: MachineConfig\n");
        let acquired = acquire(&disk);
        assert_eq!(acquired.found, found(config(), Source::State));
        assert!(
            acquired.problems[0].starts_with("CONFIG: the machine config has 1 fault:\n  apiVersion"),
            "{acquired:?}"
        );
        let left = std::fs::read(disk.medium.as_ref().unwrap()).unwrap();
        assert!(
            medium::decode(&left).unwrap().is_some(),
            "the owner may want to look at it"
        );
    }

    #[test]
    fn a_config_that_cannot_be_filed_is_used_all_the_same() {
        let (_dir, mut disk) = places();
        put_medium(&disk, &config().to_yaml_with_secrets());
        disk.state = disk.state.join("missing");
        let acquired = acquire(&disk);
        assert_eq!(acquired.found, found(config(), Source::Medium));
        assert!(
            acquired.problems[0].starts_with("CONFIG: cannot write"),
            "{acquired:?}"
        );
        assert!(
            medium::decode(&disk.read_medium().unwrap().unwrap())
                .unwrap()
                .is_some(),
            "never wiped before it is filed"
        );
    }

    #[test]
    fn a_mounted_file_counts_at_the_first_start_only() {
        let (dir, mut disk) = places();
        disk.file = Some(dir.path().join("machine.yaml"));
        assert_eq!(acquire(&disk).found, Found::Nothing);
        let write = |config: &MachineConfig| {
            std::fs::write(disk.file.as_ref().unwrap(), config.to_yaml_with_secrets()).unwrap();
        };
        write(&config());
        assert_eq!(acquire(&disk).found, found(config(), Source::File));
        write(&other());
        assert_eq!(acquire(&disk).found, found(config(), Source::State));
    }

    #[test]
    fn a_staged_config_takes_effect_once() {
        let (_dir, disk) = places();
        disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
        disk.file_staged(&other().to_yaml_with_secrets()).unwrap();
        assert_eq!(acquire(&disk).found, found(other(), Source::State));
        assert_eq!(disk.read_staged().unwrap(), None);
        assert_eq!(acquire(&disk).found, found(other(), Source::State));
    }

    #[test]
    fn a_state_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, disk) = places();
        let cut_short = format!("{ACCEPTED}.{}.new", std::process::id());
        std::fs::write(disk.state.join(cut_short), "left over").unwrap();
        disk.file_accepted("a").unwrap();
        for name in [ACCEPTED, SECOND] {
            let mode = std::fs::metadata(disk.state.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&disk.state).unwrap().count(), 2);
    }
}
