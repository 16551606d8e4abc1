//! Configs and places for the tests, and the handle over a real folder.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use api::Role;
use api::v1alpha1::ApplyMode;
use machine_config::MachineConfig;
use pki::authority::SERVER_LIFE;
use pki::{Authority, NodeClock, ServerTls, Serving, Validity};
use tempfile::TempDir;

use super::*;
use crate::api::backend::{Apply, BackendError, Caller, Configs};
use crate::power::{Power, Stop};
use crate::resource::Store;

/// The authority of the configs here.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("home", SystemTime::now()).unwrap())
}

/// A config with a module.
pub(crate) fn config() -> MachineConfig {
    let mut config = machine_config::parse(
        "apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  hostname: node1
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
  modules: [dummy]
",
    )
    .unwrap();
    config.machine.ca.cert = authority().certificate_pem().parse().unwrap();
    config
}

/// Whoever may apply a config to a node with that one.
pub(crate) fn caller(config: Option<&MachineConfig>) -> Caller {
    let clock = Arc::new(NodeClock::trusting());
    let tls = Arc::new(ServerTls::new());
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    let serving = match config {
        Some(config) => {
            let issued = authority().issue_server("node1", &[], validity).unwrap();
            Serving::mutual(&config.machine.ca.cert.to_string(), &issued, clock.clone())
        }
        None => Serving::maintenance(&pki::authority::maintenance(&[]).unwrap()),
    };
    tls.set(Some(serving.unwrap()));
    Caller::current(config.map(|_| Role::Admin), tls, clock)
}

/// The same with another name.
pub(super) fn other() -> MachineConfig {
    let mut other = config();
    other.machine.hostname = "node2".parse().ok();
    other
}

/// A folder for STATE, and a file for CONFIG.
pub(crate) fn places() -> (TempDir, ConfigDisk) {
    let dir = TempDir::new().unwrap();
    let (medium, state) = (dir.path().join("CONFIG"), dir.path().join("state"));
    std::fs::write(&medium, vec![0; 1 << 20]).unwrap();
    std::fs::create_dir(&state).unwrap();
    (
        dir,
        ConfigDisk {
            medium: Some(medium),
            state,
        },
    )
}

struct Bench {
    _dir: TempDir,
    disk: ConfigDisk,
    store: Store,
    power: Power,
    handle: ConfigHandle,
}

fn bench(start: Option<&MachineConfig>) -> Bench {
    let (dir, disk) = places();
    if let Some(config) = start {
        disk.write(disk::ACCEPTED, &config.to_yaml_with_secrets())
            .unwrap();
    }
    let (store, power) = (Store::new(), Power::new());
    let acquired = acquire(&disk, "");
    let handle = ConfigHandle::start(store.clone(), disk.clone(), power.clone(), acquired).unwrap();
    Bench {
        _dir: dir,
        disk,
        store,
        power,
        handle,
    }
}

impl Bench {
    async fn apply(&self, config: &MachineConfig, mode: ApplyMode) -> Result<bool, BackendError> {
        let apply = Apply {
            caller: caller(self.handle.config().as_ref()),
            yaml: config.to_yaml_with_secrets(),
            mode,
            dry_run: false,
            try_timeout: Duration::ZERO,
        };
        self.handle.apply(apply).await.map(|answer| answer.reboot)
    }

    fn status(&self) -> ConfigStatus {
        self.store.get(CONFIG_ID).unwrap()
    }

    /// The config a restart would find.
    fn after_restart(&self) -> Option<MachineConfig> {
        acquire(&self.disk, "").found.map(|(config, _)| config)
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
    assert_eq!(bench.store.get(CONFIG_ID), Some(config()));
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
    };
    let answer = bench.handle.apply(apply).await.unwrap();
    assert_eq!(answer.changes, ["machine.hostname"]);
    assert_eq!(bench.store.get(CONFIG_ID), Some(config()));
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
        bench.store.get(CONFIG_ID),
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
    assert_eq!(bench.store.get(CONFIG_ID), Some(config()));
    bench.apply(&config(), ApplyMode::Auto).await.unwrap();
    assert_eq!(bench.after_restart(), Some(config()));
    bench.apply(&other(), ApplyMode::Staged).await.unwrap();
    assert_eq!(bench.after_restart(), Some(other()));
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_taken_back_in_time_and_never_filed() {
    let bench = bench(Some(&config()));
    bench.apply(&other(), ApplyMode::Try).await.unwrap();
    assert!(matches!(bench.status().pending, Some(Pending::Trying { .. })));
    tokio::time::sleep(TRY_TIMEOUT - Duration::from_secs(1)).await;
    assert_eq!(bench.store.get(CONFIG_ID), Some(other()));
    assert_eq!(bench.after_restart(), Some(config()), "a power cut ends a trial");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.store.get(CONFIG_ID), Some(config()));
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
    assert_eq!(bench.store.get::<MachineConfig>(CONFIG_ID), None);
    assert_eq!(bench.status().phase, Phase::Maintenance);
}

#[tokio::test(start_paused = true)]
async fn a_trial_applied_again_stays() {
    let bench = bench(Some(&config()));
    bench.apply(&other(), ApplyMode::Try).await.unwrap();
    bench.apply(&other(), ApplyMode::Auto).await.unwrap();
    tokio::time::sleep(TRY_TIMEOUT * 2).await;
    assert_eq!(bench.store.get(CONFIG_ID), Some(other()));
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
    assert_eq!(bench.store.get(CONFIG_ID), Some(config()));
}

#[tokio::test]
async fn what_was_read_redacted_can_be_applied_again() {
    let bench = bench(Some(&config()));
    let yaml = bench.handle.current(false).unwrap().replace("node1", "node2");
    assert!(!yaml.contains("MC4C") && bench.handle.current(true).unwrap().contains("MC4C"));
    let apply = Apply {
        caller: caller(bench.handle.config().as_ref()),
        yaml,
        mode: ApplyMode::Auto,
        dry_run: false,
        try_timeout: Duration::ZERO,
    };
    bench.handle.apply(apply).await.unwrap();
    assert_eq!(bench.store.get(CONFIG_ID), Some(other()));
    let shown = bench
        .store
        .get_dyn("MachineConfig", CONFIG_ID)
        .unwrap()
        .value
        .to_string();
    assert!(!shown.contains("MC4C") && shown.contains("<redacted>"), "{shown}");
}
