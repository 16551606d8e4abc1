//! What a node shows of itself, and whether it has followed its config. [`missing`] is pure.

use std::collections::{BTreeMap, BTreeSet};

use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{
    ApplyConfigRequest, ApplyMode, EtcdStatusRequest, GetConfigRequest, HealthState, StatusRequest,
};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use pki::{Certificate, Fingerprint};
use serde::Deserialize;
use tokio::time::timeout;
use tonic::Status;

use super::authorities::of_config;
use super::plan::Which;
use crate::address::Address;
use crate::commands::resources;
use crate::connect::connect;
use crate::explain::Problem;
use crate::session::Session;

/// Files of services that hold whom they trust, by the ends of their paths.
const TRUSTED: [(&str, Which); 3] = [
    ("/ca.crt", Which::Kubernetes),
    ("/etcd-ca.crt", Which::Etcd),
    ("/front-proxy-ca.crt", Which::FrontProxy),
];

/// A node at one moment.
pub struct Observed {
    /// Its name in the cluster; its address where it is in none.
    pub name: String,
    /// Its machine config, with secrets.
    pub config: MachineConfig,
    /// The names and addresses of all nodes of its cluster, as far as it knows them.
    pub cluster: BTreeMap<String, Vec<String>>,
    /// Set when its etcd is the leader of the others.
    pub leads: bool,
    /// The certificate of its API.
    api: Option<Certificate>,
    /// The certificates of its components, by name.
    certificates: BTreeMap<String, String>,
    /// The files of its services.
    files: Vec<File>,
    services: BTreeMap<String, Service>,
    /// Why it is unhealthy, or not Ready in its cluster.
    problem: Option<String>,
}

/// A file of a service.
#[derive(Clone, PartialEq, Eq)]
struct File {
    service: String,
    path: String,
    contents: String,
    /// Set when another content restarts the service.
    restarts: bool,
}

#[derive(Deserialize)]
struct ComponentCertificate {
    certificate: String,
}

#[derive(Deserialize)]
struct ServiceSpec {
    #[serde(default)]
    files: Vec<ServiceFile>,
}

#[derive(Deserialize)]
struct ServiceFile {
    path: String,
    contents: serde_json::Value,
    #[serde(default)]
    reloads: bool,
}

#[derive(Deserialize)]
struct Service {
    state: String,
    health: String,
    pid: Option<u32>,
    wanted: bool,
}

#[derive(Deserialize)]
struct ClusterMember {
    node: String,
}

