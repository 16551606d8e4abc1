//! Reports the state of the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::v1alpha1::{
    Boot, BootStep, FailedSlot, KubernetesStatus, Phase, Slot, StatusResponse, VersionResponse,
};
use backend::Machine;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use node::Node;
use node::power::Power;
use release_file::Release;
use slots::SlotState;
use state::Store;
use state::kinds::config::Phase as ConfigPhase;
use state::kinds::{
    BootStatus, ClusterMember, ClusterStatus, ConfigStatus, ContainerMode, HealthStatus, HostNameStatus,
    LoaderTimes, NODE, SlotStatus,
};

pub(super) struct NodeMachine {
    store: Store,
    release: Arc<Release>,
    power: Power,
}

impl NodeMachine {
    pub(super) fn new(node: &Node) -> Self {
        NodeMachine {
            store: node.store.clone(),
            release: node.release.clone(),
            power: node.power.clone(),
        }
    }
}

impl Machine for NodeMachine {
    fn version(&self) -> VersionResponse {
        let boot: BootStatus = self.store.get(NODE).unwrap_or_default();
        VersionResponse {
            version: self.release.version.clone(),
            board: self.release.board.clone(),
            arch: self.release.arch.clone(),
            overlays: self.release.overlays.clone(),
            manifest_sha256: boot.manifest.unwrap_or_default(),
            ..VersionResponse::default()
        }
    }

    fn status(&self) -> StatusResponse {
        let boot: BootStatus = self.store.get(NODE).unwrap_or_default();
        let config: Option<MachineConfig> = self.store.get(NODE);
        let host: Option<HostNameStatus> = self.store.get(NODE);
        let health: HealthStatus = self.store.get(NODE).unwrap_or_default();
        let slots = self.store.list::<SlotStatus>();
        StatusResponse {
            phase: phase(self.power.requested().is_some(), self.store.get(NODE).as_ref()).into(),
            hostname: host.map(|status| status.name.to_string()).unwrap_or_default(),
            role: config
                .as_ref()
                .map(|config| role(config.machine.role).to_owned())
                .unwrap_or_default(),
            cluster: config
                .and_then(|config| config.cluster.name)
                .map(|name| name.to_string())
                .unwrap_or_default(),
            version: self.release.version.clone(),
            board: self.release.board.clone(),
            arch: self.release.arch.clone(),
            boot: Some(show_boot(boot)),
            slots: slots
                .into_iter()
                .map(|(name, status)| show_slot(name, status))
                .collect(),
            health: Some(backend::health(&health)),
            kubernetes: kubernetes(self.store.get(NODE), self.store.get(NODE)),
            container: self.store.get(NODE).map(show_container),
            ..StatusResponse::default()
        }
    }
}

fn kubernetes(status: Option<ClusterStatus>, member: Option<ClusterMember>) -> Option<KubernetesStatus> {
    let waits_for = status?.waits_for.unwrap_or_default();
    let (version, node) = member
        .map(|member| (member.kubernetes, member.node))
        .unwrap_or_default();
    Some(KubernetesStatus {
        version,
        node,
        waits_for,
    })
}

fn role(role: Role) -> &'static str {
    Role::ALL
        .iter()
        .find(|(_, known)| *known == role)
        .map_or("", |(word, _)| word)
}

/// Whoever can ask has reached the API: the node has looked for its config by then.
fn phase(stopping: bool, config: Option<&ConfigStatus>) -> Phase {
    match config.map(|status| &status.phase) {
        _ if stopping => Phase::Stopping,
        Some(ConfigPhase::Running { .. }) => Phase::Running,
        Some(ConfigPhase::Locked { .. }) => Phase::Locked,
        Some(ConfigPhase::Maintenance) | None => Phase::Maintenance,
    }
}

