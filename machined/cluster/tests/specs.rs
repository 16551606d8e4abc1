//! From a machine config to the services of a node.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::certificates::CertificateController;
use cluster::member::MemberController;
use cluster::services::ServiceController;
use kubernetes::{Kind, Release};
use machine_config::MachineConfig;
use machine_config::v1alpha1::{CertificateAuthority, Cluster};
use pki::{Authority, Certificate, KubernetesSecrets, NodeClock};
use release_file::KubernetesPrograms;
use state::kinds::service_spec::SERVICE_FILES;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterStatus, ContainerMode, EtcdMembership, EtcdStart, FileContents,
    HostNameStatus, NODE, NameSource, ServiceFile, ServiceSpec,
};
use state::{Store, testkit};
use sys::clock::RecordingClock;

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

/// A node whose controllers run by hand.
struct Node {
    store: Store,
    clock: Arc<RecordingClock>,
    member: MemberController,
    certificates: CertificateController,
    services: ServiceController,
}

impl Node {
    fn new(config: &MachineConfig, version: &str) -> Self {
        let store = Store::new();
        let programs = Some(KubernetesPrograms {
            version: version.to_owned(),
            etcd: Some("3.5.24".to_owned()),
        });
        let clock = Arc::new(RecordingClock::at(day()));
        store.put("test", NODE, config.clone()).unwrap();
        let name = HostNameStatus {
            name: "node1".parse().unwrap(),
            source: NameSource::Config,
        };
        store.put("test", NODE, name).unwrap();
        let node = Self {
            store,
            member: MemberController::new(programs.clone()),
            certificates: CertificateController::new(
                programs.clone(),
                Arc::new(NodeClock::trusting()),
                Box::new(clock.clone()),
            ),
            services: ServiceController::new(programs, "/proc/meminfo".into(), "/sys/fs/cgroup".into()),
            clock,
        };
        node.address("192.168.1.7");
        node
    }

    fn address(&self, address: &str) {
        let status = AddressStatus {
            link: "eth0".to_owned(),
            address: format!("{address}/24").parse().unwrap(),
            ours: true,
        };
        self.store
            .replace("test", vec![("eth0".to_owned(), status)])
            .unwrap();
    }

    fn etcd(&self, start: EtcdStart, waits_for: Option<&str>) {
        let membership = EtcdMembership {
            start,
            waits_for: waits_for.map(str::to_owned),
        };
        self.store.put("test", NODE, membership).unwrap();
    }

    async fn settle(&mut self) -> BTreeMap<Kind, ServiceSpec> {
        testkit::settle(
            &self.store,
            &mut [&mut self.member, &mut self.certificates, &mut self.services],
        )
        .await
        .unwrap();
        let specs: BTreeMap<String, ServiceSpec> = self.store.list().into_iter().collect();
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, specs.get(kind.name())?.clone())))
            .collect()
    }

    fn waits_for(&self) -> Option<String> {
        self.store.get::<ClusterStatus>(NODE).unwrap().waits_for
    }
}

fn day() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

fn file<'a>(specs: &'a BTreeMap<Kind, ServiceSpec>, kind: Kind, name: &str) -> &'a state::kinds::ServiceFile {
    let mut files = specs[&kind].files.iter();
    files.find(|file| file.path.ends_with(name)).unwrap()
}

#[tokio::test]
async fn every_component_of_every_version_is_a_service_with_every_file_that_it_names() {
    let config = config(day());
    for release in Release::known() {
        let mut node = Node::new(&config, &release.series().to_string());
        node.etcd(EtcdStart::First, None);
        let specs = node.settle().await;
        assert_eq!(node.waits_for(), None);
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
            .filter(|(_, spec)| {
                spec.files
                    .iter()
                    .any(|file| file.path.ends_with("ca-signing.key"))
            })
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(
            holders,
            [&Kind::ControllerManager],
            "who holds an authority's key"
        );
    }
}

