//! The controller that wants the service.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use kubernetes::{Release, Version};
use machine_config::MachineConfig;
use machine_config::value::IpPrefix;
use quantity::Size;
use service_definition::{FolderToMake, HealthCheck, Service, User};
use state::kinds::service_spec::file_path;
use state::kinds::{
    ClusterMember, ComponentCertificate, ContributedAddress, EtcdMembership, EtcdStart, NODE,
    NetworkContribution, Precedence, ServiceSpec,
};
use state::{Action, Controller, ControllerError, Resource as _, Store};

use crate::settings::Settings;

/// The name of the service, and of what it asks of the network.
const NAME: &str = "cluster-dns";
/// The agent's own program.
const PROGRAM: &str = "/usr/bin/machined";
/// The certificate by which the API server knows the node's agent.
const CERTIFICATE: &str = "bedplate/kubernetes";
/// Where the service keeps what it knew last: on DATA.
const FOLDER: &str = "/var/lib/cluster-dns";
/// The file in it.
const SAVED: &str = "known.json";
/// The user of the service.
const USER: (&str, u32) = ("cluster-dns", 253);
/// The most memory that it takes, with the largest zone that it keeps.
const MEMORY: Size = Size(128 << 20);
/// Where the health check asks.
const CHECK: &str = "127.0.0.1:10053";
/// The port of DNS.
const PORT: u16 = 53;
/// The interface that has the cluster's addresses: they are on every node, and no other machine is asked for them.
const LINK: &str = "lo";

/// Wants the cluster's DNS on a node that is a member of a cluster: its service, and its addresses.
#[derive(Debug, Default)]
pub struct ClusterDns;

/// The version of Kubernetes is not one that Bedplate knows.
#[derive(Debug, thiserror::Error)]
#[error("cannot follow the API of Kubernetes {version}")]
struct UnknownVersion {
    version: String,
    #[source]
    source: kubernetes::Error,
}

#[async_trait]
impl Controller for ClusterDns {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            ClusterMember::KIND,
            ComponentCertificate::KIND,
            EtcdMembership::KIND,
            MachineConfig::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ServiceSpec::KIND, NetworkContribution::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let member: Option<ClusterMember> = store.get(NODE);
        let config: Option<MachineConfig> = store.get(NODE);
        let certificate: Option<ComponentCertificate> = store.get(CERTIFICATE);
        let membership: Option<EtcdMembership> = store.get(NODE);
        let saved = Path::new(FOLDER).join(SAVED).exists();
        let wanted = |member: &ClusterMember| {
            !member.dns.is_empty() && has_joined(member, membership.as_ref(), certificate.is_some(), saved)
        };
        let (specs, contributions) = match member.filter(wanted) {
            Some(member) => {
                let authority = config
                    .as_ref()
                    .and_then(|config| config.cluster.ca.as_ref())
                    .map(|ca| ca.cert.as_str());
                let spec = spec(&member, authority, certificate.as_ref())?;
                (vec![spec], vec![contribution(&member.dns)])
            }
            None => (Vec::new(), Vec::new()),
        };
        let named = |spec: ServiceSpec| (NAME.to_owned(), spec);
        store.replace(NAME, specs.into_iter().map(named).collect())?;
        let named = |contribution: NetworkContribution| (NAME.to_owned(), contribution);
        store.replace(NAME, contributions.into_iter().map(named).collect())?;
        Ok(Action::WaitForChange)
    }
}

/// Decides whether the node is part of a cluster by now. Before, the service would know nothing, and a node that waits for
/// its bootstrap would be unhealthy for it. Pure.
fn has_joined(
    member: &ClusterMember,
    membership: Option<&EtcdMembership>,
    has_certificate: bool,
    has_saved: bool,
) -> bool {
    match member.control_plane {
        true => membership.is_some_and(|membership| membership.start != EtcdStart::NotYet),
        // A control plane gave it the certificate, now or before a reboot.
        false => has_certificate || has_saved,
    }
}

