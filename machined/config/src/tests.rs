//! Configs and places for the tests, and the handle over a real folder.

use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::ApplyMode;
use backend::{Apply, BackendError, Caller, Configs};
use machine_config::MachineConfig;
use node::events::Events;
use node::power::{Power, Stop};
use owner::Owner;
use pki::NodeClock;
use state::Store;
use state::kinds::config::{Pending, Phase, Source};
use state::kinds::{ConfigStatus, NODE};
use state::testkit::config;
use tempfile::TempDir;

use super::testing::{caller, places};
use super::*;

/// The same with another name.
pub(super) fn other() -> MachineConfig {
    let mut other = config();
    other.machine.hostname = "node2".parse().ok();
    other
}

pub(super) struct Bench {
    pub(super) events: Events,
    _dir: TempDir,
    pub(super) disk: ConfigDisk,
    pub(super) store: Store,
    pub(super) power: Power,
    pub(super) handle: ConfigHandle,
}

pub(super) fn bench(start: Option<&MachineConfig>) -> Bench {
    let (dir, disk) = places();
    if let Some(config) = start {
        disk.file_accepted(&config.to_yaml_with_secrets()).unwrap();
    }
    bench_on(dir, disk)
}

/// Starts a node with what the disk holds.
pub(super) fn bench_on(dir: TempDir, disk: ConfigDisk) -> Bench {
    let (store, power, events) = (Store::new(), Power::new(), Events::new());
    let acquired = acquire(&disk);
    let clock = Arc::new(NodeClock::trusting());
    let handle = ConfigHandle::start(
        store.clone(),
        disk.clone(),
        power.clone(),
        events.clone(),
        clock,
        acquired,
    )
    .unwrap();
    Bench {
        events,
        _dir: dir,
        disk,
        store,
        power,
        handle,
    }
}

impl Bench {
    pub(super) async fn apply(&self, config: &MachineConfig, mode: ApplyMode) -> Result<bool, BackendError> {
        let caller = caller(self.handle.config().as_ref());
        self.apply_as(caller, config, mode).await
    }

    pub(super) async fn apply_as(
        &self,
        caller: Caller,
        config: &MachineConfig,
        mode: ApplyMode,
    ) -> Result<bool, BackendError> {
        let apply = Apply {
            caller,
            yaml: config.to_yaml_with_secrets(),
            mode,
            dry_run: false,
            try_timeout: Duration::ZERO,
            expected_revision: None,
        };
        self.handle.apply(apply).await.map(|answer| answer.reboot)
    }

    /// Everything that was told since the start.
    pub(super) fn told(&self) -> Vec<String> {
        let mut events = self.events.follow(None);
        std::iter::from_fn(|| events.try_next())
            .map(|read| read.item.message)
            .collect()
    }

    pub(super) fn status(&self) -> ConfigStatus {
        self.store.get(NODE).unwrap()
    }

    /// The config a restart would find.
    pub(super) fn after_restart(&self) -> Option<MachineConfig> {
        match acquire(&self.disk).found {
            Found::Config(config, _) => Some(*config),
            Found::Nothing | Found::Locked(_) => None,
        }
    }
}

#[tokio::test]
async fn maintenance_ends_with_a_config_and_without_a_reboot() {
    let bench = bench(None);
    assert_eq!(
        (bench.status().phase, bench.handle.current(false)),
        (Phase::Maintenance, None)
    );
    assert_eq!(bench.apply(&config(), ApplyMode::Auto).await, Ok(false));
    assert_eq!(bench.status().phase, Phase::Running { source: Source::Api });
    assert_eq!(bench.store.get(NODE), Some(config()));
    assert_eq!(bench.after_restart(), Some(config()));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let bench = bench(Some(&config()));
    let apply = Apply {
        caller: caller(bench.handle.config().as_ref()),
        yaml: other().to_yaml_with_secrets(),
        mode: ApplyMode::Auto,
        dry_run: true,
        try_timeout: Duration::ZERO,
        expected_revision: None,
    };
    let answer = bench.handle.apply(apply).await.unwrap();
    assert_eq!(answer.changes, ["machine.hostname"]);
    assert_eq!(bench.store.get(NODE), Some(config()));
    assert_eq!(bench.after_restart(), Some(config()));
}

#[tokio::test]
async fn a_reboot_is_asked_for_after_the_config_is_filed() {
    let bench = bench(Some(&config()));
    let mut stiff = config();
    stiff.machine.modules.clear();
    assert!(matches!(
        bench.apply(&stiff, ApplyMode::NoReboot).await,
        Err(BackendError::Refused(_))
    ));
    assert_eq!(bench.power.requested(), None);
    assert_eq!(bench.apply(&stiff, ApplyMode::Auto).await, Ok(true));
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(
        bench.store.get(NODE),
        Some(config()),
        "until then the old one is in effect"
    );
    assert_eq!(bench.after_restart(), Some(stiff));
}

