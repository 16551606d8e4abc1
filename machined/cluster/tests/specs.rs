//! From a machine config to the services of a control plane.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use cluster::{Authorities, Credentials, spec};
use kubernetes::config::wanted;
use kubernetes::control_plane::Membership;
use kubernetes::tuning::Tuning;
use kubernetes::{Component, ControlPlane, EtcdRelease, Kind, Release, plan};
use machine_config::MachineConfig;
use pki::{Authority, KubernetesSecrets, NodeClock};
use quantity::Size;
use state::kinds::service_spec::SERVICE_FILES;
use state::kinds::{FileContents, ServiceSpec};

const BOARD: Size = Size(2 << 30);

fn block(pem: &str, indent: usize) -> String {
    let lines = pem.lines().map(|line| format!("\n{:indent$}{line}", ""));
    format!("|{}\n", lines.collect::<String>())
}

fn authority(of: &Authority, indent: usize) -> String {
    let key = block(&of.key_pem(), indent + 2);
    let cert = block(of.certificate_pem(), indent + 2);
    format!("\n{:indent$}cert: {cert}{:indent$}key: {key}", "", "")
}

fn config(now: SystemTime) -> MachineConfig {
    let own = Authority::generate("own", now).unwrap();
    let kubernetes = KubernetesSecrets::generate("abc", now).unwrap();
    let text = format!(
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: controlPlane\n  ca:{}  token: 0123456789abcdef.secret\n\
         cluster:\n  name: home\n  id: abc\n  endpoint: https://192.168.1.7:6443\n  ca:{}  secrets:\n    etcdCA:{}    frontProxyCA:{}    serviceAccountKey: {}    encryptionKey: {}\n",
        authority(&own, 4),
        authority(&kubernetes.authority, 4),
        authority(&kubernetes.etcd, 6),
        authority(&kubernetes.front_proxy, 6),
        block(&kubernetes.service_account.to_pem(), 6),
        kubernetes.encryption.to_base64().as_str(),
    );
    machine_config::parse(&text).unwrap()
}

fn components(config: &MachineConfig, release: &'static Release, address: &str) -> Vec<Component> {
    let wanted = wanted(config, "node1", &[address.parse().unwrap()])
        .unwrap()
        .unwrap();
    let keys = wanted.control_plane.unwrap();
    let plane = ControlPlane {
        etcd: EtcdRelease::of("3.5.16".parse().unwrap()).unwrap(),
        membership: Membership::First,
        cluster_id: keys.cluster_id,
        names: keys.names,
        encryption_key: keys.encryption_key,
        tuning: Tuning::default(),
    };
    plan(release, &wanted.cluster, &wanted.node, Some(&plane)).unwrap()
}

fn specs(
    release: &Release,
    components: &[Component],
    authorities: &Authorities,
    credentials: &Credentials,
) -> BTreeMap<Kind, ServiceSpec> {
    let spec = |component: &Component| spec(release, component, authorities, credentials, BOARD).unwrap();
    components
        .iter()
        .map(|component| (component.kind, spec(component)))
        .collect()
}

fn release(version: &str) -> &'static Release {
    Release::of(version.parse().unwrap()).unwrap()
}

fn day() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

#[test]
fn every_component_of_every_version_is_a_service_with_every_file_that_it_names() {
    let config = config(day());
    let authorities = Authorities::of(&config).unwrap().unwrap();
    for release in Release::known() {
        let components = components(&config, release, "192.168.1.7");
        let mut credentials = Credentials::default();
        let clock = NodeClock::trusting();
        assert!(
            credentials
                .renew(&components, &authorities, &clock, day())
                .unwrap()
        );
        let specs = specs(release, &components, &authorities, &credentials);
        assert_eq!(specs.len(), Kind::ALL.len());
        let mut services: Vec<_> = specs.values().map(|spec| spec.service.clone()).collect();
        services.push(service_definition::Service::new(
            "containerd",
            ["/usr/bin/containerd"],
        ));
        service_definition::check(services).unwrap();
        for (kind, spec) in &specs {
            let files: BTreeMap<&str, &FileContents> = spec
                .files
                .iter()
                .map(|file| (file.path.as_str(), &file.contents))
                .collect();
            assert_eq!(files.len(), spec.files.len(), "{kind}: a file is listed twice");
            // Whatever an argument, a file or the health check names in the service's folder is there.
            let health = format!("{:?}", spec.service.health);
            let texts = spec
                .service
                .command
                .iter()
                .map(String::as_str)
                .chain([health.as_str()]);
            let texts = texts.chain(files.values().map(|contents| contents.expose()));
            let prefix = format!("{SERVICE_FILES}/");
            for text in texts {
                for (at, _) in text.match_indices(&prefix) {
                    let end = |c: char| c.is_whitespace() || matches!(c, '"' | ',' | '\'');
                    let path = text[at..].split(end).next().unwrap();
                    assert!(
                        files.contains_key(path),
                        "{kind} names {path}, which is not there"
                    );
                }
            }
            let shown = format!("{spec:?}");
            assert!(!shown.contains("PRIVATE KEY"), "{kind}");
            let encryption = config.cluster.secrets.as_ref().unwrap().encryption_key.expose();
            assert!(!shown.contains(encryption), "{kind}");
        }
        let holders: Vec<&Kind> = specs
            .iter()
            .filter(|(_, spec)| spec.files.iter().any(|file| file.path.ends_with("/ca.key")))
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(
            holders,
            [&Kind::ControllerManager],
            "who holds an authority's key"
        );
    }
}

