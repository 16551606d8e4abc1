//! The node as an object of a real API server; see `control-plane-testkit` for what it needs. Kubelet's part is played by the
//! test, with kubelet's own identity: one that runs pods changes the kernel's parameters for the whole machine.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::Path;
use std::time::Duration;

use control_plane_testkit::{Pair, Programs, RunningPlane, run};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use kubernetes::Kind;
use kubernetes::identity::{administrating_agent, agent};
use kubernetes_client::{Credentials, connect, testing};
use kubernetes_node::{Cordons, Drain, KubernetesNode};
use machine_config::MachineConfig;
use node::events::Events;
use serde_json::{Value, json};
use state::kinds::{BootStatus, ClusterNodeStatus, KubernetesNodeStatus, TrialStatus};
use state::{Controller as _, Store};

const AGENT: &str = "bedplate/kubernetes";
const KUBELET: &str = "kubelet/kubelet-client";
const BOOT: &str = "8f0c";

struct Bench<'a> {
    plane: &'a RunningPlane<'a>,
    kubelet: Pair,
    folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(plane: &'a RunningPlane<'a>) -> Self {
        let identities = &plane.component(Kind::Kubelet).identities;
        let own = identities
            .iter()
            .find(|identity| identity.file == "kubelet-client")
            .unwrap();
        Self {
            plane,
            kubelet: plane.client(own),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn client(&self, (certificate, key): Pair) -> Client {
        connect(&Credentials {
            api: self.plane.api(),
            authority: self.plane.authority().to_owned(),
            certificate,
            key: machine_config::Secret::new(key),
        })
        .unwrap()
    }

    fn admin(&self) -> Client {
        self.client(self.plane.client(&administrating_agent(&self.plane.node)))
    }

    /// A node that runs with this config, as after a reboot: nothing is left but what is on STATE.
    fn node(
        &self,
        control_plane: bool,
        change: impl FnOnce(&mut MachineConfig),
    ) -> (Store, KubernetesNode, Cordons) {
        let store = Store::new();
        let identity = match control_plane {
            true => administrating_agent(&self.plane.node),
            false => agent(&self.plane.node),
        };
        let certificates = vec![
            (AGENT, self.plane.client(&identity)),
            (KUBELET, self.kubelet.clone()),
        ];
        let api = self.plane.api();
        testing::put_member(
            &store,
            ("node1", control_plane),
            (&api, self.plane.authority()),
            certificates,
            change,
        );
        let boot = BootStatus {
            boot_id: BOOT.into(),
            ..BootStatus::default()
        };
        store.put(testing::OWNER, "node", boot).unwrap();
        let cordons = Cordons::default();
        let remembered = Path::new(self.folder.path()).join("ready.json");
        let controller = KubernetesNode::new(store.clone(), remembered, cordons.clone());
        (store, controller, cordons)
    }
}

async fn look((store, controller, _): &mut (Store, KubernetesNode, Cordons)) -> KubernetesNodeStatus {
    controller.reconcile(store).await.unwrap();
    store.get("node").unwrap()
}

fn status(boot_id: &str, ready: &str, message: &str) -> Value {
    json!({ "status": {
        "nodeInfo": {
            "architecture": "", "bootID": boot_id, "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "",
        },
        "conditions": [{ "type": "Ready", "status": ready, "reason": "KubeletReady", "message": message }],
    }})
}

async fn report(nodes: &Api<Node>, name: &str, status: &Value) {
    let patch = Patch::Strategic(status);
    nodes
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn named(value: Value) -> Node {
    serde_json::from_value(value).unwrap()
}

fn in_network(test: impl AsyncFnOnce(Bench<'_>) + Send) {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[], |plane| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test(Bench::new(plane)));
    });
}

#[test]
fn the_object_follows_the_config_and_says_whether_the_node_is_ready() {
    in_network(async |bench| {
        let nodes: Api<Node> = Api::all(bench.admin());
        let mut node = bench.node(true, |config| {
            let label = ("example.com/shelf".parse().unwrap(), "3".parse().unwrap());
            config.machine.node_labels.extend([label]);
            let taint = ("example.com/gpu".parse().unwrap(), "NoSchedule".parse().unwrap());
            config.machine.node_taints.extend([taint]);
        });
        let first = look(&mut node).await;
        assert_eq!(
            first.problem.as_deref(),
            Some("kubelet has not registered the node with the API server yet")
        );
        assert!(!first.was_ready);

        let kubelet: Api<Node> = Api::all(bench.client(bench.kubelet.clone()));
        let registered = named(json!({ "metadata": { "name": "node1", "labels": { "others": "x" } } }));
        kubelet.create(&PostParams::default(), &registered).await.unwrap();
        report(&kubelet, "node1", &status("before", "True", "")).await;
        let stale = look(&mut node).await;
        assert!(stale.problem.unwrap().starts_with("kubelet has not reported"));
        report(&kubelet, "node1", &status(BOOT, "True", "")).await;
        let ready = look(&mut node).await;
        assert_eq!((ready.ready, ready.was_ready, ready.problem), (true, true, None));
        let all = node.0.list::<ClusterNodeStatus>();
        assert_eq!((all.len(), all[0].0.as_str()), (1, "node1"));
        let found = nodes.get("node1").await.unwrap();
        let labels = found.metadata.labels.unwrap();
        assert_eq!(labels["example.com/shelf"], "3");
        assert!(
            labels.contains_key("node-role.kubernetes.io/control-plane") && labels.contains_key("others")
        );
        let taints = |node: &Node| -> Vec<String> {
            let taints = node.spec.as_ref().unwrap().taints.clone().unwrap_or_default();
            taints
                .into_iter()
                .map(|taint| taint.key)
                .filter(|key| key != "node.kubernetes.io/not-ready")
                .collect()
        };
        let found = nodes.get("node1").await.unwrap();
        assert_eq!(taints(&found), ["example.com/gpu"], "alone it runs pods");

        // A worker joins, and the config changes.
        let worker = named(json!({ "metadata": { "name": "node2" } }));
        nodes.create(&PostParams::default(), &worker).await.unwrap();
        let mut config: MachineConfig = node.0.get("node").unwrap();
        config.machine.node_labels.clear();
        config.machine.node_taints.clear();
        node.0.put(testing::OWNER, "node", config).unwrap();
        look(&mut node).await;
        let found = nodes.get("node1").await.unwrap();
        let labels = found.metadata.labels.clone().unwrap();
        assert!(!labels.contains_key("example.com/shelf") && labels.contains_key("others"));
        assert_eq!(taints(&found), ["node-role.kubernetes.io/master"]);

        // As a worker it sets its labels itself; and after a reboot it remembers that it was Ready.
        let wrong = "container runtime network not ready: cni plugin not initialized";
        report(&kubelet, "node1", &status(BOOT, "False", wrong)).await;
        let mut node = bench.node(false, |config| {
            let label = ("example.com/lamp".parse().unwrap(), "on".parse().unwrap());
            config.machine.node_labels.extend([label]);
        });
        let not_ready = look(&mut node).await;
        assert_eq!(not_ready.problem, Some(format!("not Ready: {wrong}")));
        assert!(!not_ready.ready && not_ready.was_ready);
        let labels = nodes.get("node1").await.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["example.com/lamp"], "on");
        assert!(
            labels.contains_key("node-role.kubernetes.io/control-plane"),
            "a kubelet cannot remove it"
        );
    });
}

