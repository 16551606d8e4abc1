//! Looks for a config, once, at the start.
//!
//! The places are a table, asked in order; the first one with a config that can be used wins. A config that cannot
//! be used is left where it is and told as a problem: the node then goes on with the next place.

use machine_config::{Faults, MachineConfig, medium};

use super::disk::{ACCEPTED, ConfigDisk, DiskError, STAGED, is_leftover};
use super::status::Source;
use crate::controller::chain;

/// What was found.
#[derive(Debug)]
pub struct Acquired {
    /// The config and its place; `None` means maintenance mode.
    pub found: Option<(MachineConfig, Source)>,
    /// What was wrong on the way, one line or more each.
    pub problems: Vec<String>,
}

/// A place to look for a config.
struct Place {
    source: Source,
    name: &'static str,
    /// Whether it is the node's own disk: `bedplate.config=none` leaves only those.
    local: bool,
    find: fn(&ConfigDisk) -> Result<Option<String>, FindError>,
    /// What is done once its config proved usable.
    accept: fn(&ConfigDisk, &MachineConfig) -> Result<(), DiskError>,
}

/// In the order of asking. CONFIG is first: whoever flashed a medium anew means the config on it.
const PLACES: &[Place] = &[
    Place {
        source: Source::Medium,
        name: "CONFIG",
        local: true,
        find: find_medium,
        accept: move_to_state,
    },
    Place {
        source: Source::State,
        name: STAGED,
        local: true,
        find: find_staged,
        accept: promote,
    },
    Place {
        source: Source::State,
        name: ACCEPTED,
        local: true,
        find: find_accepted,
        accept: keep,
    },
];