#[test]
fn certificates_are_renewed_at_half_of_their_life_and_when_the_node_is_another() {
    let config = config(day());
    let authorities = Authorities::of(&config).unwrap().unwrap();
    let clock = NodeClock::trusting();
    let mut credentials = Credentials::default();
    let first = components(&config, release("1.36"), "192.168.1.7");
    let hours = |hours: u64| day() + Duration::from_secs(3600 * hours);
    assert!(credentials.renew(&first, &authorities, &clock, hours(0)).unwrap());
    assert!(
        !credentials.renew(&first, &authorities, &clock, hours(0)).unwrap(),
        "nothing is made twice"
    );
    assert!(
        !credentials
            .renew(&first, &authorities, &clock, hours(11))
            .unwrap()
    );
    let before = specs(release("1.36"), &first, &authorities, &credentials);
    assert!(
        credentials
            .renew(&first, &authorities, &clock, hours(12))
            .unwrap()
    );
    let after = specs(release("1.36"), &first, &authorities, &credentials);
    for (kind, spec) in &after {
        assert_eq!(spec.service, before[kind].service, "{kind}");
        let changed = spec
            .files
            .iter()
            .filter(|file| !before[kind].files.contains(file));
        let changed: Vec<_> = changed.collect();
        assert!(
            !changed.is_empty() && changed.iter().all(|file| file.reloads),
            "{kind} is restarted for it"
        );
    }
    // Only what carries the address is made again.
    let second = components(&config, release("1.36"), "192.168.1.8");
    assert!(
        credentials
            .renew(&second, &authorities, &clock, hours(12))
            .unwrap()
    );
    let moved = specs(release("1.36"), &second, &authorities, &credentials);
    let file = |specs: &BTreeMap<Kind, ServiceSpec>, kind, name: &str| {
        let spec = &specs[&kind];
        let found = spec.files.iter().find(|file| file.path.ends_with(name));
        found.unwrap().contents.clone()
    };
    assert_ne!(
        file(&after, Kind::ApiServer, "/apiserver.crt"),
        file(&moved, Kind::ApiServer, "/apiserver.crt")
    );
    assert_eq!(
        file(&after, Kind::Scheduler, "/scheduler.crt"),
        file(&moved, Kind::Scheduler, "/scheduler.crt")
    );
}

#[test]
fn an_old_kubelet_is_started_again_for_its_certificate() {
    let config = config(day());
    let authorities = Authorities::of(&config).unwrap().unwrap();
    for (version, reloads) in [("1.20", false), ("1.36", true)] {
        let components = components(&config, release(version), "192.168.1.7");
        let mut credentials = Credentials::default();
        credentials
            .renew(&components, &authorities, &NodeClock::trusting(), day())
            .unwrap();
        let specs = specs(release(version), &components, &authorities, &credentials);
        let serving = specs[&Kind::Kubelet]
            .files
            .iter()
            .find(|file| file.path.ends_with("/kubelet.crt"));
        assert_eq!(serving.unwrap().reloads, reloads, "{version}");
        let config = specs[&Kind::Kubelet]
            .files
            .iter()
            .find(|file| file.path.ends_with("/config.yaml"));
        assert!(!config.unwrap().reloads, "another config needs another start");
    }
}
