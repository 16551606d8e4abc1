//! The real API server with fake nodes behind it, and the program's files to reach them.

use std::sync::Arc;
use std::time::SystemTime;

use pki::authority::SERVER_LIFE;
use pki::{NodeClock, Secrets, Serving, Validity};
use server::testing::TestServer;

use super::{Home, Ran};

/// A home with the files of a cluster, and nodes of it.
pub struct Cluster {
    /// The home directory of the program.
    pub home: Home,
    /// The secrets of the cluster.
    pub secrets: Secrets,
    /// The nodes.
    pub nodes: Vec<TestServer>,
}

/// Makes what a node serves with: valid for these names from that time.
pub fn serving(secrets: &Secrets, names: &[&str], dated: SystemTime) -> Serving {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let validity = Validity::starting(dated, SERVER_LIFE);
    let issued = secrets
        .authority
        .issue_server("node", &names, validity)
        .expect("a certificate");
    let clock = Arc::new(NodeClock::trusting());
    Serving::mutual(secrets.authority.certificate_pem(), &issued, clock).expect("settings")
}

/// Makes a cluster of these nodes.
pub async fn cluster(names: &[&str]) -> Cluster {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "127.0.0.1"]).success();
    home.run(&["context", "merge", "client.yaml"]).success();
    let secrets = Secrets::from_yaml(&home.read("secrets.yaml")).expect("secrets");
    let mut nodes = Vec::new();
    for name in names {
        let serving = serving(&secrets, &["127.0.0.1"], SystemTime::now());
        nodes.push(TestServer::start(name, serving).await.expect("a server"));
    }
    Cluster { home, secrets, nodes }
}

impl Cluster {
    /// Returns where all nodes are, with commas between.
    pub fn addresses(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        all.join(",")
    }

    /// Runs the program against all nodes, away from the threads that serve.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let addresses = self.addresses();
        let all = [arguments, &["-n", &addresses]].concat();
        tokio::task::block_in_place(|| self.home.run(&all))
    }
}