#[tokio::test]
async fn certificates_are_renewed_at_half_of_their_life_and_when_the_node_is_another() {
    let mut node = Node::new(&config(day()), "1.36");
    node.etcd(EtcdStart::First, None);
    let before = node.settle().await;
    node.clock.advance(hours(11));
    assert_eq!(node.settle().await, before, "nothing is made too early");
    node.clock.advance(hours(1));
    let after = node.settle().await;
    for (kind, spec) in &after {
        assert_eq!(spec.service, before[kind].service, "{kind}");
        let files = spec.files.iter();
        let changed: Vec<_> = files.filter(|file| !before[kind].files.contains(file)).collect();
        assert!(
            !changed.is_empty() && changed.iter().all(|file| file.reloads),
            "{kind} is restarted for it"
        );
    }
    // Only what carries the address is made again.
    node.address("192.168.1.8");
    let moved = node.settle().await;
    let contents = |specs, kind, name| file(specs, kind, name).contents.clone();
    assert_ne!(
        contents(&after, Kind::ApiServer, "/apiserver.crt"),
        contents(&moved, Kind::ApiServer, "/apiserver.crt")
    );
    assert_eq!(
        contents(&after, Kind::Scheduler, "/scheduler.crt"),
        contents(&moved, Kind::Scheduler, "/scheduler.crt")
    );
}

#[tokio::test]
async fn an_old_kubelet_is_started_again_for_its_certificate() {
    for (version, reloads) in [("1.20", false), ("1.36", true)] {
        let mut node = Node::new(&config(day()), version);
        node.etcd(EtcdStart::First, None);
        let specs = node.settle().await;
        let serving = file(&specs, Kind::Kubelet, "/kubelet.crt");
        assert_eq!(serving.reloads, reloads, "{version}");
        let config = file(&specs, Kind::Kubelet, "/config.yaml");
        assert!(!config.reloads, "another config needs another start");
    }
}

/// A rotation restarts what trusts an authority twice: when another one is accepted, and when the old one is not any more. That
/// another one signs, and every certificate is new, restarts nothing but an old kubelet.
#[tokio::test]
async fn authorities_are_rotated_with_few_restarts() {
    for (version, issue_restarts) in [("1.20", vec![Kind::Kubelet]), ("1.36", vec![])] {
        let old = config(day());
        let new = config(day());
        let rotated = |certs: [&MachineConfig; 2], signs: &MachineConfig| {
            let mut config = old.clone();
            let [one, other] = certs.map(|config| &config.cluster);
            let join =
                |one: &CertificateAuthority, other: &CertificateAuthority, signs: &CertificateAuthority| {
                    let mut texts = vec![one.cert.as_str(), other.cert.as_str()];
                    texts.dedup();
                    CertificateAuthority {
                        cert: texts.concat().parse().unwrap(),
                        key: signs.key.clone(),
                    }
                };
            let ca = |cluster: &Cluster| cluster.ca.clone().unwrap();
            config.cluster.ca = Some(join(&ca(one), &ca(other), &ca(&signs.cluster)));
            let secrets = |cluster: &Cluster| cluster.secrets.clone().unwrap();
            let (one, other, signs) = (secrets(one), secrets(other), secrets(&signs.cluster));
            let own = config.cluster.secrets.as_mut().unwrap();
            own.etcd_ca = join(&one.etcd_ca, &other.etcd_ca, &signs.etcd_ca);
            own.front_proxy_ca = join(&one.front_proxy_ca, &other.front_proxy_ca, &signs.front_proxy_ca);
            config
        };
        let mut node = Node::new(&old, version);
        node.etcd(EtcdStart::First, None);
        let mut before = node.settle().await;
        let all = Kind::ALL.to_vec();
        for (step, restarts) in [
            (rotated([&old, &new], &old), all.clone()),
            (rotated([&new, &old], &new), issue_restarts.clone()),
            (rotated([&new, &new], &new), all),
        ] {
            node.store.put("test", NODE, step).unwrap();
            let after = node.settle().await;
            assert_eq!(node.waits_for(), None);
            let found: Vec<Kind> = after
                .iter()
                .filter(|(kind, spec)| {
                    let changed = |file: &&ServiceFile| !before[kind].files.contains(file);
                    spec.files.iter().filter(changed).any(|file| !file.reloads)
                })
                .map(|(kind, _)| *kind)
                .collect();
            assert_eq!(found, restarts, "{version}");
            before = after;
        }
        let authority = |signer: &str| {
            file(&before, Kind::ApiServer, signer)
                .contents
                .expose()
                .to_owned()
        };
        let secrets = new.cluster.secrets.as_ref().unwrap();
        let signed = [
            ("/ca.crt", new.cluster.ca.as_ref().unwrap(), "/apiserver.crt"),
            ("/etcd-ca.crt", &secrets.etcd_ca, "/etcd-client.crt"),
            (
                "/front-proxy-ca.crt",
                &secrets.front_proxy_ca,
                "/front-proxy-client.crt",
            ),
        ];
        for (trusted, of, shown) in signed {
            assert_eq!(authority(trusted).trim(), of.cert.as_str().trim());
            let of = Certificate::from_pem(of.cert.as_str(), "it").unwrap();
            assert!(of.has_signed(&authority(shown)), "{shown}");
        }
    }
}