/// Makes the service. It runs also without a certificate: it may know the cluster from before.
fn spec(
    member: &ClusterMember,
    authority: Option<&str>,
    certificate: Option<&ComponentCertificate>,
) -> Result<ServiceSpec, UnknownVersion> {
    let unknown = |source| UnknownVersion {
        version: member.kubernetes.clone(),
        source,
    };
    let version: Version = member.kubernetes.parse().map_err(unknown)?;
    let release = Release::of(version).map_err(unknown)?;
    let file = |name: &str| file_path(NAME, name);
    let settings = Settings {
        cluster: member.cluster.clone(),
        domain: member.domain.clone(),
        addresses: member.dns.clone(),
        port: PORT,
        check: CHECK.parse().expect("it is an address and a port"),
        pods: member.pods.clone(),
        services: member.services.clone(),
        api: member.api.clone(),
        endpoint_slices: release.endpoint_slices().to_owned(),
        authority: file("ca.crt").into(),
        certificate: file("client.crt").into(),
        key: file("client.key").into(),
        resolv_conf: "/etc/resolv.conf".into(),
        saved: Path::new(FOLDER).join(SAVED),
    };
    let mut spec = ServiceSpec::new(service(&file("settings.json")));
    // They may come later; the service looks for them, and reads them again when they are renewed.
    if let Some(authority) = authority {
        spec = spec.with_file("ca.crt", authority);
    }
    if let Some(own) = certificate {
        spec = spec
            .with_file("client.crt", own.certificate.as_str())
            .with_secret("client.key", own.key.clone());
    }
    let text = serde_json::to_string(&settings).expect("settings can always be written as JSON");
    Ok(spec.reloading().with_file("settings.json", text))
}

/// Makes its definition. It waits for no other service: it answers while there is no API server, too.
fn service(settings: &str) -> Service {
    let mut service = Service::new(NAME, [PROGRAM, "dns", "serve", settings]);
    let (name, id) = USER;
    service.user = Some(User {
        name: name.to_owned(),
        id,
    });
    service.capabilities = vec!["NET_BIND_SERVICE".to_owned()];
    service.private_tmp = true;
    service.directories = vec![FolderToMake {
        path: FOLDER.to_owned(),
        mode: "0700".to_owned(),
    }];
    service.limits.memory = Some(MEMORY);
    // Without it nothing in the cluster finds anything else.
    service.oom_score_adj = -900;
    let check = [PROGRAM, "dns", "check", settings].map(str::to_owned);
    service.health = Some(HealthCheck {
        exec: Some(check.to_vec()),
        ..HealthCheck::default()
    });
    service
}

/// Asks for the addresses of the cluster's DNS on this node: what pods ask stays here, with or without kube-proxy.
fn contribution(addresses: &[IpAddr]) -> NetworkContribution {
    let mut contribution = NetworkContribution::new(Precedence::Node);
    contribution.addresses = addresses
        .iter()
        .map(|address| ContributedAddress {
            link: LINK.to_owned(),
            address: IpPrefix {
                address: *address,
                length: if address.is_ipv4() { 32 } else { 128 },
            },
        })
        .collect();
    contribution
}

#[cfg(test)]
mod tests {
    use machine_config::Secret;
    use state::testkit;

    use super::*;

