//! Platforms that answer, fail and change their minds.

use std::sync::Mutex;

use api::v1alpha1::ApplyMode;
use machine_config::MachineConfig;
use node::power::Stop;
use state::kinds::config::{Pending, Phase, Source};
use state::testkit::config;
use tokio_util::task::AbortOnDropHandle;

use super::super::testing::places;
use super::super::tests::{Bench, bench, bench_on, other};
use super::*;

/// Gives one answer after the other, the last one forever.
struct Script(Mutex<Vec<Result<Option<String>, String>>>);

impl Script {
    fn platform(mut answers: Vec<Result<Option<String>, String>>) -> Arc<dyn Platform> {
        answers.reverse();
        Arc::new(Script(Mutex::new(answers)))
    }
}

#[async_trait]
impl Platform for Script {
    fn name(&self) -> String {
        "script".into()
    }

    async fn config(&self, _: &Store) -> Result<Answer, String> {
        let mut answers = self.0.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop().unwrap(),
        };
        answer.map(|yaml| yaml.map_or(Answer::Nothing, |yaml| Answer::Offer(offer(&yaml))))
    }
}

fn offer(yaml: &str) -> Offer {
    Offer {
        yaml: yaml.to_owned().into(),
        ..Offer::default()
    }
}

fn network(bench: &Bench, ready: bool) {
    let status = NetworkStatus {
        ready,
        ..NetworkStatus::default()
    };
    bench.store.put("network", NODE, status).unwrap();
}

fn start(bench: &Bench, platforms: Vec<Arc<dyn Platform>>) -> AbortOnDropHandle<()> {
    let asking = ask(bench.handle.clone(), platforms, bench.store.clone());
    AbortOnDropHandle::new(tokio::spawn(asking))
}

/// Waits for a status.
async fn until(bench: &Bench, hold: impl Fn(&ConfigStatus) -> bool) -> ConfigStatus {
    let mut watch = bench.store.watch(&[ConfigStatus::KIND]);
    loop {
        let status = bench.status();
        if hold(&status) {
            return status;
        }
        watch.changed().await;
    }
}

fn running(status: &ConfigStatus) -> bool {
    matches!(status.phase, Phase::Running { .. })
}