#[derive(Debug, thiserror::Error)]
enum FindError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Medium(#[from] medium::MediumError),
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Finds the config of this start. `cmdline` is the kernel's: `bedplate.config=none` asks nobody but the own disk.
pub fn acquire(disk: &ConfigDisk, cmdline: &str) -> Acquired {
    acquire_from(PLACES, disk, cmdline)
}

fn acquire_from(places: &[Place], disk: &ConfigDisk, cmdline: &str) -> Acquired {
    let local_only = cmdline
        .split_ascii_whitespace()
        .any(|word| word == "bedplate.config=none");
    let mut problems = Vec::new();
    for place in places.iter().filter(|place| place.local || !local_only) {
        let config = match read(place, disk) {
            Ok(None) => continue,
            Ok(Some(config)) => config,
            Err(error) => {
                problems.push(format!("{}: {}", place.name, chain(&error)));
                continue;
            }
        };
        // The config is good even if it could not be filed: the next start finds it in its old place again.
        if let Err(error) = (place.accept)(disk, &config) {
            problems.push(format!("{}: {}", place.name, chain(&error)));
        }
        return Acquired {
            found: Some((config, place.source)),
            problems,
        };
    }
    Acquired {
        found: None,
        problems,
    }
}

fn read(place: &Place, disk: &ConfigDisk) -> Result<Option<MachineConfig>, FindError> {
    let Some(text) = (place.find)(disk)? else {
        return Ok(None);
    };
    Ok(Some(machine_config::parse(&text)?))
}

fn find_medium(disk: &ConfigDisk) -> Result<Option<String>, FindError> {
    let Some(bytes) = disk.read_medium()? else {
        return Ok(None);
    };
    if is_leftover(&bytes) {
        // A power cut ended the wipe. What was to be wiped is in STATE by now.
        disk.wipe_medium()?;
        return Ok(None);
    }
    Ok(medium::decode(&bytes)?)
}

/// Files the config before the medium is wiped: a power cut between the two only makes this happen again.
fn move_to_state(disk: &ConfigDisk, config: &MachineConfig) -> Result<(), DiskError> {
    // First, so that the sync of what is written then covers it: it must not come back when the medium is wiped.
    disk.remove(STAGED)?;
    disk.write(ACCEPTED, &config.to_yaml_with_secrets())?;
    disk.wipe_medium()
}

fn find_staged(disk: &ConfigDisk) -> Result<Option<String>, FindError> {
    Ok(disk.read(STAGED)?)
}

fn promote(disk: &ConfigDisk, _: &MachineConfig) -> Result<(), DiskError> {
    disk.promote_staged()
}

fn find_accepted(disk: &ConfigDisk) -> Result<Option<String>, FindError> {
    Ok(disk.read(ACCEPTED)?)
}

fn keep(_: &ConfigDisk, _: &MachineConfig) -> Result<(), DiskError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{config, other, places};

    fn put_medium(disk: &ConfigDisk, yaml: &str) {
        let mut bytes = medium::encode(yaml).unwrap();
        bytes.resize(1 << 20, 0);
        std::fs::write(disk.medium.as_ref().unwrap(), bytes).unwrap();
    }

    #[test]
    fn without_a_config_there_is_none_and_no_problem() {
        let (_dir, disk) = places();
        let acquired = acquire(&disk, "console=ttyAMA0");
        assert!(
            acquired.found.is_none() && acquired.problems.is_empty(),
            "{acquired:?}"
        );
    }

    #[test]
    fn the_medium_moves_into_state_and_is_wiped() {
        let (_dir, disk) = places();
        disk.write(ACCEPTED, &other().to_yaml_with_secrets()).unwrap();
        disk.write(STAGED, &other().to_yaml_with_secrets()).unwrap();
        put_medium(&disk, &config().to_yaml_with_secrets());
        let acquired = acquire(&disk, "");
        assert_eq!(acquired.found, Some((config(), Source::Medium)));
        assert_eq!(acquired.problems, [""; 0]);
        let medium = std::fs::read(disk.medium.as_ref().unwrap()).unwrap();
        assert!(medium.len() == 1 << 20 && medium.iter().all(|byte| *byte == 0));
        let again = acquire(&disk, "");
        assert_eq!(
            again.found,
            Some((config(), Source::State)),
            "with its secrets, and nothing staged before it"
        );
    }

    #[test]
    fn a_bad_config_is_told_and_left_and_the_next_place_is_asked() {
        let (_dir, disk) = places();
        disk.write(ACCEPTED, &config().to_yaml_with_secrets()).unwrap();
        put_medium(&disk, "kind: MachineConfig\n");
        let acquired = acquire(&disk, "");
        assert_eq!(acquired.found, Some((config(), Source::State)));
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
        let acquired = acquire(&disk, "");
        assert_eq!(acquired.found, Some((config(), Source::Medium)));
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
    fn a_staged_config_takes_effect_once() {
        let (_dir, disk) = places();
        disk.write(ACCEPTED, &config().to_yaml_with_secrets()).unwrap();
        disk.write(STAGED, &other().to_yaml_with_secrets()).unwrap();
        assert_eq!(acquire(&disk, "").found, Some((other(), Source::State)));
        assert_eq!(disk.read(STAGED).unwrap(), None);
        assert_eq!(acquire(&disk, "").found, Some((other(), Source::State)));
    }

    #[test]
    fn a_state_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, disk) = places();
        std::fs::write(disk.state.join("config.yaml.new"), "left over").unwrap();
        disk.write(ACCEPTED, "a").unwrap();
        let mode = std::fs::metadata(disk.state.join(ACCEPTED))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&disk.state).unwrap().count(), 1);
    }

    #[test]
    fn the_kernel_argument_leaves_the_own_disk_only() {
        let (_dir, disk) = places();
        let remote = |_: &ConfigDisk| Ok(Some(config().to_yaml_with_secrets()));
        let places = [Place {
            source: Source::Api,
            name: "remote",
            local: false,
            find: remote,
            accept: keep,
        }];
        assert!(acquire_from(&places, &disk, "quiet").found.is_some());
        assert!(
            acquire_from(&places, &disk, "quiet bedplate.config=none")
                .found
                .is_none()
        );
    }
}
