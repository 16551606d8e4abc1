//! `bedplate rotate-ca` against real API servers, each of which has a config and follows it.

mod program;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use api::v1alpha1::ApplyConfigResponse;
use async_trait::async_trait;
use backend::{Apply, BackendError, Configs, CurrentConfig};
use machine_config::MachineConfig;
use pki::authority::SERVER_LIFE;
use pki::{Certificate, NodeClock, Secrets, ServerTls, Serving, Validity};
use program::Home;
use server::testing::TestServer;

/// A node that takes configs, and serves with a certificate of the authority that signs in them.
struct Node {
    home: PathBuf,
    config: Mutex<MachineConfig>,
    tls: OnceLock<Arc<ServerTls>>,
}

impl Node {
    fn serving(home: &std::path::Path, config: &MachineConfig) -> Serving {
        let accepted = config.machine.ca.cert.as_str();
        let first = Certificate::from_pem(accepted, "the authority").expect("a certificate");
        // Whoever is accepted has its key in a file by then: no node ever has to be asked for it.
        let signs = ["secrets.yaml", "rotated-secrets.yaml"]
            .into_iter()
            .find_map(|name| {
                let text = std::fs::read_to_string(home.join(name)).ok()?;
                let secrets = Secrets::from_yaml(&text).expect("secrets");
                (secrets.authority.certificate() == &first).then_some(secrets.authority)
            });
        let names = ["127.0.0.1".to_owned()];
        let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
        let issued = signs
            .expect("the file of its key")
            .issue_server("node", &names, validity);
        Serving::mutual(
            accepted,
            &issued.expect("a certificate"),
            Arc::new(NodeClock::trusting()),
        )
        .expect("settings")
    }
}

#[async_trait]
impl Configs for Node {
    fn current(&self, secrets: bool) -> Option<CurrentConfig> {
        assert!(secrets, "an admin asks");
        Some(CurrentConfig {
            yaml: self.config.lock().expect("a lock").to_yaml_with_secrets(),
            revision: "1".to_owned(),
        })
    }

    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError> {
        let new = machine_config::parse(&apply.yaml).expect("a machine config");
        let moment = pki::Moment::of_host(SystemTime::now());
        pki::check_config(&apply.yaml, &new, moment).expect("a config that a node would take");
        let tls = self.tls.get().expect("it serves");
        tls.set(Some(Self::serving(&self.home, &new)));
        *self.config.lock().expect("a lock") = new;
        Ok(ApplyConfigResponse::default())
    }
}

struct Cluster {
    home: Home,
    nodes: Vec<(TestServer, Arc<Node>)>,
}

const ROLES: [&str; 3] = ["worker.yaml", "controlplane.yaml", "controlplane.yaml"];

impl Cluster {
    async fn start() -> Self {
        let home = Home::new();
        home.run(&["gen", "config", "lab", "https://127.0.0.1:6443"])
            .success();
        home.run(&["context", "merge", "client.yaml"]).success();
        let mut nodes = Vec::new();
        for file in ROLES {
            let config = machine_config::parse(&home.read(file)).expect("a machine config");
            let serving = Node::serving(&home.path("."), &config);
            let node = Arc::new(Node {
                home: home.path("."),
                config: Mutex::new(config),
                tls: OnceLock::new(),
            });
            let configs = node.clone();
            let server = TestServer::start_with("node", serving, |backend| backend.configs = configs);
            let server = server.await.expect("a server");
            assert!(node.tls.set(server.tls.clone()).is_ok());
            nodes.push((server, node));
        }
        Self { home, nodes }
    }

    fn addresses(&self) -> String {
        let all: Vec<String> = self
            .nodes
            .iter()
            .map(|(server, _)| server.address.to_string())
            .collect();
        all.join(",")
    }

    fn rotate(&self, more: &[&str]) -> std::process::Command {
        let nodes = self.addresses();
        self.home
            .command(&[&["rotate-ca", "--yes", "--settle", "0s", "-n", &nodes], more].concat())
    }

    /// Returns what each node accepts as the authority of its API, and whether it has the key of the first.
    fn accepted(&self) -> Vec<(Vec<Certificate>, bool)> {
        let all = self.nodes.iter().map(|(_, node)| {
            let config = node.config.lock().expect("a lock");
            let ca = &config.machine.ca;
            let accepted = Certificate::all_from_pem(ca.cert.as_str(), "it").expect("certificates");
            (accepted, ca.key.is_some())
        });
        all.collect()
    }

    fn authority(&self, file: &str) -> Certificate {
        let secrets = Secrets::from_yaml(&self.home.read(file)).expect("secrets");
        secrets.authority.certificate().clone()
    }