#[derive(Deserialize)]
struct ClusterNode {
    addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubernetesNode {
    ready: bool,
    was_ready: bool,
    problem: Option<String>,
}

/// Asks a node for everything that a rotation needs to know.
pub async fn observe(session: &Session, address: &Address) -> Result<Observed, Problem> {
    let node = connect(session, address).await?;
    let asked = async {
        let channel = || node.channel.clone();
        let mut machine = MachineServiceClient::new(channel());
        let config = machine.get_config(GetConfigRequest {}).await?.into_inner();
        if config.redacted {
            return Err(Status::permission_denied(
                "the node shows no secrets to this client certificate; rotating needs one with the role admin",
            ));
        }
        let parsed = machine_config::parse(&config.yaml);
        let parsed = parsed.map_err(|faults| {
            Status::internal(format!(
                "the node's machine config cannot be read here: {faults}; use the release of the nodes"
            ))
        })?;
        let status = machine.status(StatusRequest {}).await?.into_inner();
        let health = status.health.unwrap_or_default();
        let unhealthy = health.state() == HealthState::Unhealthy;
        let reason = health.reasons.into_iter().next().map(|reason| reason.text);
        let mut problem = unhealthy.then(|| reason.unwrap_or_else(|| "it is unhealthy".to_owned()));
        let members = resources::list::<ClusterMember>(channel(), "ClusterMember").await?;
        let cluster = resources::list::<ClusterNode>(channel(), "ClusterNode").await?;
        for (_, node) in resources::list::<KubernetesNode>(channel(), "KubernetesNodeStatus").await? {
            if node.was_ready && !node.ready {
                problem = problem.or(node.problem).or(Some("it is not Ready".to_owned()));
            }
        }
        // A worker has no etcd, and one that does not answer does not lead.
        let etcd = EtcdServiceClient::new(channel())
            .etcd_status(EtcdStatusRequest {})
            .await;
        let etcd = etcd.map(tonic::Response::into_inner).unwrap_or_default();
        let specs = resources::list::<ServiceSpec>(channel(), "ServiceSpec").await?;
        let certificates = resources::list::<ComponentCertificate>(channel(), "ComponentCertificate").await?;
        Ok(Observed {
            name: members
                .into_iter()
                .next()
                .map_or_else(|| address.to_string(), |(_, member)| member.node),
            config: parsed,
            cluster: cluster
                .into_iter()
                .map(|(name, node)| (name, node.addresses))
                .collect(),
            leads: !etcd.leader_id.is_empty() && etcd.leader_id == etcd.member_id,
            api: node.certificate(),
            certificates: certificates
                .into_iter()
                .map(|(id, held)| (id, held.certificate))
                .collect(),
            files: specs
                .into_iter()
                .flat_map(|(id, spec)| files(&id, spec))
                .collect(),
            services: resources::list(channel(), "ServiceStatus")
                .await?
                .into_iter()
                .collect(),
            problem,
        })
    };
    match timeout(session.timeout, asked).await {
        Ok(answered) => answered.map_err(|status| node.problem(&status)),
        Err(_) => Err(Problem::timed_out(address, session.timeout)),
    }
}

fn files(service: &str, spec: ServiceSpec) -> Vec<File> {
    let file = |file: ServiceFile| File {
        service: service.to_owned(),
        path: file.path,
        contents: file.contents["plain"].as_str().unwrap_or_default().to_owned(),
        restarts: !file.reloads,
    };
    spec.files.into_iter().map(file).collect()
}

/// Gives a node another config, which takes effect at once or not at all.
pub async fn apply(session: &Session, address: &Address, config: &MachineConfig) -> Result<(), Problem> {
    let node = connect(session, address).await?;
    let request = ApplyConfigRequest {
        yaml: config.to_yaml_with_secrets(),
        mode: ApplyMode::NoReboot.into(),
        ..ApplyConfigRequest::default()
    };
    let mut machine = MachineServiceClient::new(node.channel.clone());
    match timeout(session.timeout, machine.apply_config(request)).await {
        Ok(answered) => answered.map(drop).map_err(|status| node.problem(&status)),
        Err(_) => Err(Problem::timed_out(address, session.timeout)),
    }
}

/// Says what a node still has to do before the next one is changed; nothing when all its certificates are of the authorities
/// that sign, all its services know whom to trust, and it is healthy. `before` is how it was before its last change, where
/// that is known.
pub fn missing(now: &Observed, before: Option<&Observed>) -> Option<String> {
    let signs = |which: Which| {
        let ca = of_config(&now.config, which)?;
        Certificate::from_pem(ca.cert.as_str(), "the authority").ok()
    };
    let api = now.api.as_ref().map(Certificate::to_pem).unwrap_or_default();
    if !signs(Which::Machine).is_some_and(|authority| authority.has_signed(&api)) {
        return Some("the certificate of its API is not renewed yet".to_owned());
    }
    let signing: Vec<Certificate> = Which::ALL.into_iter().filter_map(signs).collect();
    for (id, certificate) in &now.certificates {
        if !signing.iter().any(|authority| authority.has_signed(certificate)) {
            return Some(format!("the certificate {id} is not renewed yet"));
        }
    }
    for file in &now.files {
        let found = TRUSTED.iter().find(|(end, _)| file.path.ends_with(end));
        let Some((_, which)) = found else { continue };
        let accepted = of_config(&now.config, *which).map(|ca| set(ca.cert.as_str()));
        if accepted.is_some_and(|accepted| accepted != set(&file.contents)) {
            return Some(format!("{} does not know whom to trust yet", file.service));
        }
    }
    for (name, service) in &now.services {
        let started_before = before.is_some_and(|before| {
            let pid = before.services.get(name).and_then(|service| service.pid);
            pid.is_some() && pid == service.pid && restarts(name, before, now)
        });
        let healthy = service.state == "running" && service.health == "healthy";
        if service.wanted && (started_before || !healthy && service.state != "stopped") {
            return Some(format!("{name} is not running with what has changed yet"));
        }
    }
    now.problem.clone()
}

/// Tells whether a service had to be started again between two moments.
fn restarts(service: &str, before: &Observed, now: &Observed) -> bool {
    let read_once = |observed: &Observed| -> Vec<File> {
        let mut files: Vec<File> = observed
            .files
            .iter()
            .filter(|file| file.service == service && file.restarts)
            .cloned()
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    };
    read_once(before) != read_once(now)
}

fn set(pem: &str) -> BTreeSet<String> {
    let all = Certificate::all_from_pem(pem, "the authority").unwrap_or_default();
    all.iter()
        .map(|one| Fingerprint::of(one.der()).to_string())
        .collect()
}

impl Observed {
    /// Tells whether the node signs: it is a control plane, or the only one.
    pub fn signs(&self) -> bool {
        self.config.machine.role != Role::Worker
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use pki::{Authority, Validity, authority::SERVER_LIFE};

    use super::*;

    struct Cluster {
        old: Authority,
        new: Authority,
    }

    impl Cluster {
        /// A node that accepts these and shows a certificate of the first; its etcd trusts `etcd`.
        fn node(
            &self,
            accepted: [&Authority; 2],
            shown: &Authority,
            trusted: &[&Authority],
            pid: u32,
        ) -> Observed {
            let text =
                |all: &[&Authority]| -> String { all.iter().map(|one| one.certificate_pem()).collect() };
            let mut config = state::testkit::config();
            config.machine.ca.cert = text(&accepted).parse().unwrap();
            config.cluster.ca = Some(config.machine.ca.clone());
            let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
            let issued = shown
                .issue_server("node", &["node1".to_owned()], validity)
                .unwrap();
            let service = Service {
                state: "running".into(),
                health: "healthy".into(),
                pid: Some(pid),
                wanted: true,
            };
            Observed {
                name: "node1".into(),
                config,
                cluster: BTreeMap::new(),
                leads: false,
                api: Some(issued.certificate.clone()),
                certificates: BTreeMap::from([("kubelet/kubelet".into(), issued.pem.clone())]),
                files: vec![File {
                    service: "kubelet".into(),
                    path: "/run/kubelet/ca.crt".into(),
                    contents: text(trusted),
                    restarts: true,
                }],
                services: BTreeMap::from([("kubelet".into(), service)]),
                problem: None,
            }
        }
    }

    #[test]
    fn a_node_has_followed_when_certificates_files_and_processes_are_new() {
        let now = SystemTime::now();
        let [old, new] = ["old", "new"].map(|name| Authority::generate(name, now).unwrap());
        let all = Cluster { old, new };
        let (old, new) = (&all.old, &all.new);
        let before = all.node([old, old], old, &[old], 7);
        assert_eq!(missing(&before, None), None);
        assert_eq!(
            missing(&before, Some(&before)),
            None,
            "nothing had to be started again"
        );
        let said = |node: &Observed| missing(node, Some(&before)).unwrap_or_default();
        let stale = "kubelet does not know whom to trust yet";
        assert_eq!(said(&all.node([old, new], old, &[old], 7)), stale);
        let running = "kubelet is not running with what has changed yet";
        assert_eq!(said(&all.node([old, new], old, &[old, new], 7)), running);
        assert_eq!(said(&all.node([old, new], old, &[new, old], 8)), "");
        let api = "the certificate of its API is not renewed yet";
        assert_eq!(said(&all.node([new, old], old, &[old, new], 8)), api);
        assert_eq!(said(&all.node([new, old], new, &[old, new], 8)), "");
        let mut node = all.node([new, new], new, &[new], 9);
        node.services.get_mut("kubelet").unwrap().health = "unhealthy".into();
        assert_eq!(said(&node), running);
        node.services.get_mut("kubelet").unwrap().wanted = false;
        node.problem = Some("the disk is full".into());
        assert_eq!(said(&node), "the disk is full");
        node.certificates
            .insert("etcd/peer".into(), before.certificates["kubelet/kubelet"].clone());
        assert_eq!(said(&node), "the certificate etcd/peer is not renewed yet");
    }
}
