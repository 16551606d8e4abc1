//! A node that was configured once is never open again: what heals, what locks, and who may repair it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::Role;
use api::v1alpha1::ApplyMode;
use backend::{BackendError, Caller, Configs};
use machine_config::MachineConfig;
use node::power::Stop;
use owner::Owner;
use pki::authority::SERVER_LIFE;
use pki::{Authority, NodeClock, ServerTls, Serving, Validity};
use state::kinds::config::{Phase, Source};
use state::kinds::{NODE, OwnerStatus};
use state::testkit::config;

use super::disk::{ACCEPTED, SECOND};
use super::seal::seal;
use super::testing::{caller, places};
use super::tests::{bench, bench_on, other};
use super::*;

/// A node's disk after a config was accepted.
fn configured() -> (tempfile::TempDir, ConfigDisk) {
    let (dir, disk) = places();
    disk.file_accepted(&config().to_yaml_with_secrets()).unwrap();
    let acquired = acquire(&disk);
    assert!(matches!(acquired.found, Found::Config(..)));
    assert_eq!(disk.owner.owner(), owner());
    (dir, disk)
}

fn owner() -> Owner {
    Owner::of(&config().machine.ca.cert.to_string())
}

fn files(disk: &ConfigDisk) -> [PathBuf; 2] {
    [ACCEPTED, SECOND].map(|name| disk.state.join(name))
}

fn flip_bit(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Anybody, without a certificate.
fn stranger() -> Caller {
    caller(None)
}

/// A holder of a certificate of another authority, as a worker's API would let through that trusts it.
fn foreigner() -> Caller {
    let other = Authority::generate("other", SystemTime::now()).unwrap();
    let (clock, tls) = (Arc::new(NodeClock::trusting()), Arc::new(ServerTls::new()));
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    let issued = other.issue_server("node1", &[], validity).unwrap();
    let serving = Serving::mutual(other.certificate_pem(), &issued, clock.clone());
    tls.set(Some(serving.unwrap()));
    Caller::current(Some(Role::Admin), tls, clock)
}

fn locked(disk: &ConfigDisk) -> &'static str {
    match acquire(disk).found {
        Found::Locked(reason) => reason,
        found => panic!("not locked: {found:?}"),
    }
}

#[test]
fn one_bad_copy_heals_from_the_other_and_is_told() {
    let ruins: [fn(&PathBuf); 5] = [
        flip_bit,
        |path| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, [0xff; 600]).unwrap(),
        |path| fs::write(path, vec![b'a'; 1 << 20]).unwrap(),
    ];
    for (which, name) in [ACCEPTED, SECOND].into_iter().enumerate() {
        for (number, ruin) in ruins.iter().enumerate() {
            let (_dir, disk) = configured();
            let sound = fs::read(&files(&disk)[which]).unwrap();
            ruin(&files(&disk)[which]);
            let acquired = acquire(&disk);
            let found = Found::Config(Box::new(config()), Source::State);
            assert_eq!(acquired.found, found, "{name}, ruin {number}");
            let healed = format!("{name} was damaged; it is restored from its second copy");
            assert_eq!(acquired.problems, [healed]);
            assert_eq!(fs::read(&files(&disk)[which]).unwrap(), sound);
            assert_eq!(acquire(&disk).problems, [""; 0], "once");
        }
    }
}

#[tokio::test]
async fn two_bad_copies_lock_the_node_until_its_owner_repairs_it() {
    let (dir, disk) = configured();
    files(&disk).iter().for_each(flip_bit);
    let bench = bench_on(dir, disk);
    let reason = "the machine config in STATE is damaged".to_owned();
    assert_eq!(bench.status().phase, Phase::Locked { reason });
    assert_eq!(bench.handle.current(false), None);
    assert!(
        bench.told().iter().any(|told| told.contains("locked")),
        "{:?}",
        bench.told()
    );

    let foreign = other();
    for caller in [stranger(), foreigner()] {
        for mode in [
            ApplyMode::Auto,
            ApplyMode::NoReboot,
            ApplyMode::Staged,
            ApplyMode::Try,
        ] {
            let refused = bench.apply_as(caller.clone(), &foreign, mode).await;
            assert!(
                matches!(refused, Err(BackendError::Unauthenticated(_))),
                "{refused:?}"
            );
        }
    }
    assert_eq!(bench.after_restart(), None);
    assert_eq!(locked(&bench.disk), "the machine config in STATE is damaged");

    let owner = caller(Some(&config()));
    assert_eq!(bench.apply_as(owner, &other(), ApplyMode::Auto).await, Ok(false));
    assert_eq!(bench.status().phase, Phase::Running { source: Source::Api });
    assert_eq!(bench.after_restart(), Some(other()));
}

