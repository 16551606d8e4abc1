use std::sync::Mutex;

use machine_config::v1alpha1::CertificateAuthority;
use state::kinds::{ContributedRoute, LinkKind};
use state::testkit::settle_one;
use tempfile::TempDir;

use super::*;

/// Returns node `name` of a cluster with the usual networks.
pub(crate) fn member(name: &str) -> ClusterMember {
    ClusterMember {
        cluster: "home".to_owned(),
        node: name.to_owned(),
        control_plane: false,
        addresses: vec!["192.168.1.7".parse().unwrap()],
        endpoint: "https://192.168.1.5:6443".to_owned(),
        api: "https://127.0.0.1:7445".to_owned(),
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        services: vec!["10.96.0.0/12".parse().unwrap()],
        dns: vec!["10.96.0.10".parse().unwrap()],
        domain: "cluster.local".to_owned(),
        kubernetes: "1.20.2".to_owned(),
        etcd: None,
    }
}

/// Writes down the rules that are put in force.
#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

#[async_trait]
impl Rules for &Recorded {
    async fn apply(&self, rules: &str) -> Result<(), ControllerError> {
        self.0.lock().unwrap().push(rules.to_owned());
        Ok(())
    }
}

struct Bench {
    _dir: TempDir,
    store: Store,
    file: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let (dir, store) = (TempDir::new().unwrap(), Store::new());
        let bench = Self {
            file: dir.path().join("cni/net.d/10-bedplate.conflist"),
            _dir: dir,
            store,
        };
        bench.configure(Cni::Bridge);
        let status = LinkStatus {
            index: 2,
            mac_address: None,
            mtu: 1492,
            max_mtu: None,
            refused_mtu: None,
            up: true,
            carrier: true,
            kind: LinkKind::Ethernet,
            ipv6: None,
        };
        let put = |link: &str, address: &str| {
            let address: IpPrefix = address.parse().unwrap();
            let status = AddressStatus {
                link: link.to_owned(),
                address,
                ours: true,
            };
            bench
                .store
                .put("links", &format!("{link}/{address}"), status)
                .unwrap();
        };
        put("eth0", "192.168.1.7/24");
        put("cni0", "10.244.1.1/24");
        bench.store.put("links", "eth0", status).unwrap();
        bench.store.put("specs", "eth0", LinkSpec::default()).unwrap();
        bench
    }

    fn files(&self) -> Files {
        let folder = self._dir.path();
        Files {
            conflist: self.file.clone(),
            plugins: folder.join("usr/lib/cni"),
            link: folder.join("etc/cni/bin"),
            others: folder.join("var/lib/cni/bin"),
        }
    }

    fn configure(&self, cni: Cni) {
        let mut config = state::testkit::config();
        let cert = config.machine.ca.cert.clone();
        config.cluster.ca = Some(CertificateAuthority { cert, key: None });
        config.cluster.network.cni = cni;
        self.store.put("config", NODE, config).unwrap();
    }

    fn node(&self, name: &str, address: &str, pods: &[&str]) {
        let node = ClusterNode {
            mesh_key: None,
            addresses: vec![address.parse().unwrap()],
            pods: pods.iter().map(|text| text.parse().unwrap()).collect(),
        };
        self.store.put("nodes", name, node).unwrap();
    }

    fn join(&self) {
        self.store.put("member", NODE, member("node1")).unwrap();
    }

    fn routes(&self) -> Option<Vec<ContributedRoute>> {
        let contribution = self.store.get::<NetworkContribution>(NAME);
        contribution.map(|contribution| contribution.routes)
    }

    fn status(&self) -> Option<PodNetworkStatus> {
        self.store.get(NODE)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_its_network_when_the_cluster_has_given_it_one() {
    let (bench, rules) = (Bench::new(), Recorded::default());
    let files = bench.files();
    let mut controller = PodNetwork::new(files, &rules);
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert!(bench.status().is_none(), "it is no member yet");
    bench.join();
    settle_one(&bench.store, &mut controller).await.unwrap();
    let waits_for = bench.status().unwrap().waits_for;
    assert_eq!(
        waits_for.as_deref(),
        Some("the cluster does not know node node1 yet")
    );
    let kernel: KernelContribution = bench.store.get(NAME).unwrap();
    assert!(kernel.modules.contains(&"br_netfilter".to_owned()));
    bench.node("node1", "192.168.1.7", &[]);
    bench.node("node2", "192.168.1.8", &["10.244.2.0/24"]);
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert!(!bench.file.exists());
    assert_eq!(bench.routes().unwrap().len(), 1);

    bench.node("node1", "192.168.1.7", &["10.244.1.0/24", "10.0.0.0/8"]);
    settle_one(&bench.store, &mut controller).await.unwrap();
    let list = fs::read_to_string(&bench.file).unwrap();
    assert!(
        list.contains("\"subnet\": \"10.244.1.0/24\"") && list.contains("\"mtu\": 1492"),
        "{list}"
    );
    assert!(!list.contains("10.0.0.0/8"), "{list}");
    let status = bench.status().unwrap();
    assert_eq!(
        (status.waits_for, status.routes, status.problems.len()),
        (None, 1, 1)
    );

    // The API is back without node2, and somebody has removed the file.
    bench.store.remove::<ClusterNode>("nodes", "node2").unwrap();
    fs::remove_file(&bench.file).unwrap();
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert_eq!(bench.routes().unwrap(), []);
    assert_eq!(fs::read_to_string(&bench.file).unwrap(), list);
    assert_eq!(
        rules.0.lock().unwrap().len(),
        1,
        "nothing about the rules has changed"
    );
    tokio::time::sleep(RESYNC).await;
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert_eq!(rules.0.lock().unwrap().len(), 2, "others may have");
}

#[tokio::test]
async fn without_a_cni_of_ours_nothing_of_it_is_left() {
    let (bench, rules) = (Bench::new(), Recorded::default());
    let files = bench.files();
    let mut controller = PodNetwork::new(files, &rules);
    bench.join();
    bench.node("node1", "192.168.1.7", &["10.244.1.0/24"]);
    bench.node("node2", "192.168.1.8", &["10.244.2.0/24"]);
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert!(bench.file.exists());
    let files = bench.files();
    fs::create_dir_all(&files.plugins).unwrap();
    fs::write(files.plugins.join("loopback"), "new").unwrap();
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert_eq!(fs::read_link(&files.link).unwrap(), files.plugins);
    bench.configure(Cni::None);
    settle_one(&bench.store, &mut controller).await.unwrap();
    assert_eq!(fs::read_link(&files.link).unwrap(), files.others);
    assert_eq!(fs::read_to_string(files.link.join("loopback")).unwrap(), "new");
    assert!(!bench.file.exists());
    assert_eq!((bench.routes(), bench.status()), (None, None));
    assert_eq!(
        rules.0.lock().unwrap().last(),
        Some(&ruleset(&[], &["10.96.0.10".parse().unwrap()]))
    );
    assert!(
        bench.store.get::<KernelContribution>(NAME).is_some(),
        "every CNI needs it"
    );
}
