use std::sync::Mutex;

use machine_config::v1alpha1::CertificateAuthority;
use state::testkit::settle_one;

use super::*;
use crate::controller::tests::member;
use crate::mesh::key::Key;
use crate::mesh::update::Update;
use crate::mesh::wireguard::TunnelError;

/// Writes down what the kernel is told.
#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

#[async_trait]
impl Tunnel for &Recorded {
    async fn make(&self) -> Result<(), TunnelError> {
        self.0.lock().unwrap().push("make".to_owned());
        Ok(())
    }

    async fn remove(&self) -> Result<(), TunnelError> {
        self.0.lock().unwrap().push("remove".to_owned());
        Ok(())
    }

    async fn set(&self, key: &[u8; 32], update: &Update) -> Result<(), TunnelError> {
        assert_ne!(*key, [0; 32]);
        let text = format!(
            "all {} set {} gone {}",
            update.all,
            update.set.len(),
            update.gone.len()
        );
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

fn configure(store: &Store, mesh: v1alpha1::Mesh) {
    let mut config = state::testkit::config();
    let cert = config.machine.ca.cert.clone();
    config.cluster.ca = Some(CertificateAuthority { cert, key: None });
    config.cluster.network.mesh = mesh;
    store.put("config", NODE, config).unwrap();
}

fn node(store: &Store, name: &str, key: u8, address: &str, pods: &str) {
    let node = ClusterNode {
        addresses: vec![address.parse().unwrap()],
        pods: vec![pods.parse().unwrap()],
        mesh_key: Some(Key([key; 32]).to_string()),
    };
    store.put("nodes", name, node).unwrap();
}

fn link(store: &Store, name: &str, index: u32, kind: LinkKind) {
    let status = LinkStatus {
        index,
        mac_address: None,
        mtu: 1500,
        max_mtu: None,
        refused_mtu: None,
        up: true,
        carrier: true,
        kind,
        ipv6: None,
    };
    store.put("links", name, status).unwrap();
}

#[tokio::test]
async fn the_kernel_is_told_what_is_new_and_everything_about_a_new_interface() {
    let (store, recorded, folder) = (Store::new(), Recorded::default(), tempfile::tempdir().unwrap());
    let mut mesh = Mesh::new(folder.path().join("mesh.key"), &recorded);
    let told = || std::mem::take(&mut *recorded.0.lock().unwrap());
    configure(&store, v1alpha1::Mesh::None);
    store.put("member", NODE, member("node1")).unwrap();
    settle_one(&store, &mut mesh).await.unwrap();
    assert!(told().is_empty() && store.get::<MeshStatus>(NODE).is_none());

    configure(&store, v1alpha1::Mesh::Wireguard);
    link(&store, "eth0", 2, LinkKind::Ethernet);
    store.put("specs", "eth0", LinkSpec::default()).unwrap();
    let address = AddressStatus {
        link: "eth0".to_owned(),
        address: "192.168.1.7/24".parse().unwrap(),
        ours: true,
    };
    store.put("links", "eth0/192.168.1.7/24", address).unwrap();
    node(&store, "node1", 1, "192.168.1.7", "10.244.1.0/24");
    node(&store, "node2", 2, "192.168.1.8", "10.244.2.0/24");
    mesh.reconcile(&store).await.unwrap();
    assert_eq!(told(), ["make"]);
    let status: MeshStatus = store.get(NODE).unwrap();
    assert_eq!(status.peers["node2"], "192.168.1.8:51820".parse().unwrap());
    let kernel: KernelContribution = store.get(NAME).unwrap();
    assert_eq!(kernel.modules, ["wireguard"]);
    assert_eq!(
        store.get::<NetworkContribution>(NAME),
        None,
        "there is no interface yet"
    );

    let wireguard = || LinkKind::Virtual {
        driver: "wireguard".to_owned(),
    };
    link(&store, INTERFACE, 7, wireguard());
    settle_one(&store, &mut mesh).await.unwrap();
    mesh.reconcile(&store).await.unwrap();
    assert_eq!(told(), ["all true set 1 gone 0"]);
    let network: NetworkContribution = store.get(NAME).unwrap();
    assert_eq!(network.links[INTERFACE].mtu, Some(1420));
    assert_eq!(network.addresses[0].address, "10.244.1.0/32".parse().unwrap());
    node(&store, "node3", 3, "10.9.9.9", "10.244.3.0/24");
    mesh.reconcile(&store).await.unwrap();
    store.remove::<ClusterNode>("nodes", "node2").unwrap();
    mesh.reconcile(&store).await.unwrap();
    assert_eq!(told(), ["all false set 1 gone 0", "all false set 0 gone 1"]);
    // Somebody removed the interface, and another one was made.
    link(&store, INTERFACE, 8, wireguard());
    mesh.reconcile(&store).await.unwrap();
    assert_eq!(told(), ["all true set 1 gone 0"]);

    configure(&store, v1alpha1::Mesh::None);
    mesh.reconcile(&store).await.unwrap();
    assert_eq!(told(), ["remove"]);
    assert_eq!(
        (
            store.get::<MeshStatus>(NODE),
            store.get::<NetworkContribution>(NAME)
        ),
        (None, None)
    );
}
