//! The service of a component.

use std::path::Path;

use kubernetes::release::Reads;
use kubernetes::{Component, Kind, Release};
use quantity::Size;
use service_definition::{FolderToMake, HealthCheck, HealthTls, Service};
use state::kinds::ServiceSpec;

use crate::{Authorities, Credentials, memory};

/// What kubelet needs for volumes, cgroups and networks of pods, and to look into their processes.
const KUBELET: [&str; 13] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "SETFCAP",
    "SYS_ADMIN",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_RESOURCE",
    "SYSLOG",
];
/// What kube-proxy needs for rules and for connections that are gone.
const PROXY: [&str; 2] = ["NET_ADMIN", "NET_RAW"];

/// A component needs a certificate that there is none of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{component} has no certificate {identity:?} yet")]
pub struct Missing {
    /// The component.
    pub component: Kind,
    /// The certificate's file, without its end.
    pub identity: &'static str,
}

/// Makes the service of a component on a control plane, with every file that it reads and no other.
///
/// # Errors
///
/// A certificate that was not made yet.
pub fn spec(
    release: &Release,
    component: &Component,
    authorities: &Authorities,
    credentials: &Credentials,
    board: Size,
) -> Result<ServiceSpec, Missing> {
    let mut spec = ServiceSpec::new(service(component, board));
    for identity in &component.identities {
        let (component, identity) = (component.kind, identity);
        let (certificate, key) = credentials.get(component, identity).ok_or(Missing {
            component,
            identity: identity.file,
        })?;
        spec = spec
            .with_file(&format!("{}.crt", identity.file), certificate)
            .with_secret(&format!("{}.key", identity.file), key);
    }
    for signer in &component.trusts {
        spec = spec.with_file(
            &format!("{}.crt", signer.file()),
            authorities.certificates(*signer),
        );
    }
    for signer in &component.signs {
        spec = spec.with_secret(&format!("{}.key", signer.file()), authorities.key(*signer));
    }
    if component.signs_tokens {
        let (key, public) = authorities.tokens();
        spec = spec
            .with_secret("service-account.key", key)
            .with_file("service-account.pub", public);
    }
    // So far all files are credentials. Every component reads them again by itself, but an old kubelet.
    let reads = release.kubelet_reads_serving_certificate();
    if component.kind != Kind::Kubelet || reads == Reads::WhenChanged {
        spec = spec.reloading();
    }
    for file in &component.files {
        let name = file
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        spec = match file.secret {
            true => spec.with_secret(name, machine_config::Secret::new(file.contents.as_str())),
            false => spec.with_file(name, file.contents.as_str()),
        };
    }
    Ok(spec)
}

fn service(component: &Component, board: Size) -> Service {
    let kind = component.kind;
    let program = component.program.display().to_string();
    let mut service = Service::new(
        kind.name(),
        std::iter::once(program).chain(component.arguments.clone()),
    );
    service.limits.memory = Some(memory(kind, board));
    service.health = Some(health(component));
    service.directories = component
        .folders
        .iter()
        .map(|folder| FolderToMake {
            path: text(folder),
            mode: "0700".to_owned(),
        })
        .collect();
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    match kind {
        Kind::Etcd => service.oom_score_adj = -900,
        Kind::ApiServer => {
            service.depends_on = names(&["etcd"]);
            service.oom_score_adj = -800;
        }
        Kind::ControllerManager | Kind::Scheduler => service.after = names(&["kube-apiserver"]),
        Kind::Kubelet => {
            service.depends_on = names(&["containerd"]);
            service.capabilities = names(&KUBELET);
            service.oom_score_adj = -999;
        }
        Kind::Proxy => {
            service.after = names(&["kubelet"]);
            service.capabilities = names(&PROXY);
            service.oom_score_adj = -999;
        }
    }
    match kind {
        // They call programs, and what kubelet mounts must be seen by containers: no view of the files of its own.
        Kind::Kubelet | Kind::Proxy => {
            let path = ("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned());
            service.environment.extend([path]);
        }
        _ => service.private_tmp = true,
    }
    service
}

fn health(component: &Component) -> HealthCheck {
    let health = &component.health;
    let file = |name: &str| state::kinds::service_spec::file_path(component.kind.name(), name);
    HealthCheck {
        http: Some(health.url.clone()),
        tls: health.trusts.map(|signer| HealthTls {
            ca: file(&format!("{}.crt", signer.file())),
            cert: health.identity.map(|identity| file(&format!("{identity}.crt"))),
            key: health.identity.map(|identity| file(&format!("{identity}.key"))),
        }),
        ..HealthCheck::default()
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