    fn member() -> ClusterMember {
        ClusterMember {
            cluster: "home".into(),
            node: "node1".into(),
            control_plane: true,
            addresses: vec!["192.0.2.7".parse().unwrap()],
            endpoint: "https://192.0.2.7:6443".into(),
            api: "https://192.0.2.7:6443".into(),
            pods: vec!["10.244.0.0/16".parse().unwrap()],
            services: vec!["10.96.0.0/12".parse().unwrap()],
            dns: ["10.96.0.10", "fd00:96::a"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            domain: "cluster.local".into(),
            kubernetes: "1.20.2".into(),
            etcd: None,
        }
    }

    fn certificate(text: &str) -> ComponentCertificate {
        ComponentCertificate {
            certificate: text.into(),
            key: Secret::new("key"),
            names: vec![],
            not_before: 0,
            not_after: 1,
        }
    }

    async fn reconciled(store: &Store) -> Option<ServiceSpec> {
        ClusterDns.reconcile(store).await.unwrap();
        store.get(NAME)
    }

    #[tokio::test]
    async fn a_member_has_the_service_and_its_addresses() {
        let store = Store::new();
        assert_eq!(reconciled(&store).await, None);
        store.put("test", NODE, member()).unwrap();
        assert_eq!(reconciled(&store).await, None);
        let membership = |start| EtcdMembership {
            start,
            waits_for: None,
        };
        store.put("test", NODE, membership(EtcdStart::NotYet)).unwrap();
        assert_eq!(reconciled(&store).await, None);
        store.put("test", NODE, membership(EtcdStart::First)).unwrap();
        let bare = reconciled(&store).await.unwrap();
        // Without a certificate it still answers from what it knew.
        assert_eq!(bare.files.len(), 1);
        let mut config = testkit::config();
        config.cluster.ca = Some(machine_config::v1alpha1::CertificateAuthority {
            cert: testkit::authority().certificate_pem().parse().unwrap(),
            key: None,
        });
        store.put("test", NODE, config).unwrap();
        store.put("test", CERTIFICATE, certificate("first")).unwrap();
        let first = reconciled(&store).await.unwrap();
        service_definition::check(vec![first.service.clone()]).unwrap();
        assert!(first.service.after.is_empty() && first.service.depends_on.is_empty());
        let reloads: Vec<(&str, bool)> = first
            .files
            .iter()
            .map(|file| (file.path.rsplit('/').next().unwrap(), file.reloads))
            .collect();
        assert_eq!(
            reloads,
            [
                ("ca.crt", true),
                ("client.crt", true),
                ("client.key", true),
                ("settings.json", false),
            ]
        );
        let text = first.files[3].contents.expose();
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.endpoint_slices, "discovery.k8s.io/v1beta1");
        assert!(!text.contains("key\":\"key"));
        let asked: NetworkContribution = store.get(NAME).unwrap();
        let asked: Vec<String> = asked
            .addresses
            .iter()
            .map(|asked| format!("{} {}", asked.link, asked.address))
            .collect();
        assert_eq!(asked, ["lo 10.96.0.10/32", "lo fd00:96::a/128"]);

        // A renewed certificate changes files that are read again, and nothing else.
        store.put("test", CERTIFICATE, certificate("second")).unwrap();
        let second = reconciled(&store).await.unwrap();
        assert_ne!(second.files, first.files);
        assert_eq!(
            (second.service, &second.files[3]),
            (first.service, &first.files[3])
        );

        store.remove::<ClusterMember>("test", NODE).unwrap();
        assert_eq!(reconciled(&store).await, None);
        assert_eq!(store.get::<NetworkContribution>(NAME), None);
    }

    #[test]
    fn a_worker_has_joined_once_it_was_given_a_certificate() {
        let worker = ClusterMember {
            control_plane: false,
            ..member()
        };
        for (certificate, saved) in [(true, false), (false, true)] {
            assert!(has_joined(&worker, None, certificate, saved));
        }
        assert!(!has_joined(&worker, None, false, false));
    }

    #[tokio::test]
    async fn an_unknown_version_is_told() {
        let store = Store::new();
        let first = EtcdMembership {
            start: EtcdStart::First,
            waits_for: None,
        };
        store.put("test", NODE, first).unwrap();
        let strange = ClusterMember {
            kubernetes: "1.3.0".into(),
            ..member()
        };
        store.put("test", NODE, strange).unwrap();
        let error = ClusterDns.reconcile(&store).await.unwrap_err();
        assert!(error.chain().contains("1.3"), "{}", error.chain());
    }
}
