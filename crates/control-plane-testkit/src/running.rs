//! A control plane that runs.

use kubernetes::release::Cgroups;
use kubernetes::{Cluster, Component, Identity, Kind, Layout, Node, Release, Signer, plan};
use pki::KubernetesSecrets;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::http::{Answer, get};
use crate::programs::{Programs, Running, enter_network};
use crate::{Pair, sample};

/// The node's address, in the test's own network.
pub const ADDRESS: &str = "192.0.2.7";

/// A control plane that runs until the value is dropped.
pub struct RunningPlane<'a> {
    // Dropped first to last: programs end before their folder goes.
    running: Vec<Running>,
    /// The cluster.
    pub cluster: Cluster,
    /// The node.
    pub node: Node,
    /// Everything that the node is to run, also what was not started.
    pub components: Vec<Component>,
    /// The programs.
    pub programs: &'a Programs,
    secrets: KubernetesSecrets,
    folder: TempDir,
}

/// Starts etcd, the API server and these components in a network of their own, and calls a test with them. Threads that the
/// test starts are in that network, too.
///
/// # Panics
///
/// As the test does, or if a component does not get healthy.
pub fn run(programs: &Programs, further: &[Kind], test: impl FnOnce(&mut RunningPlane<'_>) + Send) {
    run_changed(programs, further, |_| (), test);
}

/// As [`run`], on a node that was changed before.
///
/// # Panics
///
/// As the test does, or if a component does not get healthy.
pub fn run_changed(
    programs: &Programs,
    further: &[Kind],
    change: impl FnOnce(&mut Node) + Send,
    test: impl FnOnce(&mut RunningPlane<'_>) + Send,
) {
    // A thread cannot come back from a network of its own.
    std::thread::scope(|scope| {
        let ended = scope
            .spawn(|| test(&mut RunningPlane::start(programs, further, change)))
            .join();
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

impl<'a> RunningPlane<'a> {
    fn start(programs: &'a Programs, further: &[Kind], change: impl FnOnce(&mut Node)) -> Self {
        enter_network(ADDRESS);
        let folder = tempfile::tempdir().unwrap();
        let release = Release::of(programs.kubernetes).unwrap();
        release.check_etcd(programs.etcd).unwrap();
        let mut cluster_plane = sample::plane(&programs.etcd.to_string());
        let secrets = KubernetesSecrets::generate("test", std::time::SystemTime::now()).unwrap();
        cluster_plane.encryption_key = secrets.encryption.bytes().clone();
        let cluster = sample::cluster(&format!("https://{ADDRESS}:6443"));
        let mut node = sample::node(&cluster, "node1", ADDRESS);
        node.layout = Layout {
            programs: programs.folder().to_owned(),
            settings: folder.path().join("settings"),
            etcd: folder.path().join("etcd"),
            kubelet: folder.path().join("kubelet"),
            runtime: folder.path().join("absent.sock"),
            ..Layout::default()
        };
        node.cgroups = Cgroups::mounted_on("/sys/fs/cgroup".as_ref());
        change(&mut node);
        let components = plan(release, &cluster, &node, Some(&cluster_plane)).unwrap();
        let mut plane = Self {
            running: Vec::new(),
            cluster,
            node,
            components,
            programs,
            secrets,
            folder,
        };
        for kind in [Kind::Etcd, Kind::ApiServer]
            .into_iter()
            .chain(further.iter().copied())
        {
            plane.start_component(kind);
        }
        plane
    }

    /// Starts a component with its certificates, and waits until it is healthy.
    fn start_component(&mut self, kind: Kind) {
        let component = self.component(kind).clone();
        self.certificates().write_for(&component);
        let mut running = Running::start(&component, self.programs, self.folder.path());
        let certificates = self.certificates();
        let health = &component.health;
        running.until(&format!("{kind} is healthy"), || {
            let client = health
                .identity
                .map(|identity| certificates.written(kind, identity));
            let authority = health.trusts.map(|signer| certificates.authority(signer));
            matches!(
                get(&health.url, authority, client.as_ref()),
                Answer::Status(200, _)
            )
        });
        self.running.push(running);
    }

    /// Ends everything that runs: the API is away from now on.
    pub fn stop(&mut self) {
        // The API server first, as it was started last.
        while self.running.pop().is_some() {}
    }

    /// Returns a component, as it was or would be started.
    pub fn component(&self, kind: Kind) -> &Component {
        let mut all = self.components.iter();
        all.find(|component| component.kind == kind).unwrap()
    }

    /// Returns where the API is.
    pub fn api(&self) -> String {
        format!("https://{ADDRESS}:{}", self.node.ports.api)
    }

    /// Returns the certificate of the cluster's authority, in PEM.
    pub fn authority(&self) -> &str {
        self.secrets.authority.certificate_pem()
    }

    /// Returns what signs certificates of the cluster.
    pub fn certificates(&self) -> Certificates<'_> {
        Certificates::new(&self.secrets, &self.node.layout)
    }

    /// Signs a client's certificate.
    pub fn client(&self, identity: &Identity) -> Pair {
        let issued = self.certificates().issue(identity);
        (issued.pem.clone(), issued.key.to_pem().to_string())
    }

    /// Returns the folder of everything that is written.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Asks the API for a path, such as `/readyz`.
    pub fn get(&self, path: &str, client: Option<&Pair>) -> Answer {
        let authority = self.certificates();
        get(
            &format!("{}{path}", self.api()),
            Some(authority.authority(Signer::Kubernetes)),
            client,
        )
    }
}
