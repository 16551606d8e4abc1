//! kube-apiserver: the API.

use base64ct::{Base64, Encoding as _};
use serde_json::json;
use zeroize::Zeroizing;

use crate::arguments::Arguments;
use crate::cluster::joined;
use crate::component::{Component, File, Health, Kind};
use crate::control_plane::ControlPlane;
use crate::node::text;
use crate::settings::{extra, gates};
use crate::tuning::seconds;
use crate::{Cluster, Error, Layout, Node, Release, Signer, identity};

/// Who changes things all the time, as it should: of no use in an audit, and a wear on cards.
const UNAUDITED: [&str; 4] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-proxy",
    "system:kube-scheduler",
];

/// How long it goes on serving after it was told to stop, and says that it is not ready: the balancers of the nodes ask
/// every three seconds, and lead new connections elsewhere.
const SHUTDOWN_DELAY: &str = "5s";

/// Returns the API server. It knows everybody by certificate or token, and keeps secrets encrypted.
pub(crate) fn component(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
    plane: &ControlPlane,
) -> Result<Component, Error> {
    let (layout, ports) = (&node.layout, node.ports);
    let serving = identity::api_server(cluster, node, &plane.names);
    let (etcd, kubelet, front) = (
        identity::etcd_client(),
        identity::kubelet_client(),
        identity::front_proxy(),
    );
    let health = identity::health();
    let certificate = |identity: &crate::Identity| text(&layout.certificate(Kind::ApiServer, identity.file));
    let key = |identity: &crate::Identity| text(&layout.key(Kind::ApiServer, identity.file));
    let authority = |signer| text(&layout.authority(Kind::ApiServer, signer));
    let tokens = text(&layout.service_account_key(Kind::ApiServer));
    let issuer = format!("https://kubernetes.default.svc.{}", cluster.domain());
    let audit = File::yaml(
        layout.file(Kind::ApiServer, "audit-policy.yaml"),
        &audit_policy(release, node),
    );
    let encryption = encryption(
        release,
        layout.file(Kind::ApiServer, "encryption.yaml"),
        &plane.encryption_key,
    );
    let plugins =
        std::iter::once("NodeRestriction").chain(node.admission.iter().map(|plugin| plugin.name.as_str()));
    let (audit_path, encryption_path) = (text(&audit.path), text(&encryption.path));
    let mut files = vec![audit, encryption];
    let anywhere = if cluster.has_ipv6() { "::" } else { "0.0.0.0" };
    let arguments = Arguments::kubernetes(Kind::ApiServer, release)
        .own("advertise-address", node.address().to_string())
        .own("bind-address", anywhere)
        .own("secure-port", ports.api.to_string())
        .own("tls-cert-file", certificate(&serving))
        .own("tls-private-key-file", key(&serving))
        .own("client-ca-file", authority(Signer::Kubernetes))
        .own("anonymous-auth", "false")
        .own("authorization-mode", "Node,RBAC")
        .own("etcd-servers", format!("https://127.0.0.1:{}", ports.etcd))
        .own("etcd-cafile", authority(Signer::Etcd))
        .own("etcd-certfile", certificate(&etcd))
        .own("etcd-keyfile", key(&etcd))
        .own("kubelet-certificate-authority", authority(Signer::Kubernetes))
        .own("kubelet-client-certificate", certificate(&kubelet))
        .own("kubelet-client-key", key(&kubelet))
        .own("proxy-client-cert-file", certificate(&front))
        .own("proxy-client-key-file", key(&front))
        .own("requestheader-client-ca-file", authority(Signer::FrontProxy))
        .own("requestheader-allowed-names", identity::FRONT_PROXY)
        .own("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .own("requestheader-group-headers", "X-Remote-Group")
        .own("requestheader-username-headers", "X-Remote-User")
        .own("service-account-issuer", &issuer)
        .own(
            "service-account-key-file",
            text(&layout.service_account_public_key(Kind::ApiServer)),
        )
        .own("service-account-signing-key-file", &tokens)
        .own("service-cluster-ip-range", joined(cluster.services()))
        .own("encryption-provider-config", encryption_path)
        .usual("allow-privileged", "true")
        .usual("audit-policy-file", audit_path)
        // To the log of the service, which is kept in memory first: no file of its own wears the card.
        .usual("audit-log-path", "-")
        .usual("event-ttl", seconds(plane.tuning.events))
        .usual("kubelet-preferred-address-types", "InternalIP,Hostname")
        .usual("profiling", "false")
        .usual("shutdown-delay-duration", SHUTDOWN_DELAY)
        .list("enable-admission-plugins", plugins)
        .list("feature-gates", gates(release, cluster, node)?);
    let arguments = match admission(layout, node) {
        Some(file) => {
            let arguments = arguments.own("admission-control-config-file", text(&file.path));
            files.push(file);
            arguments
        }
        None => arguments,
    };
    Ok(Component {
        kind: Kind::ApiServer,
        program: layout.program(Kind::ApiServer),
        arguments: extra(arguments, node)?.finish()?,
        files,
        folders: Vec::new(),
        identities: vec![serving, etcd, kubelet, front, health.clone()],
        trusts: vec![Signer::Etcd, Signer::Kubernetes, Signer::FrontProxy],
        signs: Vec::new(),
        signs_tokens: true,
        health: Health {
            url: format!("https://127.0.0.1:{}/readyz", ports.api),
            identity: Some(health.file),
            trusts: Some(Signer::Kubernetes),
        },
    })
}

/// Tells what is written down of who did what: who changed what, but for the components, and never what a secret holds.
fn audit_policy(release: &Release, node: &Node) -> serde_json::Value {
    if let Some(given) = &node.audit_policy {
        let mut policy = json!({ "apiVersion": release.audit_policy(), "kind": "Policy" });
        for (field, value) in &given.0 {
            policy[field] = value.clone();
        }
        return policy;
    }
    json!({
        "apiVersion": release.audit_policy(),
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "verbs": ["get", "list", "watch"] },
            { "level": "None", "users": UNAUDITED },
            { "level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"] },
            { "level": "Metadata" },
        ],
    })
}