fn show_boot(boot: BootStatus) -> Boot {
    let failed = boot.failed.iter().map(|failed| FailedSlot {
        slot: failed.slot.to_string(),
        reason: failed.reason.clone(),
    });
    Boot {
        slot: boot.slot.map(|slot| slot.to_string()).unwrap_or_default(),
        cause: boot.cause.clone().unwrap_or_default(),
        failed: failed.collect(),
        steps: steps(boot.loader, &boot.stamps),
        boot_id: boot.boot_id,
    }
}

/// Lays the moments out as steps, each from the moment before it. The kernel's clock starts with the kernel.
fn steps(loader: Option<LoaderTimes>, stamps: &BTreeMap<String, u64>) -> Vec<BootStep> {
    let mut steps = Vec::new();
    if let Some(times) = loader {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        steps.push(BootStep {
            name: "firmware".to_owned(),
            start_ms: -signed(times.total_ms.saturating_add(times.firmware_ms)),
            duration_ms: times.firmware_ms,
        });
        steps.push(BootStep {
            name: "loader".to_owned(),
            start_ms: -signed(times.total_ms),
            duration_ms: times.total_ms,
        });
    }
    let mut moments: Vec<(&String, u64)> = stamps.iter().map(|(name, at)| (name, *at)).collect();
    moments.sort_by_key(|(_, at)| *at);
    let mut before = 0;
    for (name, at) in moments {
        // The first moment is when the initramfs took over: what ended there is the kernel's own start.
        let name = if name == "initramfs" { "kernel" } else { name };
        let start_ms = i64::try_from(before).unwrap_or(i64::MAX);
        steps.push(BootStep {
            name: name.to_owned(),
            start_ms,
            duration_ms: at - before,
        });
        before = at;
    }
    steps
}

fn show_container(mode: ContainerMode) -> api::v1alpha1::ContainerMode {
    api::v1alpha1::ContainerMode {
        engine: mode.engine,
        missing: mode.missing,
    }
}

fn show_slot(name: String, status: SlotStatus) -> Slot {
    let (state, tries, reason) = match status.state {
        SlotState::Empty => ("empty", 0, String::new()),
        SlotState::Trial { tries } => ("trial", tries, String::new()),
        SlotState::Committed => ("committed", 0, String::new()),
        SlotState::Bad(reason) => ("bad", 0, reason.to_string()),
    };
    Slot {
        name,
        state: state.to_owned(),
        version: status
            .version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        preferred: status.preferred,
        running: status.running,
        tries: tries.into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_from_power_on() {
        let loader = LoaderTimes {
            total_ms: 900,
            verify_ms: 100,
            firmware_ms: 3000,
        };
        let stamps =
            [("initramfs", 800), ("root", 1200), ("api", 2000)].map(|(name, at)| (name.to_owned(), at));
        let shown: Vec<(String, i64, u64)> = steps(Some(loader), &stamps.into())
            .into_iter()
            .map(|step| (step.name, step.start_ms, step.duration_ms))
            .collect();
        let expected = [
            ("firmware", -3900, 3000),
            ("loader", -900, 900),
            ("kernel", 0, 800),
            ("root", 800, 400),
            ("api", 1200, 800),
        ];
        assert_eq!(
            shown,
            expected.map(|(name, start, len)| (name.to_owned(), start, len))
        );
    }

    #[test]
    fn a_node_that_stops_says_so() {
        let node = Node::new(Release {
            version: "1.2.3".into(),
            ..Release::default()
        });
        let machine = NodeMachine::new(&node);
        assert_eq!(machine.status().phase(), Phase::Maintenance);
        let locked = ConfigStatus {
            phase: ConfigPhase::Locked {
                reason: "damaged".into(),
            },
            generation: 0,
            pending: None,
            problems: vec![],
        };
        node.store.put("config", NODE, locked).unwrap();
        assert_eq!(machine.status().phase(), Phase::Locked);
        node.power.request(node::power::Stop::Reboot);
        assert_eq!(machine.status().phase(), Phase::Stopping);
        assert_eq!(machine.version().version, "1.2.3");
    }
}
