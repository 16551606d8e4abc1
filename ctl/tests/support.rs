//! Runs `bedplate support` against the real API server, with fake nodes behind it.

mod program;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::SystemTime;

use backend::{Answers, Apply, BackendError, Configs, CurrentConfig, Logs, answers};
use program::Home;
use program::cluster::serving;
use server::testing::TestServer;
use std::sync::Arc;

use api::v1alpha1::{ApplyConfigResponse, EventsResponse, LogsResponse};
use async_trait::async_trait;
use machine_config::MachineConfig;

/// A node whose services print every secret of its config.
struct Talkative(MachineConfig);

impl Talkative {
    /// Returns every line of the config: whatever is secret is among them.
    fn lines(&self) -> Vec<String> {
        self.0
            .to_yaml_with_secrets()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }
}

#[async_trait]
impl Configs for Talkative {
    fn current(&self, secrets: bool) -> Option<CurrentConfig> {
        let yaml = match secrets {
            true => self.0.to_yaml_with_secrets(),
            false => self.0.to_yaml(),
        };
        Some(CurrentConfig {
            yaml,
            revision: "1".to_owned(),
        })
    }

    async fn apply(&self, _: Apply) -> Result<ApplyConfigResponse, BackendError> {
        Err(BackendError::Refused("not here".to_owned()))
    }
}

#[async_trait]
impl Logs for Talkative {
    fn sources(&self) -> Vec<String> {
        vec!["machined".to_owned(), "containerd".to_owned()]
    }

    fn open(&self, _: &str, _: Option<usize>, _: bool) -> Result<Answers<LogsResponse>, BackendError> {
        let line = |line: String| LogsResponse {
            unix_ms: 1,
            line: format!("token={line}"),
            dropped: 0,
        };
        Ok(answers(
            self.lines().into_iter().map(line).collect(),
            None,
            |_, _| {},
        ))
    }

    fn events(&self, _: Option<usize>, _: bool) -> Answers<EventsResponse> {
        let event = |message| EventsResponse {
            id: 1,
            unix_ms: 1,
            severity: "info".to_owned(),
            source: "boot".to_owned(),
            message,
        };
        answers(self.lines().into_iter().map(event).collect(), None, |_, _| {})
    }
}

/// Returns the files of an archive.
fn files(path: &std::path::Path) -> BTreeMap<String, String> {
    let archive = std::fs::File::open(path).expect("an archive");
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).expect("zstd"));
    let entries = archive.entries().expect("a tar");
    entries
        .map(|entry| {
            let mut entry = entry.expect("a file");
            let name = entry.path().expect("a path").display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("a text");
            (name, text)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_has_everything_but_secrets_and_a_silent_node_is_recorded() {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "127.0.0.1"]).success();
    home.run(&["context", "merge", "client.yaml"]).success();
    let secrets = pki::Secrets::from_yaml(&home.read("secrets.yaml")).expect("secrets");
    let config = machine_config::parse(&home.read("controlplane.yaml")).expect("a config");
    let node = Arc::new(Talkative(config.clone()));
    let server = TestServer::start_with(
        "node1",
        serving(&secrets, &["127.0.0.1"], SystemTime::now()),
        |backend| {
            backend.configs = node.clone();
            backend.logs = node.clone();
        },
    );
    let server = server.await.expect("a server");
    // Nothing listens there any more.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let silent = silent.expect("a port");
    let nodes = format!("{},{silent}", server.address);
    let arguments = ["support", "--file", "out.tar.zst", "-n", &nodes];
    let ran = tokio::task::block_in_place(|| home.run(&arguments)).success();
    assert_eq!(ran.out, "out.tar.zst\n");
    assert!(
        ran.err.contains("0 files, 1 problems") && ran.err.contains("not encrypted"),
        "{}",
        ran.err
    );

    let files = files(&home.path("out.tar.zst"));
    let folder = |address: &str| format!("bedplate-support/{}", address.replace(':', "_"));
    let (own, other) = (folder(&server.address.to_string()), folder(&silent.to_string()));
    for name in [
        "config.yaml",
        "version.json",
        "status.json",
        "services.json",
        "memory.json",
        "disks.json",
        "mounts.json",
        "network.json",
        "events.log",
        "logs/machined.log",
        "logs/containerd.log",
    ] {
        assert!(
            files.contains_key(&format!("{own}/{name}")),
            "{name} of {:?}",
            files.keys()
        );
    }
    assert!(
        files[&format!("{other}/problems.txt")].contains("nothing listens"),
        "{:?}",
        files[&format!("{other}/problems.txt")]
    );

    // Every line that the config has with its secrets, and does not have without them.
    let shown = config.to_yaml();
    let hidden: Vec<String> = node
        .lines()
        .into_iter()
        .filter(|line| !shown.contains(line.as_str()))
        .map(|line| {
            line.split_once(": ")
                .map_or(line.clone(), |(_, value)| value.to_owned())
        })
        .filter(|secret| secret.len() >= 8 && !secret.starts_with("-----"))
        .collect();
    assert!(
        hidden.len() > 8,
        "a control plane has many secrets: {}",
        hidden.len()
    );
    for (name, text) in &files {
        for secret in &hidden {
            assert!(!text.contains(secret.as_str()), "{name} has a secret");
        }
    }
    assert!(files[&format!("{own}/logs/machined.log")].contains("token=<redacted>"));
    tokio::task::block_in_place(|| home.run(&arguments)).failure();
}
