//! Manifests in a real cluster; see `control-plane-testkit` for what it needs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use control_plane_testkit::{Programs, RunningPlane, run};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use kube::api::ListParams;
use kube::{Api, Client};
use kubernetes::identity::{administrating_agent, agent};
use kubernetes_client::{Clients, connect, limited, testing};
use machine_config::v1alpha1::Manifest;
use manifests::ClusterManifests;
use state::kinds::{ClusterMember, ManifestState, ManifestStatus};
use state::{Controller as _, Store};

/// A control plane's agent, with what it remembers.
struct Agent {
    store: Store,
    controller: ClusterManifests,
    _folder: tempfile::TempDir,
}

impl Agent {
    fn new(plane: &RunningPlane<'_>) -> Self {
        let (store, folder) = (Store::new(), tempfile::tempdir().unwrap());
        let own = plane.client(&administrating_agent(&plane.node));
        let certificates = vec![("bedplate/kubernetes", own)];
        let api = plane.api();
        testing::put_member(
            &store,
            ("node1", true),
            (&api, plane.authority()),
            certificates,
            |_| (),
        );
        let mut member: ClusterMember = store.get("node").unwrap();
        member.dns = vec!["10.96.0.10".parse().unwrap()];
        store.put(testing::OWNER, "node", member).unwrap();
        let clients = Clients::new(store.clone());
        let controller = ClusterManifests::new(clients, "/nowhere".into(), folder.path().join("manifests"));
        Self {
            store,
            controller,
            _folder: folder,
        }
    }

    /// Gives the node a list, and lets it do what it wants until nothing fails, or five times.
    async fn with(&mut self, list: &[(&str, &str)]) -> Vec<(String, ManifestStatus)> {
        let mut config: machine_config::MachineConfig = self.store.get("node").unwrap();
        let manifest = |(name, contents): &(&str, &str)| Manifest {
            name: name.parse().unwrap(),
            contents: Some((*contents).to_owned()),
            file: None,
        };
        config.cluster.manifests = list.iter().map(manifest).collect();
        self.store.put(testing::OWNER, "node", config).unwrap();
        for _ in 0..5 {
            self.controller.reconcile(&self.store).await.unwrap();
            let all = self.store.list::<ManifestStatus>();
            if all
                .iter()
                .all(|(_, status)| status.state != ManifestState::Failed)
            {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        self.store.list()
    }
}

fn states(all: &[(String, ManifestStatus)]) -> Vec<(&str, ManifestState)> {
    all.iter()
        .map(|(name, status)| (name.as_str(), status.state))
        .collect()
}

fn client(plane: &RunningPlane<'_>, identity: &kubernetes::Identity) -> Client {
    let (certificate, key) = plane.client(identity);
    connect(&kubernetes_client::Credentials {
        api: plane.api(),
        authority: plane.authority().to_owned(),
        certificate,
        key: machine_config::Secret::new(key),
    })
    .unwrap()
}

#[test]
fn manifests_are_applied_in_order_owned_and_pruned() {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[kubernetes::Kind::ControllerManager], |plane| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(check(plane));
    });
}

const ATTIC: &str = "apiVersion: v1
kind: Namespace
metadata: {name: attic}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shelf, namespace: attic}
data: {number: '3'}
";

/// A kind, and an object of it: the API server has the kind a moment after it was created.
const CAMERA: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cameras.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: cameras, singular: camera, kind: Camera}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.com/v1
kind: Camera
metadata: {name: front}
";

async fn check(plane: &RunningPlane<'_>) {
    let admin = client(plane, &administrating_agent(&plane.node));
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "attic");
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let mut first = Agent::new(plane);
    // An API server that has just begun has no namespace kube-system yet.
    while limited(namespaces.get_opt("kube-system"))
        .await
        .unwrap()
        .is_none()
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let applied = ManifestState::Applied;
    let all = first.with(&[("attic", ATTIC), ("camera", CAMERA)]).await;
    assert_eq!(
        states(&all),
        [
            ("attic", applied),
            ("bedplate:dns", applied),
            ("bedplate:nodes", applied),
            ("camera", applied)
        ],
        "{all:?}"
    );
    let map = limited(maps.get("shelf")).await.unwrap();
    assert_eq!(map.data.unwrap()["number"], "3");

    // Nobody else is given the address of the cluster's DNS.
    let services: Api<Service> = Api::namespaced(admin.clone(), "kube-system");
    let reserved = limited(services.get("kube-dns")).await.unwrap().spec.unwrap();
    assert_eq!(reserved.cluster_ip.as_deref(), Some("10.96.0.10"));
    assert_eq!(reserved.ports.unwrap().len(), 2);

    // The agents of workers may look, and nothing else.
    let worker = client(plane, &agent(&plane.node));
    limited(Api::<Node>::all(worker.clone()).list(&ListParams::default()))
        .await
        .unwrap();
    let secrets = Api::<Secret>::all(worker);
    assert!(limited(secrets.list(&ListParams::default())).await.is_err());

    // Another control plane with the same list has nothing to do; with its older list it does not undo the newer one.
    let mut second = Agent::new(plane);
    let same = second.with(&[("attic", ATTIC), ("camera", CAMERA)]).await;
    assert!(same.iter().all(|(_, status)| status.state == applied), "{same:?}");
    let changed = ATTIC.replace("'3'", "'4'").replace("name: shelf", "name: board");
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: nowhere}\n";
    let all = first.with(&[("attic", &changed), ("broken", broken)]).await;
    let failed = all.iter().find(|(name, _)| name == "broken").unwrap();
    assert_eq!(failed.1.state, ManifestState::Failed);
    let message = failed.1.message.as_deref().unwrap();
    assert!(
        message.starts_with("ConfigMap nowhere/x: namespaces \"nowhere\" not found"),
        "{message}"
    );
    limited(maps.get("board")).await.unwrap();
    // While something fails nothing is deleted.
    limited(maps.get("shelf")).await.unwrap();
    let waiting = second.with(&[("attic", ATTIC), ("camera", CAMERA)]).await;
    assert!(
        waiting
            .iter()
            .all(|(_, status)| status.state == ManifestState::Waiting),
        "{waiting:?}"
    );
    // Something of somebody else is never deleted.
    let foreign: ConfigMap = serde_json::from_str(r#"{"metadata": {"name": "foreign"}}"#).unwrap();
    limited(maps.create(&Default::default(), &foreign)).await.unwrap();
    let all = first.with(&[("attic", &changed)]).await;
    assert_eq!(
        states(&all),
        [
            ("attic", applied),
            ("bedplate:dns", applied),
            ("bedplate:nodes", applied)
        ],
        "{all:?}"
    );
    assert!(limited(maps.get_opt("shelf")).await.unwrap().is_none());
    limited(maps.get("foreign")).await.unwrap();
    let crds: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(admin);
    let gone = limited(crds.get_opt("cameras.example.com")).await.unwrap();
    assert!(gone.is_none_or(|found| found.metadata.deletion_timestamp.is_some()));

    // The newest change counts, wherever it is made.
    let all = second.with(&[]).await;
    assert_eq!(
        states(&all),
        [("bedplate:dns", applied), ("bedplate:nodes", applied)],
        "{all:?}"
    );
    let attic = limited(namespaces.get_opt("attic")).await.unwrap();
    assert!(attic.is_none_or(|found| found.metadata.deletion_timestamp.is_some()));
    let waiting = first.with(&[("attic", &changed)]).await;
    assert!(
        waiting
            .iter()
            .all(|(_, status)| status.state == ManifestState::Waiting),
        "{waiting:?}"
    );
}