#[tokio::test(start_paused = true)]
async fn the_first_config_that_is_valid_takes_effect_and_is_kept() {
    let bench = bench(None);
    let good = config().to_yaml_with_secrets().to_string();
    let answers = vec![
        Err("the server is away".into()),
        Ok(None),
        Ok(Some("kind: Nonsense".into())),
        Ok(Some(good)),
    ];
    let _asking = start(&bench, vec![Script::platform(answers)]);
    tokio::time::sleep(LONGEST_PAUSE).await;
    assert_eq!(
        bench.status().phase,
        Phase::Maintenance,
        "without a network nobody is asked"
    );
    network(&bench, true);
    for part in ["the server is away", "no config for this node", "kind"] {
        let status = until(&bench, |status| {
            status.problems.iter().any(|line| line.contains(part))
        })
        .await;
        assert!(status.problems[0].starts_with("script: "), "{status:?}");
        assert_eq!(
            status.problems.len(),
            1,
            "a round replaces the one before: {status:?}"
        );
    }
    let status = until(&bench, running).await;
    assert_eq!(
        status.phase,
        Phase::Running {
            source: Source::Platform
        }
    );
    assert_eq!(status.problems, [] as [String; 0]);
    assert_eq!(bench.store.get::<MachineConfig>(NODE), Some(config()));
    assert_eq!(
        bench.after_restart(),
        Some(config()),
        "the next start asks nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_config_keeps_it() {
    let bench = bench(Some(&config()));
    network(&bench, true);
    let foreign = other().to_yaml_with_secrets().to_string();
    assert!(bench.handle.adopt(offer(&foreign), "script").await.is_err());
    let _asking = start(&bench, vec![Script::platform(vec![Ok(Some(foreign))])]);
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    assert_eq!(bench.store.get::<MachineConfig>(NODE), Some(config()));
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_hangs_holds_up_nobody() {
    struct Hangs;
    #[async_trait]
    impl Platform for Hangs {
        fn name(&self) -> String {
            "hangs".into()
        }
        async fn config(&self, _: &Store) -> Result<Answer, String> {
            std::future::pending().await
        }
    }
    let bench = bench(None);
    network(&bench, true);
    let good = config().to_yaml_with_secrets().to_string();
    let _asking = start(
        &bench,
        vec![Arc::new(Hangs), Script::platform(vec![Ok(Some(good))])],
    );
    until(&bench, running).await;
}

#[tokio::test(start_paused = true)]
async fn the_api_may_be_faster() {
    let bench = bench(None);
    network(&bench, true);
    let _asking = start(&bench, vec![Script::platform(vec![Ok(None)])]);
    until(&bench, |status| !status.problems.is_empty()).await;
    bench.apply(&config(), ApplyMode::Auto).await.unwrap();
    let status = until(&bench, running).await;
    assert_eq!(status.phase, Phase::Running { source: Source::Api });
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    assert_eq!(bench.status().problems, [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_staged_wins_over_a_platform() {
    let bench = bench(None);
    network(&bench, true);
    bench.apply(&config(), ApplyMode::Staged).await.unwrap();
    let foreign = other().to_yaml_with_secrets().to_string();
    assert!(bench.handle.adopt(offer(&foreign), "script").await.is_err());
    let _asking = start(&bench, vec![Script::platform(vec![Ok(Some(foreign))])]);
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    assert_eq!(bench.status().pending, Some(Pending::Staged));
    assert_eq!(bench.after_restart(), Some(config()));
}

/// STATE is recreated at the next start, so the config waits for it in CONFIG, as one that the API applied would.
#[tokio::test(start_paused = true)]
async fn a_node_whose_state_is_lost_reboots_into_the_config() {
    let (dir, mut disk) = places();
    disk.state_lost = true;
    let bench = bench_on(dir, disk);
    network(&bench, true);
    let good = config().to_yaml_with_secrets().to_string();
    let _asking = start(&bench, vec![Script::platform(vec![Ok(Some(good))])]);
    let status = until(&bench, |status| status.pending.is_some()).await;
    assert_eq!(
        (status.phase, status.pending),
        (Phase::Maintenance, Some(Pending::Reboot))
    );
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(bench.store.get::<MachineConfig>(NODE), None);
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    assert_eq!(
        bench.status().problems,
        [] as [String; 0],
        "nobody is asked again"
    );
}

/// Volumes are read at once, and what is by the network waits for it.
#[tokio::test(start_paused = true)]
async fn a_volume_needs_no_network() {
    struct Volume(Offer);
    #[async_trait]
    impl Platform for Volume {
        fn name(&self) -> String {
            "volume".into()
        }
        fn by_network(&self) -> bool {
            false
        }
        async fn config(&self, _: &Store) -> Result<Answer, String> {
            Ok(Answer::Offer(self.0.clone()))
        }
    }
    let mut nameless = config();
    nameless.machine.hostname = None;
    let given = |name: &str| Offer {
        host_name: Some(name.into()),
        notes: vec!["a word about keys".into()],
        ..offer(&nameless.to_yaml_with_secrets())
    };
    let bench = bench(None);
    let never = Script::platform(vec![Err("it was asked without a network".into())]);
    let _asking = start(&bench, vec![never, Arc::new(Volume(given("node7")))]);
    let status = until(&bench, running).await;
    assert_eq!(status.problems, [] as [String; 0]);
    let name = |config: Option<MachineConfig>| config.unwrap().machine.hostname.unwrap().to_string();
    assert_eq!(name(bench.store.get::<MachineConfig>(NODE)), "node7");
    assert_eq!(
        name(bench.after_restart()),
        "node7",
        "it is filed with the config"
    );
}

/// A cloud without DHCP: what it says of the network is filed with a config that says nothing of it.
#[tokio::test(start_paused = true)]
async fn addresses_of_a_cloud_are_those_of_a_config_without_any() {
    use cloud::network_data::{Interface, NetworkData};

    let data = |mac_address: &str| NetworkData {
        interfaces: vec![Interface {
            mac_address: mac_address.into(),
            addresses: vec![("10.0.0.5".parse().unwrap(), 24)],
            routes: vec![(("0.0.0.0".parse().unwrap(), 0), "10.0.0.1".parse().unwrap())],
            ..Interface::default()
        }],
        name_servers: vec!["10.0.0.2".parse().unwrap()],
    };
    let adopted = |config: MachineConfig, data: NetworkData| async move {
        let bench = bench(None);
        let offer = Offer {
            network: Some(data),
            ..offer(&config.to_yaml_with_secrets())
        };
        bench.handle.adopt(offer, "script").await.unwrap();
        assert_eq!(bench.after_restart(), bench.store.get::<MachineConfig>(NODE));
        bench.store.get::<MachineConfig>(NODE).unwrap().machine.network
    };
    let mut without = config();
    without.machine.network = Default::default();
    let network = adopted(without.clone(), data("fa:16:3e:01:02:03")).await;
    let interface = &network.interfaces[0];
    assert_eq!(interface.addresses, ["10.0.0.5/24".parse().unwrap()]);
    assert_eq!(interface.routes[0].via, "10.0.0.1".parse().ok());
    assert_eq!(network.nameservers.len(), 1);

    let nonsense = adopted(without.clone(), data("nonsense")).await;
    assert_eq!(nonsense, without.machine.network, "DHCP is used");
    let mut with = without;
    with.machine.network.nameservers = vec!["10.9.9.9".parse().unwrap()];
    let kept = adopted(with.clone(), data("fa:16:3e:01:02:03")).await;
    assert_eq!(kept, with.machine.network, "what the config says counts");
}
