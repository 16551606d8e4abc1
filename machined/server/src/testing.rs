//! A fake node behind the real server, for tests here and in the control CLI.

mod containers;
mod etcd;
mod firmware;
mod images;
mod kubernetes;
mod peers;
mod upgrades;
mod workloads;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::v1alpha1::{
    ApplyConfigResponse, Boot, BootStep, EventsResponse, LogsResponse, Phase, ResetScope, ServiceHealth,
    ServiceInfo, ServiceState, Slot, StatusResponse, VersionResponse,
};
use async_trait::async_trait;
use backend::{
    Answers, Apply, Backend, BackendError, Configs, CurrentConfig, Logs, Machine, Power, Services, answers,
};
use hyper_util::rt::TokioIo;
use pki::{Mode, NodeClock, ServerTls, Serving};
use state::Store;
use state::kinds::health::Reason;
use state::kinds::{CheckResult, HealthState, HealthStatus};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::ApiServer;
use super::files::FilePolicy;
use super::host::Host;
use super::listen::listen;

pub use kubernetes::authority as kubernetes_authority;
pub use peers::FakePeers;
pub use upgrades::{FakeUpgrades, Fate, NEW, OLD};

/// How long its services and workloads take to end.
const STOPPING: Duration = Duration::from_millis(1500);

/// Remembers what it was asked to do, and does none of it.
pub struct FakeNode {
    hostname: String,
    phase: Phase,
    calls: Mutex<Vec<String>>,
    health: Mutex<HealthStatus>,
    /// Its upgrades.
    pub upgrades: FakeUpgrades,
    /// The nodes of its cluster.
    pub peers: FakePeers,
}

/// A server on a port of this machine. It stops when dropped.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it shows.
    pub store: Store,
    /// What it was asked.
    pub node: Arc<FakeNode>,
    /// What it serves with.
    pub tls: Arc<ServerTls>,
    stop: CancellationToken,
}

impl TestServer {
    /// Starts a fake node of that name.
    pub async fn start(hostname: &str, serving: Serving) -> io::Result<Self> {
        Self::start_with(hostname, serving, |_| {}).await
    }

