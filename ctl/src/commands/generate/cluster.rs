//! The part of a machine config that says which cluster the node belongs to.

use std::path::Path;

use machine_config::Secret;
use machine_config::v1alpha1::{CertificateAuthority, Cluster, ClusterSecrets, Role};
use machine_config::value::{Endpoint, Name};
use pki::{Authority, KubernetesSecrets, Secrets};

/// What was just generated has the right form.
const INVARIANT: &str = "generated certificates and identities are valid";

/// Makes the section. A worker's holds no private key of an authority, and a standalone machine's names the cluster only.
///
/// # Errors
///
/// Secrets from before there were clusters; `file` names them.
pub fn cluster(
    role: Role,
    name: &Name,
    endpoint: &Endpoint,
    secrets: &Secrets,
    file: Option<&Path>,
) -> anyhow::Result<Cluster> {
    let named = Cluster {
        name: Some(name.clone()),
        ..Cluster::default()
    };
    if role == Role::Standalone {
        return Ok(named);
    }
    let Some(kubernetes) = &secrets.kubernetes else {
        let file = file.unwrap_or(Path::new("secrets.yaml")).display();
        anyhow::bail!(
            "{file} has no secrets for Kubernetes; to add them: bedplate gen secrets --file {file} --complete"
        );
    };
    let control_plane = role == Role::ControlPlane;
    let key = |authority: &Authority| control_plane.then(|| Secret::new(authority.key_pem().as_str()));
    Ok(Cluster {
        id: Some(secrets.cluster_id.parse().expect(INVARIANT)),
        endpoint: Some(endpoint.clone()),
        ca: Some(CertificateAuthority {
            cert: kubernetes.authority.certificate_pem().parse().expect(INVARIANT),
            key: key(&kubernetes.authority),
        }),
        secrets: control_plane.then(|| control_plane_secrets(kubernetes)),
        ..named
    })
}

fn control_plane_secrets(kubernetes: &KubernetesSecrets) -> ClusterSecrets {
    let authority = |authority: &Authority| CertificateAuthority {
        cert: authority.certificate_pem().parse().expect(INVARIANT),
        key: Some(Secret::new(authority.key_pem().as_str())),
    };
    ClusterSecrets {
        etcd_ca: authority(&kubernetes.etcd),
        front_proxy_ca: authority(&kubernetes.front_proxy),
        service_account_key: Secret::new(kubernetes.service_account.to_pem().as_str()),
        encryption_key: Secret::new(kubernetes.encryption.to_base64().as_str()),
    }
}
