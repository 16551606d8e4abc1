//! What a machine config changes in the components of a node.

use std::collections::BTreeMap;

use machine_config::MachineConfig;
use machine_config::v1alpha1::{ExtraArgs, Role};
use machine_config::value::{LabelKey, TaintEffect, TaintValue};

use crate::node::{Effect, Taint};
use crate::{Kind, Node};

/// Puts into a node what its machine config changes.
pub(crate) fn apply(config: &MachineConfig, node: &mut Node) {
    let (machine, cluster) = (&config.machine, &config.cluster);
    let labels = machine.node_labels.iter();
    node.labels = labels
        .filter(|(key, _)| !key.is_restricted())
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    node.taints = machine.node_taints.iter().map(taint).collect();
    let gates = cluster.feature_gates.iter();
    node.feature_gates = gates.map(|(gate, on)| (gate.to_string(), *on)).collect();
    let mut extra = |kind, args: &ExtraArgs| {
        let args: BTreeMap<String, String> = args
            .iter()
            .map(|(flag, value)| (flag.to_string(), value.clone()))
            .collect();
        if !args.is_empty() {
            node.extra.insert(kind, args);
        }
    };
    extra(Kind::Kubelet, &machine.kubelet.extra_args);
    if machine.role == Role::ControlPlane {
        extra(Kind::ApiServer, &cluster.api_server.extra_args);
        extra(Kind::ControllerManager, &cluster.controller_manager.extra_args);
        extra(Kind::Scheduler, &cluster.scheduler.extra_args);
        extra(Kind::Etcd, &cluster.etcd.extra_args);
        node.admission = cluster.api_server.admission_control.clone();
        node.audit_policy = cluster.api_server.audit_policy.clone();
    }
    node.kubelet_config = machine.kubelet.extra_config.clone();
}

fn taint((key, taint): (&LabelKey, &TaintValue)) -> Taint {
    Taint {
        key: key.to_string(),
        value: taint.value.clone(),
        effect: match taint.effect {
            TaintEffect::NoSchedule => Effect::NoSchedule,
            TaintEffect::PreferNoSchedule => Effect::PreferNoSchedule,
            TaintEffect::NoExecute => Effect::NoExecute,
        },
    }
}