fn pod(name: &str, owner: Option<(&str, &str)>) -> Pod {
    let owners: Vec<Value> = owner
        .map(|(api, kind)| json!({ "apiVersion": api, "kind": kind, "name": "x", "uid": "u", "controller": true }))
        .into_iter()
        .collect();
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name }, "ownerReferences": owners },
        "spec": {
            "nodeName": "node1",
            "automountServiceAccountToken": false,
            "containers": [{ "name": "a", "image": "a" }],
        },
    }))
    .unwrap()
}

/// Ends pods as a kubelet does.
async fn end_pods(pods: Api<Pod>) {
    loop {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            if pod.metadata.deletion_timestamp.is_some() {
                let name = pod.metadata.name.unwrap();
                // It may be gone by now.
                let _gone = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_node_is_drained_within_budgets_and_uncordons_once_its_system_stays() {
    in_network(async |bench| {
        let admin = bench.admin();
        let nodes: Api<Node> = Api::all(admin.clone());
        for name in ["node1", "node2"] {
            let node = named(json!({ "metadata": { "name": name } }));
            nodes.create(&PostParams::default(), &node).await.unwrap();
            report(&nodes, name, &status(BOOT, "True", "")).await;
        }
        while Api::<k8s_openapi::api::core::v1::Namespace>::all(admin.clone())
            .get_opt("default")
            .await
            .unwrap()
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What control planes apply: workers' agents may see nodes.
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": { "name": "agents" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view-nodes" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "bedplate:nodes" }],
        }))
        .unwrap();
        let role = serde_json::from_value(json!({
            "metadata": { "name": "view-nodes" },
            "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"] }],
        }))
        .unwrap();
        Api::<k8s_openapi::api::rbac::v1::ClusterRole>::all(admin.clone())
            .create(&PostParams::default(), &role)
            .await
            .unwrap();
        Api::all(admin.clone())
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
        let account = serde_json::from_value(json!({ "metadata": { "name": "default" } })).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let pods: Api<Pod> = Api::default_namespaced(admin.clone());
        let set = Some(("apps/v1", "ReplicaSet"));
        for pod in [
            pod("web", set),
            pod("guarded", set),
            pod("each", Some(("apps/v1", "DaemonSet"))),
            pod("bare", None),
        ] {
            let name = pod.metadata.name.clone().unwrap();
            pods.create(&PostParams::default(), &pod).await.unwrap();
            let running = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
            pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(running))
                .await
                .unwrap();
        }
        let budgets = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("policy", "v1beta1", "PodDisruptionBudget"),
            "poddisruptionbudgets",
        );
        let budgets: Api<DynamicObject> = Api::default_namespaced_with(admin.clone(), &budgets);
        let budget = serde_json::from_value(json!({
            "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "guard" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "guarded" } } },
        }))
        .unwrap();
        budgets.create(&PostParams::default(), &budget).await.unwrap();
        let ending = tokio::spawn(end_pods(pods.clone()));

        let node = bench.node(false, |_| ());
        let drain = || Drain::new(node.0.clone(), Events::new(), node.2.clone());
        let error = drain()
            .within(Duration::from_secs(8))
            .prepare()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("after 8 s there are still pods: default/guarded: Cannot evict pod"),
            "{error}"
        );
        let left = async || {
            let all = pods.list(&ListParams::default()).await.unwrap();
            all.into_iter()
                .map(|pod| pod.metadata.name.unwrap())
                .collect::<Vec<String>>()
        };
        assert_eq!(left().await, ["bare", "each", "guarded"]);
        let allowed = json!({ "status": {
            "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
        }});
        budgets
            .patch_status("guard", &PatchParams::default(), &Patch::Merge(allowed))
            .await
            .unwrap();
        drain().prepare().await.unwrap();
        assert_eq!(left().await, ["bare", "each"]);
        ending.abort();

        // It reboots, and is on trial.
        let cordoned = async || {
            nodes
                .get("node1")
                .await
                .unwrap()
                .spec
                .unwrap()
                .unschedulable
                .unwrap_or_default()
        };
        let mut node = bench.node(false, |_| ());
        node.0
            .put(testing::OWNER, "node", TrialStatus::Holding { until_ms: 1 })
            .unwrap();
        assert!(look(&mut node).await.cordoned && cordoned().await);
        node.0
            .put(testing::OWNER, "node", TrialStatus::Committed)
            .unwrap();
        look(&mut node).await;
        assert!(!cordoned().await && !look(&mut node).await.cordoned);
        // What a person has cordoned stays so.
        nodes.cordon("node1").await.unwrap();
        Drain::new(node.0.clone(), Events::new(), Cordons::default())
            .prepare()
            .await
            .unwrap();
        let mut node = bench.node(false, |_| ());
        assert!(look(&mut node).await.cordoned && cordoned().await);
    });
}