/// The version of its config that every known version of the API server reads.
const ADMISSION_CONFIG: &str = "apiserver.config.k8s.io/v1";

/// Tells how admission plugins work that people have settings for.
fn admission(layout: &Layout, node: &Node) -> Option<File> {
    let plugins: Vec<serde_json::Value> = node
        .admission
        .iter()
        .filter_map(|plugin| {
            let configuration = plugin.configuration.as_ref()?;
            Some(json!({ "name": plugin.name, "configuration": configuration }))
        })
        .collect();
    let document = json!({
        "apiVersion": ADMISSION_CONFIG,
        "kind": "AdmissionConfiguration",
        "plugins": plugins,
    });
    let path = layout.file(Kind::ApiServer, "admission.yaml");
    (!plugins.is_empty()).then(|| File::yaml(path, &document))
}

/// Tells what is encrypted before it goes to etcd: secrets. What was written before can still be read.
fn encryption(release: &Release, path: std::path::PathBuf, key: &[u8; 32]) -> File {
    let document = json!({
        "apiVersion": release.encryption_config(),
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [
                { "secretbox": { "keys": [{ "name": "key1", "secret": KEY }] } },
                { "identity": {} },
            ],
        }],
    });
    let file = File::yaml(path, &document).secret();
    // By hand, as a tree of values is not erased when it is dropped.
    let secret = Zeroizing::new(Base64::encode_string(key));
    let contents = Zeroizing::new(file.contents.replacen(KEY, &secret, 1));
    File { contents, ..file }
}

/// What stands for the key until it is put in.
const KEY: &str = "<key>";
