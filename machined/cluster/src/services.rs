//! The services of a member's components.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use kubernetes::control_plane::Membership;
use kubernetes::release::Cgroups;
use kubernetes::tuning::Tuning;
use machine_config::MachineConfig;
use quantity::Size;
use release_file::KubernetesPrograms;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterStatus, ComponentCertificate, ContainerMode, EtcdDisk,
    EtcdMembership, EtcdStart, HostNameStatus, NODE, RouteStatus, ServiceSpec,
};
use state::{Action, Controller, ControllerError, Resource, Store, chain};

use crate::credentials::{Authorities, Credentials};
use crate::member::{self, Member};
use crate::plan::{components, joins};
use crate::spec;

/// Writes the service of each component of a member, once everything that it needs is there. Sole owner of
/// [`ClusterStatus`], and owner of its own [`ServiceSpec`]s.
pub struct ServiceController {
    programs: Option<KubernetesPrograms>,
    memory: PathBuf,
    cgroups: PathBuf,
}

impl ServiceController {
    /// Makes the controller of a node with these programs in its image. `memory` is the kernel's file about memory
    /// (`/proc/meminfo`), `cgroups` where control groups are mounted (`/sys/fs/cgroup`).
    pub fn new(programs: Option<KubernetesPrograms>, memory: PathBuf, cgroups: PathBuf) -> Self {
        Self {
            programs,
            memory,
            cgroups,
        }
    }
}

/// What a member's services are to be.
#[derive(Debug, Default)]
struct Outcome {
    /// The services; none to leave them as they are.
    specs: Option<Vec<(String, ServiceSpec)>>,
    status: ClusterStatus,
}

impl Outcome {
    fn waits(reason: impl Into<String>) -> Self {
        Self {
            specs: None,
            status: ClusterStatus {
                waits_for: Some(reason.into()),
            },
        }
    }
}

/// Decides how etcd starts: by its membership on a control plane, and not at all on a worker.
fn start(member: &Member, membership: Option<&EtcdMembership>) -> Result<Membership, String> {
    if member.wanted.control_plane.is_none() {
        return Ok(Membership::First);
    }
    match membership.map(|membership| (&membership.start, &membership.waits_for)) {
        Some((EtcdStart::First, _)) => Ok(Membership::First),
        Some((EtcdStart::Joins(peers), _)) => Ok(joins(peers)),
        Some((EtcdStart::NotYet, Some(reason))) => Err(reason.clone()),
        Some((EtcdStart::NotYet, None)) | None => {
            Err("nothing is known of the node's membership in etcd yet".to_owned())
        }
    }
}

fn decide(
    store: &Store,
    config: &MachineConfig,
    member: &Member,
    board: Size,
) -> Result<Outcome, ControllerError> {
    let membership: Option<EtcdMembership> = store.get(NODE);
    let started = match start(member, membership.as_ref()) {
        Ok(started) => started,
        Err(reason) => {
            return Ok(Outcome {
                specs: Some(Vec::new()),
                ..Outcome::waits(reason)
            });
        }
    };
    let authorities = Authorities::of(config)?;
    let ca = config.cluster.ca.as_ref().map_or("", |ca| ca.cert.as_str());
    let credentials = Credentials::of_store(store, ca, authorities.as_ref());
    let mut specs = Vec::new();
    for component in components(member, started, tuning(store))? {
        match spec(member.release, &component, &credentials, board) {
            Ok(spec) => specs.push((component.kind.name().to_owned(), spec)),
            Err(missing) => return Ok(Outcome::waits(missing.to_string())),
        }
    }
    Ok(Outcome {
        specs: Some(specs),
        status: ClusterStatus {
            waits_for: membership.and_then(|membership| membership.waits_for),
        },
    })
}

/// Decides how patient the control plane is: by its disk, which is measured before etcd starts.
fn tuning(store: &Store) -> Tuning {
    let disk: Option<EtcdDisk> = store.get(NODE);
    disk.map_or_else(Tuning::default, |disk| {
        Tuning::for_disk(Duration::from_micros(disk.flush_micros))
    })
}

#[async_trait]
impl Controller for ServiceController {
    fn name(&self) -> &'static str {
        "cluster-services"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ContainerMode::KIND,
            ClusterMember::KIND,
            HostNameStatus::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
            ComponentCertificate::KIND,
            EtcdDisk::KIND,
            EtcdMembership::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ClusterStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ServiceSpec::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config = store.get::<MachineConfig>(NODE);
        let member = member::of_store(store, self.programs.as_ref());
        let outcome = match member.map(|member| member.zip(config)) {
            Ok(None) => {
                store.replace::<ServiceSpec>(self.name(), Vec::new())?;
                store.remove::<ClusterStatus>(self.name(), NODE)?;
                return Ok(Action::WaitForChange);
            }
            // What runs goes on: an address may be away for a moment.
            Err(error) => Outcome::waits(chain(&error)),
            Ok(Some((mut member, config))) => {
                if store.get::<ContainerMode>(NODE).is_some() {
                    member.wanted.node.in_container = true;
                    // They are the host's; a machine has v2 always.
                    member.wanted.node.cgroups = Cgroups::mounted_on(&self.cgroups);
                }
                decide(store, &config, &member, total_memory(&self.memory))?
            }
        };
        if let Some(specs) = outcome.specs {
            store.replace(self.name(), specs)?;
        }
        store.put(self.name(), NODE, outcome.status)?;
        Ok(Action::WaitForChange)
    }
}

/// Reads how much memory the board has; nothing where the kernel does not say so, which gives each component what it
/// needs at least.
fn total_memory(path: &std::path::Path) -> Size {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Size(kib.unwrap_or_default().saturating_mul(1024))
}