#[test]
fn a_state_that_lost_everything_locks_and_never_waits_for_anybody() {
    let (_dir, disk) = configured();
    fs::remove_dir_all(&disk.state).unwrap();
    fs::create_dir(&disk.state).unwrap();
    let acquired = acquire(&disk);
    assert_eq!(
        acquired.found,
        Found::Locked("the machine config is gone from STATE")
    );
    assert_eq!(acquired.owner, owner());
}

#[tokio::test]
async fn without_a_known_owner_nothing_changes_for_anybody() {
    let (dir, disk) = configured();
    files(&disk)
        .iter()
        .for_each(|file| fs::remove_file(file).unwrap());
    let bootstate = disk.medium.as_ref().unwrap().with_file_name("BOOTSTATE");
    fs::write(bootstate, vec![0xa5; 1 << 20]).unwrap();
    let bench = bench_on(dir, disk);
    assert!(matches!(bench.status().phase, Phase::Locked { .. }));
    let owned: OwnerStatus = bench.store.get(NODE).unwrap();
    assert!(owned.owned && owned.authorities.is_none());
    for caller in [stranger(), foreigner(), caller(Some(&config()))] {
        let refused = bench.apply_as(caller, &other(), ApplyMode::Auto).await;
        assert!(
            matches!(refused, Err(BackendError::Unauthenticated(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_config_of_another_release_is_kept_as_it_is_and_locks() {
    let (_dir, disk) = configured();
    let newer = config()
        .to_yaml_with_secrets()
        .replace("hostname: node1", "hostname: node1\n  quantumLink: on");
    disk.file_accepted(&newer).unwrap();
    let before = files(&disk).map(|file| fs::read(file).unwrap());
    let acquired = acquire(&disk);
    assert_eq!(
        acquired.found,
        Found::Locked("this release cannot use the machine config in STATE")
    );
    assert!(
        acquired.problems[0].contains("quantumLink"),
        "{:?}",
        acquired.problems
    );
    assert_eq!(files(&disk).map(|file| fs::read(file).unwrap()), before);
}

/// A node that was upgraded from a release without checksums and owner record.
#[test]
fn an_older_node_gets_checksums_and_an_owner_and_falls_open_neither() {
    let (_dir, disk) = places();
    let plain = config().to_yaml_with_secrets();
    fs::write(disk.state.join(ACCEPTED), &plain).unwrap();
    let acquired = acquire(&disk);
    assert!(matches!(acquired.found, Found::Config(..)) && acquired.problems.is_empty());
    assert_eq!(disk.owner.owner(), owner());
    for file in files(&disk) {
        assert_eq!(fs::read_to_string(file).unwrap(), seal(&plain));
    }
    // Back in the older release another config was accepted: it is the newer one.
    fs::write(disk.state.join(ACCEPTED), other().to_yaml_with_secrets()).unwrap();
    let found = Found::Config(Box::new(other()), Source::State);
    assert_eq!(acquire(&disk).found, found);

    let (_dir, disk) = places();
    fs::write(disk.state.join(ACCEPTED), plain.replace("kind:", "knid:")).unwrap();
    let acquired = acquire(&disk);
    assert!(matches!(acquired.found, Found::Locked(_)), "{acquired:?}");
    assert_eq!(acquired.owner, Owner::Unknown);
}

#[tokio::test]
async fn where_state_is_lost_a_repair_waits_in_config_for_the_next_start() {
    let (dir, mut disk) = configured();
    fs::remove_dir_all(&disk.state).unwrap();
    fs::create_dir(&disk.state).unwrap();
    disk.state_lost = true;
    let bench = bench_on(dir, disk);
    let reason = "STATE cannot be used".to_owned();
    assert_eq!(bench.status().phase, Phase::Locked { reason });
    let refused = bench.apply_as(stranger(), &other(), ApplyMode::Auto).await;
    assert!(refused.is_err());
    let medium = bench.disk.medium.clone().unwrap();
    assert!(!config_in(&medium));

    let owner = caller(Some(&config()));
    assert_eq!(bench.apply_as(owner, &other(), ApplyMode::Auto).await, Ok(true));
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert!(config_in(&medium));
    // STATE still cannot be used: the config stays where it is.
    assert_eq!(bench.after_restart(), Some(other()));
    assert!(config_in(&medium));
    let repaired = ConfigDisk {
        state_lost: false,
        ..bench.disk.clone()
    };
    for source in [Source::Medium, Source::State] {
        let found = Found::Config(Box::new(other()), source);
        assert_eq!(acquire(&repaired).found, found);
    }
    assert!(!config_in(&medium));
}

#[tokio::test(start_paused = true)]
async fn a_trial_from_a_locked_node_goes_back_to_it() {
    let (dir, disk) = configured();
    files(&disk).iter().for_each(flip_bit);
    let bench = bench_on(dir, disk);
    let owner = caller(Some(&config()));
    bench.apply_as(owner, &other(), ApplyMode::Try).await.unwrap();
    assert_eq!(bench.store.get(NODE), Some(other()));
    tokio::time::sleep(TRY_TIMEOUT + Duration::from_secs(1)).await;
    assert_eq!(bench.store.get::<MachineConfig>(NODE), None);
    assert!(matches!(bench.status().phase, Phase::Locked { .. }));
}

/// The API could not come up with it: in no mode is it taken.
#[tokio::test]
async fn a_config_that_would_lock_its_owner_out_is_refused() {
    let mut foreign = config();
    let other = Authority::generate("other", SystemTime::now()).unwrap();
    foreign.machine.ca.key = Some(machine_config::Secret::new(other.key_pem().as_str()));
    for start in [None, Some(&config())] {
        let bench = bench(start);
        for mode in [
            ApplyMode::Auto,
            ApplyMode::NoReboot,
            ApplyMode::Staged,
            ApplyMode::Try,
        ] {
            let Err(BackendError::Invalid(faults)) = bench.apply(&foreign, mode).await else {
                panic!("{mode:?} takes it")
            };
            assert_eq!(faults[0].0, "machine.ca.key", "{faults:?}");
        }
        assert_eq!(bench.after_restart().as_ref(), start);
    }
}

#[tokio::test]
async fn authority_and_owner_change_together() {
    let bench = bench(Some(&config()));
    let home = Authority::generate("home", SystemTime::now()).unwrap();
    let mut moved = config();
    moved.machine.ca.cert = home.certificate_pem().parse().unwrap();
    moved.machine.ca.key = Some(machine_config::Secret::new(home.key_pem().as_str()));
    assert_eq!(bench.apply(&moved, ApplyMode::Auto).await, Ok(true));
    assert_eq!(bench.disk.owner.owner(), Owner::of(home.certificate_pem()));
    files(&bench.disk).iter().for_each(flip_bit);
    assert_eq!(acquire(&bench.disk).owner, Owner::of(home.certificate_pem()));
}

/// The power goes while a repair is written to CONFIG, of a node whose STATE cannot be used: whatever arrived of it, the node
/// is locked or has the whole repair.
#[test]
fn half_a_repair_is_none_and_opens_nothing() {
    let (_dir, mut disk) = configured();
    fs::remove_dir_all(&disk.state).unwrap();
    fs::create_dir(&disk.state).unwrap();
    disk.state_lost = true;
    let medium = disk.medium.clone().unwrap();
    disk.file_accepted(&other().to_yaml_with_secrets()).unwrap();
    let whole = fs::read(&medium).unwrap();
    let sectors = whole.iter().rposition(|byte| *byte != 0).unwrap().div_ceil(512);
    for arrived in 0..1u32 << sectors.min(10) {
        let mut partition = vec![0; whole.len()];
        for sector in (0..sectors).filter(|sector| arrived & 1 << sector != 0) {
            let bytes = sector * 512..(sector + 1) * 512;
            partition[bytes.clone()].copy_from_slice(&whole[bytes]);
        }
        fs::write(&medium, &partition).unwrap();
        match acquire(&disk).found {
            Found::Locked(_) => assert_ne!(partition, whole),
            Found::Config(found, _) => assert_eq!((*found, &partition), (other(), &whole)),
            Found::Nothing => panic!("it is open when the sectors {arrived:b} arrived"),
        }
    }
}
