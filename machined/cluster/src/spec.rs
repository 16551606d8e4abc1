//! The service of a component.

use std::path::Path;

use kubernetes::release::Reads;
use kubernetes::{Component, Kind, Release, Signer};
use quantity::Size;
use service_definition::{FolderToMake, HealthCheck, HealthTls, Service};
use state::kinds::ServiceSpec;

use crate::{Credentials, memory};

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

/// A component needs something that the node does not have yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{component} has no {what} yet")]
pub struct Missing {
    /// The component.
    pub component: Kind,
    /// What is missing.
    pub what: String,
}

/// Makes the service of a component, with every file that it reads and no other.
///
/// # Errors
///
/// A certificate, or an authority, that the node does not have.
pub fn spec(
    release: &Release,
    component: &Component,
    credentials: &Credentials<'_>,
    board: Size,
) -> Result<ServiceSpec, Missing> {
    let missing = |what: String| Missing {
        component: component.kind,
        what,
    };
    let mut spec = ServiceSpec::new(service(component, board));
    for identity in &component.identities {
        let held = credentials.get(component.kind, identity);
        let held = held.ok_or_else(|| missing(format!("certificate {:?}", identity.file)))?;
        spec = spec
            .with_file(&format!("{}.crt", identity.file), held.certificate.as_str())
            .with_secret(&format!("{}.key", identity.file), held.key.clone());
    }
    for signer in &component.signs {
        let pair = credentials.signing(*signer);
        let (certificate, key) =
            pair.ok_or_else(|| missing(format!("key of the authority {:?}", signer.file())))?;
        spec = spec
            .with_file(&format!("{}.crt", signer.signing_file()), certificate)
            .with_secret(&format!("{}.key", signer.signing_file()), key);
    }
    if component.signs_tokens {
        let tokens = credentials.tokens();
        let (key, public) = tokens.ok_or_else(|| missing("key for service accounts".to_owned()))?;
        spec = spec
            .with_secret("service-account.key", key)
            .with_file("service-account.pub", public);
    }
    let accepted = |signer: Signer| {
        let accepted = credentials.accepted(signer);
        accepted.ok_or_else(|| missing(format!("authority {:?}", signer.file())))
    };
    let file = |signer: Signer| format!("{}.crt", signer.file());
    let (read_again, read_once): (Vec<Signer>, Vec<Signer>) = component
        .trusts
        .iter()
        .partition(|signer| **signer == Signer::FrontProxy);
    for signer in read_again {
        spec = spec.with_file(&file(signer), accepted(signer)?);
    }
    // So far all files are credentials. Every component reads them again by itself, but an old kubelet.
    let reads = release.kubelet_reads_serving_certificate();
    if component.kind != Kind::Kubelet || reads == Reads::WhenChanged {
        spec = spec.reloading();
    }
    // Each component has a client, or a server, that reads whom it trusts only once. etcd is one, too.
    for signer in read_once {
        spec = spec.with_file(&file(signer), accepted(signer)?);
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
            // It serves on for a while, and then ends what is under way.
            service.stop_seconds = 20;
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