/// Only a container has a host that can have the old control groups, and there kubelet of 1.35 ends unless it is told not to.
#[tokio::test]
async fn kubelet_runs_in_a_container_on_the_old_control_groups() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(new.path().join("cgroup.controllers"), "memory\n").unwrap();
    for (cgroups, in_container, told) in [(&old, true, true), (&new, true, false), (&old, false, false)] {
        let mut node = Node::new(&config(day()), "1.36");
        let programs = Some(KubernetesPrograms {
            version: "1.36".to_owned(),
            etcd: Some("3.5.24".to_owned()),
        });
        node.services = ServiceController::new(programs, "/proc/meminfo".into(), cgroups.path().to_owned());
        if in_container {
            node.store.put("boot", NODE, ContainerMode::default()).unwrap();
        }
        node.etcd(EtcdStart::First, None);
        let specs = node.settle().await;
        let config = file(&specs, Kind::Kubelet, "/config.yaml").contents.expose();
        assert_eq!(config.contains("failCgroupV1: false"), told, "{config}");
    }
}

#[tokio::test]
async fn a_node_runs_nothing_before_it_is_in_a_cluster_and_goes_on_while_its_address_is_away() {
    let mut node = Node::new(&config(day()), "1.36");
    node.etcd(EtcdStart::NotYet, Some("run `bedplate bootstrap` once"));
    assert_eq!(node.settle().await.len(), 0);
    assert_eq!(node.waits_for().as_deref(), Some("run `bedplate bootstrap` once"));
    node.etcd(EtcdStart::First, None);
    let before = node.settle().await;
    node.store.replace::<AddressStatus>("test", Vec::new()).unwrap();
    assert_eq!(node.settle().await, before);
    assert!(node.waits_for().unwrap().contains("no address of its own"));
    assert_eq!(node.store.get::<ClusterMember>(NODE).unwrap().node, "node1");
    // A config without Kubernetes ends it all.
    let mut without = config(day());
    without.cluster.ca = None;
    node.store.put("test", NODE, without).unwrap();
    assert_eq!(node.settle().await.len(), 0);
    assert_eq!(node.store.get::<ClusterStatus>(NODE), None);
    assert_eq!(node.store.get::<ClusterMember>(NODE), None);
}

#[tokio::test]
async fn an_image_without_kubernetes_says_so() {
    let mut node = Node::new(&config(day()), "1.36");
    let reason = "the image has no Kubernetes; install a release that was built with the overlay kubernetes";
    node.services = ServiceController::new(None, "/proc/meminfo".into(), "/sys/fs/cgroup".into());
    node.settle().await;
    assert_eq!(node.waits_for().as_deref(), Some(reason));
}