    /// Runs commands as a user does, until it is told to stop. Returns how many there were; each must succeed.
    fn user(self: &Arc<Self>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
        let (cluster, stop) = (self.clone(), stop.clone());
        std::thread::spawn(move || {
            let done = AtomicUsize::new(0);
            while !stop.load(Ordering::Relaxed) {
                cluster
                    .home
                    .run(&["status", "-n", &cluster.addresses()])
                    .success();
                done.fetch_add(1, Ordering::Relaxed);
            }
            done.into_inner()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_all_the_time_sees_no_failure_though_the_rotation_is_killed() {
    let cluster = Arc::new(Cluster::start().await);
    let old = cluster.authority("secrets.yaml");
    let stop = Arc::new(AtomicBool::new(false));
    let user = cluster.user(&stop);
    // Killed in each of the phases: each run begins where the one before it ended.
    for _ in 0..3 {
        let mut child = cluster
            .rotate(&[])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let third = lines.map_while(Result::ok).find(|line| line.contains("[3/"));
        assert!(third.is_some(), "it was over before it could be killed");
        child.kill().expect("it is killed");
        child.wait().expect("it has ended");
    }
    let ended = tokio::task::block_in_place(|| cluster.rotate(&["-o", "json"]).output().expect("it runs"));
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let summary: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(summary["complete"], true);
    stop.store(true, Ordering::Relaxed);
    let commands = tokio::task::block_in_place(|| user.join().expect("no command failed"));
    assert!(commands > 0);
    let new = cluster.authority("rotated-secrets.yaml");
    assert_ne!(new, old);
    for ((accepted, has_key), role) in cluster.accepted().into_iter().zip(ROLES) {
        assert_eq!(accepted, std::slice::from_ref(&new), "{role}");
        assert_eq!(has_key, role != "worker.yaml", "{role}");
    }
    // The secrets are those of the cluster as it is now: new nodes and clients are made from them.
    let config = cluster.nodes[1].1.config.lock().expect("a lock").clone();
    let secrets = Secrets::of_config(&config).expect("secrets");
    assert_eq!(
        secrets.to_yaml().as_str(),
        cluster.home.read("rotated-secrets.yaml")
    );
    let again = tokio::task::block_in_place(|| cluster.rotate(&[]).output().expect("it runs"));
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(said.starts_with("nothing to do"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_where_it_is_told_and_changes_nothing_when_it_only_shows() {
    let cluster = Cluster::start().await;
    let old = cluster.authority("secrets.yaml");
    let run = |more: &[&str]| {
        let output = tokio::task::block_in_place(|| cluster.rotate(more).output().expect("it runs"));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = run(&["--dry-run"]);
    assert_eq!(shown.lines().count(), 1 + 3 * 4, "{shown}");
    assert!(!cluster.home.path("rotated-secrets.yaml").exists());
    run(&["--only", "machine,etcd", "--stop-after", "accept"]);
    let new = cluster.authority("rotated-secrets.yaml");
    for (accepted, _) in cluster.accepted() {
        assert_eq!(accepted, [old.clone(), new.clone()]);
    }
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(cluster.home.path("rotated-secrets.yaml")).expect("it is there"),
    );
    assert_eq!(mode & 0o777, 0o600);
    // Somebody else gets a file now that works before and after the next phase.
    let other = [
        "gen",
        "client",
        "lab",
        "--at",
        "127.0.0.1",
        "--role",
        "reader",
        "--secrets",
        "rotated-secrets.yaml",
    ];
    let files = ["--old-secrets", "secrets.yaml", "--file", "other.yaml"];
    cluster.home.run(&[&other[..], &files].concat()).success();
    let nodes = cluster.addresses();
    let status = ["status", "--config", "other.yaml", "-n", &nodes];
    let ask = || tokio::task::block_in_place(|| cluster.home.run(&status)).success();
    ask();
    run(&["--only", "machine,etcd", "--stop-after", "issue"]);
    ask();
    for (accepted, _) in cluster.accepted() {
        assert_eq!(accepted, [new.clone(), old.clone()]);
    }
    run(&["--only", "machine,etcd"]);
    for (accepted, _) in cluster.accepted() {
        assert_eq!(accepted, std::slice::from_ref(&new));
    }
    // What was left out is as it was.
    let secrets = |name: &str| {
        Secrets::from_yaml(&cluster.home.read(name))
            .expect("secrets")
            .kubernetes
            .expect("it has")
    };
    let (before, after) = (secrets("secrets.yaml"), secrets("rotated-secrets.yaml"));
    assert_eq!(before.authority.certificate(), after.authority.certificate());
    assert_ne!(before.etcd.certificate(), after.etcd.certificate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_named_and_nothing_is_changed() {
    let cluster = Cluster::start().await;
    let gone = "127.0.0.1:1";
    let nodes = format!("{},{gone}", cluster.addresses());
    let arguments = ["rotate-ca", "--yes", "-n", &nodes];
    let ran = tokio::task::block_in_place(|| cluster.home.run(&arguments)).failure();
    assert!(
        ran.err.contains(gone) && ran.err.contains("every node must be there"),
        "{}",
        ran.err
    );
    assert!(!cluster.home.path("rotated-secrets.yaml").exists());
}