#[tokio::test]
async fn a_staged_config_waits_for_the_next_start_unless_another_is_accepted() {
    let bench = bench(Some(&config()));
    bench.apply(&other(), ApplyMode::Staged).await.unwrap();
    assert_eq!(bench.status().pending, Some(Pending::Staged));
    assert_eq!(bench.store.get(NODE), Some(config()));
    bench.apply(&config(), ApplyMode::Auto).await.unwrap();
    assert_eq!(bench.after_restart(), Some(config()));
    bench.apply(&other(), ApplyMode::Staged).await.unwrap();
    assert_eq!(bench.after_restart(), Some(other()));
    let told = bench.told();
    assert!(
        told[0].contains("was staged for the next start") && told[1].contains("was applied, by"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_taken_back_in_time_and_never_filed() {
    let bench = bench(Some(&config()));
    bench.apply(&other(), ApplyMode::Try).await.unwrap();
    assert!(matches!(bench.status().pending, Some(Pending::Trying { .. })));
    tokio::time::sleep(TRY_TIMEOUT - Duration::from_secs(1)).await;
    assert_eq!(bench.store.get(NODE), Some(other()));
    assert_eq!(bench.after_restart(), Some(config()), "a power cut ends a trial");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.store.get(NODE), Some(config()));
    let told = bench.told();
    assert!(
        told[0].contains("is tried for 1m, by ") && told[0].ends_with("machine.hostname differs"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("it is taken back") && told.len() == 2,
        "{told:?}"
    );
    assert_eq!(
        (bench.status().pending, bench.status().phase),
        (
            None,
            Phase::Running {
                source: Source::State
            }
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_from_maintenance_goes_back_to_maintenance() {
    let bench = bench(None);
    bench.apply(&config(), ApplyMode::Try).await.unwrap();
    bench.apply(&other(), ApplyMode::Try).await.unwrap();
    tokio::time::sleep(TRY_TIMEOUT * 2).await;
    assert_eq!(bench.store.get::<MachineConfig>(NODE), None);
    assert_eq!(bench.status().phase, Phase::Maintenance);
}

#[tokio::test(start_paused = true)]
async fn a_trial_applied_again_stays() {
    let bench = bench(Some(&config()));
    bench.apply(&other(), ApplyMode::Try).await.unwrap();
    bench.apply(&other(), ApplyMode::Auto).await.unwrap();
    tokio::time::sleep(TRY_TIMEOUT * 2).await;
    assert_eq!(bench.store.get(NODE), Some(other()));
    assert_eq!(bench.after_restart(), Some(other()));
}

#[tokio::test]
async fn faults_come_with_path_and_line() {
    let bench = bench(None);
    let yaml = config().to_yaml_with_secrets().replace("hostname", "hostnme");
    let apply = Apply {
        caller: caller(bench.handle.config().as_ref()),
        yaml,
        mode: ApplyMode::Auto,
        dry_run: false,
        try_timeout: Duration::ZERO,
        expected_revision: None,
    };
    let Err(BackendError::Invalid(faults)) = bench.handle.apply(apply).await else {
        panic!("it is not valid")
    };
    assert_eq!(faults[0].0, "machine.hostnme");
    assert!(
        faults[0].1.contains("did you mean \"hostname\"?") && faults[0].1.ends_with("(line 5)"),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_changes_nothing() {
    let bench = bench(Some(&config()));
    std::fs::remove_dir_all(&bench.disk.state).unwrap();
    assert!(matches!(
        bench.apply(&other(), ApplyMode::Auto).await,
        Err(BackendError::Internal(_))
    ));
    assert_eq!(bench.store.get(NODE), Some(config()));

    let first = self::bench(None);
    std::fs::remove_dir_all(&first.disk.state).unwrap();
    assert!(first.apply(&config(), ApplyMode::Auto).await.is_err());
    assert_eq!(
        first.disk.owner.owner(),
        Owner::Nobody,
        "it is somebody's once its config is filed, and not before"
    );
}

#[tokio::test]
async fn what_was_read_redacted_can_be_applied_again() {
    let bench = bench(Some(&config()));
    let yaml = bench
        .handle
        .current(false)
        .unwrap()
        .yaml
        .replace("node1", "node2");
    assert!(!yaml.contains("PRIVATE") && bench.handle.current(true).unwrap().yaml.contains("PRIVATE"));
    let apply = Apply {
        caller: caller(bench.handle.config().as_ref()),
        yaml,
        mode: ApplyMode::Auto,
        dry_run: false,
        try_timeout: Duration::ZERO,
        expected_revision: None,
    };
    bench.handle.apply(apply).await.unwrap();
    assert_eq!(bench.store.get(NODE), Some(other()));
    let shown = bench
        .store
        .get_dyn("MachineConfig", NODE)
        .unwrap()
        .value
        .to_string();
    assert!(
        !shown.contains("PRIVATE") && shown.contains("<redacted>"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    let bench = bench(Some(&config()));
    let read = bench.handle.current(true).unwrap();
    let change = |revision: &str, mode| Apply {
        caller: caller(bench.handle.config().as_ref()),
        yaml: read.yaml.replace("node1", "node2"),
        mode,
        dry_run: false,
        try_timeout: Duration::ZERO,
        expected_revision: Some(revision.to_owned()),
    };
    bench
        .handle
        .apply(change(&read.revision, ApplyMode::Auto))
        .await
        .unwrap();
    let error = bench
        .handle
        .apply(change(&read.revision, ApplyMode::Auto))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, BackendError::Conflict(text) if text.contains("changed by somebody else")),
        "{error}"
    );

    // What is staged is in effect nowhere yet, and would be lost.
    bench.apply(&config(), ApplyMode::Staged).await.unwrap();
    let now = bench.handle.current(true).unwrap().revision;
    let error = bench
        .handle
        .apply(change(&now, ApplyMode::Auto))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, BackendError::Conflict(text) if text.contains("waits for the next start")),
        "{error}"
    );
}