    /// Starts a fake node of that name, with other parts where `change` puts them.
    pub async fn start_with(
        hostname: &str,
        serving: Serving,
        change: impl FnOnce(&mut Backend),
    ) -> io::Result<Self> {
        let phase = match serving.mode {
            Mode::Maintenance => Phase::Maintenance,
            Mode::Locked => Phase::Locked,
            Mode::Mutual | Mode::Optional => Phase::Running,
        };
        let node = Arc::new(FakeNode {
            hostname: hostname.to_owned(),
            phase,
            calls: Mutex::default(),
            health: Mutex::new(healthy()),
            upgrades: FakeUpgrades::default(),
            peers: FakePeers::default(),
        });
        let tls = Arc::new(ServerTls::new());
        tls.set(Some(serving));
        let (store, stop) = (Store::new(), CancellationToken::new());
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        let mut backend = backend(&node);
        change(&mut backend);
        let server = ApiServer {
            store: store.clone(),
            backend,
            host: Host::default(),
            files: FilePolicy::default(),
            tls: tls.clone(),
            clock: Arc::new(NodeClock::trusting()),
        };
        tokio::spawn(server.run(listener, stop.clone()));
        Ok(Self {
            address,
            store,
            node,
            tls,
            stop,
        })
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Connects to a server, as a client with these settings.
pub async fn connect(address: SocketAddr, client: &pki::Client) -> Result<Channel, tonic::transport::Error> {
    let connector = TlsConnector::from(client.config.clone());
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let stream = connector.connect(ServerName::from(address.ip()), stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://node")
        .connect_with_connector(dial)
        .await
}

fn backend(node: &Arc<FakeNode>) -> Backend {
    Backend {
        machine: node.clone(),
        services: node.clone(),
        logs: node.clone(),
        configs: node.clone(),
        power: node.clone(),
        upgrades: Arc::new(node.upgrades.clone()),
        etcd: node.clone(),
        kubernetes: node.clone(),
        peers: Arc::new(node.peers.clone()),
        workloads: node.clone(),
        images: node.clone(),
        containers: node.clone(),
        firmware: node.clone(),
    }
}

impl FakeNode {
    /// Returns what the node was asked to do, in order.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes something be wrong with the node.
    pub fn set_problem(&self, source: &str, state: HealthState, text: &str) {
        let mut health = healthy();
        health.state = state;
        health.reasons.push(Reason {
            source: source.into(),
            state,
            text: text.into(),
            since_ms: 0,
        });
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    fn note(&self, call: String) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }

    fn service(&self, verb: &str, name: &str) -> Result<(), BackendError> {
        if name != "containerd" {
            return Err(BackendError::NotFound(format!(
                "there is no service {name:?}; there are: containerd"
            )));
        }
        self.note(format!("{verb} {name}"));
        Ok(())
    }
}

fn healthy() -> HealthStatus {
    let check = CheckResult {
        name: "api".into(),
        healthy: true,
        message: "answers".into(),
    };
    HealthStatus {
        state: HealthState::Healthy,
        checks: vec![check],
        ..HealthStatus::default()
    }
}

impl Machine for FakeNode {
    fn version(&self) -> VersionResponse {
        VersionResponse {
            version: self.upgrades.version(),
            board: "qemu-arm64".into(),
            arch: "arm64".into(),
            overlays: vec!["base".into()],
            manifest_sha256: self.upgrades.manifest(),
            ..VersionResponse::default()
        }
    }

    fn status(&self) -> StatusResponse {
        let slot = |name: &str, state: &str, running| Slot {
            name: name.into(),
            state: state.into(),
            version: if running {
                self.upgrades.version()
            } else {
                String::new()
            },
            preferred: running,
            running,
            ..Slot::default()
        };
        let step = |name: &str, start_ms, duration_ms| BootStep {
            name: name.into(),
            start_ms,
            duration_ms,
        };
        StatusResponse {
            phase: self.phase.into(),
            hostname: self.hostname.clone(),
            role: "standalone".into(),
            version: self.upgrades.version(),
            board: "qemu-arm64".into(),
            arch: "arm64".into(),
            boot: Some(Boot {
                slot: "a".into(),
                cause: "preferred".into(),
                boot_id: self.upgrades.boot_id(),
                steps: vec![step("loader", -2000, 2000), step("initramfs", 0, 900)],
                ..Boot::default()
            }),
            slots: vec![slot("a", "committed", true), slot("b", "empty", false)],
            health: Some(backend::health(
                &self.health.lock().unwrap_or_else(PoisonError::into_inner),
            )),
            ..StatusResponse::default()
        }
    }
}

#[async_trait]
impl Services for FakeNode {
    fn list(&self) -> Vec<ServiceInfo> {
        vec![ServiceInfo {
            name: "containerd".into(),
            state: ServiceState::Running.into(),
            health: ServiceHealth::Healthy.into(),
            message: "answers on its socket".into(),
            pid: 77,
            written_bytes: 300 << 20,
            written_last_hour_bytes: 7 << 20,
            ..ServiceInfo::default()
        }]
    }

    async fn start(&self, name: &str) -> Result<(), BackendError> {
        self.service("start", name)
    }

    async fn stop(&self, name: &str) -> Result<(), BackendError> {
        // It takes what a program takes that is asked to end.
        tokio::time::sleep(STOPPING).await;
        self.service("stop", name)
    }

    async fn restart(&self, name: &str) -> Result<(), BackendError> {
        self.service("restart", name)
    }
}

impl Logs for FakeNode {
    fn sources(&self) -> Vec<String> {
        vec!["containerd".into(), "machined".into()]
    }

    fn open(
        &self,
        source: &str,
        tail: Option<usize>,
        _follow: bool,
    ) -> Result<Answers<LogsResponse>, BackendError> {
        if !self.sources().iter().any(|known| known == source) {
            let known = self.sources().join(", ");
            return Err(BackendError::NotFound(format!(
                "there is no log {source:?}; there are: {known}"
            )));
        }
        let line = |number: i64| LogsResponse {
            unix_ms: number,
            line: format!("{source} line {number}"),
            dropped: 0,
        };
        let mut lines: Vec<LogsResponse> = (1..=3).map(line).collect();
        lines.drain(..tail.map_or(0, |tail| lines.len().saturating_sub(tail)));
        Ok(answers(lines, None, |_, _| {}))
    }

    fn events(&self, _tail: Option<usize>, _follow: bool) -> Answers<EventsResponse> {
        let event = EventsResponse {
            id: 1,
            unix_ms: 1,
            severity: "info".into(),
            source: "boot".into(),
            message: "started".into(),
        };
        answers(vec![event], None, |_, _| {})
    }
}

#[async_trait]
impl Configs for FakeNode {
    fn current(&self, secrets: bool) -> Option<CurrentConfig> {
        let token = if secrets {
            "the-real-token-of-it"
        } else {
            "<redacted>"
        };
        (self.phase == Phase::Running).then(|| CurrentConfig {
            yaml: format!("machine: {{token: {token}}}\n"),
            revision: "1".to_owned(),
        })
    }

    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError> {
        if !apply.yaml.contains("MachineConfig") {
            let fault = ("kind".to_owned(), "is missing; expected MachineConfig".to_owned());
            return Err(BackendError::Invalid(vec![fault]));
        }
        self.note(format!("apply {:?} dry_run={}", apply.mode, apply.dry_run));
        Ok(ApplyConfigResponse {
            mode: apply.mode.into(),
            reboot: false,
            changes: vec!["machine.hostname".into()],
            warnings: vec![],
        })
    }
}

#[async_trait]
impl Power for FakeNode {
    async fn reboot(&self) -> Result<(), BackendError> {
        self.note("reboot".into());
        Ok(())
    }

    async fn shutdown(&self) -> Result<(), BackendError> {
        self.note("shutdown".into());
        Ok(())
    }

    async fn reset(&self, scope: ResetScope, shutdown: bool) -> Result<(), BackendError> {
        self.note(format!("reset {scope:?} shutdown={shutdown}"));
        Ok(())
    }
}
