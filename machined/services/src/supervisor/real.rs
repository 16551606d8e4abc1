//! Services with everything real: the supervisor, processes, the kernel's cgroups, logs and checks.

use std::path::Path;

use machine_config::{MachineConfig, Secret};
use node::children::Children;
use release_file::Release;
use service_definition::{HealthCheck, KillMode, Service};
use state::Resource;
use state::kinds::ServiceStatus;
use state::kinds::{NODE, ServiceSpec, ServiceState};
use sys::process::Stop;

use super::*;
use crate::LinuxHost;
use crate::cgroup::tests::kernel_cgroups;
use crate::cgroup::{Cgroups, RecordingCgroups};
use crate::testing::config;

/// How long a test waits for what should happen at once.
const LIMIT: Duration = Duration::from_secs(30);

struct Bench {
    root: tempfile::TempDir,
    node: Node,
    children: Children,
    supervisor: Supervisor,
    _reaper: AbortOnDropHandle<std::io::Result<()>>,
}

impl Bench {
    fn start(services: Vec<Service>, cgroups: Arc<dyn Cgroups>) -> Self {
        let release = Release {
            services,
            ..Release::default()
        };
        let (node, children) = (Node::new(release), Children::new());
        let root = tempfile::tempdir().unwrap();
        let host = LinuxHost::new(children.clone(), cgroups, node.logs.clone()).below(root.path());
        let config: MachineConfig = config("{}");
        node.store.put("config", NODE, config).unwrap();
        Bench {
            root,
            supervisor: Supervisor::start(&node, Arc::new(host)),
            _reaper: AbortOnDropHandle::new(tokio::spawn(children.clone().reap_forever())),
            node,
            children,
        }
    }

    async fn until(&self, name: &str, condition: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let mut watch = self.node.store.watch(&[ServiceStatus::KIND]);
        let found = async {
            loop {
                let status = self.node.store.get::<ServiceStatus>(name);
                if let Some(status) = status.filter(&condition) {
                    return status;
                }
                watch.changed().await;
            }
        };
        let found = timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("{name}: {:?}", self.node.store.get::<ServiceStatus>(name)))
    }
}

fn runs(status: &ServiceStatus) -> bool {
    status.state == ServiceState::Running
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Two services in order: the second one follows a file that it shows.
fn two(file: &Path) -> Vec<Service> {
    let shown = file.display().to_string();
    let mut second = Service::new("second", ["/usr/bin/tail", "-f", &shown]);
    second.depends_on = vec!["first".into()];
    second.kill_mode = KillMode::Process;
    let mut first = Service::new("first", ["/bin/sleep", "1000"]);
    first.health = Some(HealthCheck {
        exec: Some(vec!["/bin/cat".into(), shown]),
        every_seconds: 1,
        timeout_seconds: 5,
        failures: 3,
        ..HealthCheck::default()
    });
    vec![second, first]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_with_health_a_crash_and_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let cgroups: Arc<dyn Cgroups> = match kernel_cgroups("life") {
        Some(cgroups) => Arc::new(cgroups),
        None => Arc::new(RecordingCgroups::default()),
    };
    let bench = Bench::start(two(&file), cgroups);

    let starting = bench.until("first", |status| status.pid.is_some()).await;
    assert_eq!(
        starting.state,
        ServiceState::Starting,
        "its check finds no file yet"
    );
    bench
        .until("second", |status| status.message == "waits for first")
        .await;
    std::fs::write(&file, "hello from a file\n").unwrap();
    let first = bench.until("first", runs).await;
    let second = bench.until("second", runs).await;
    let mut log = bench.node.logs.ring("second").reader(None);
    let line = timeout(LIMIT, log.next()).await.expect("a line in time");
    assert_eq!(line.item.text, "hello from a file");

    bench.children.stop(first.pid.unwrap(), Stop::Kill).unwrap();
    let again = bench
        .until("first", |status| runs(status) && status.pid != first.pid)
        .await;
    assert_eq!((again.last_exit.as_deref(), again.restarts), (Some("SIGKILL"), 1));
    let unhurt = bench.node.store.get::<ServiceStatus>("second").unwrap();
    assert_eq!((unhurt.pid, unhurt.restarts), (second.pid, 0));

    assert_eq!(bench.supervisor.stop_all(LIMIT).await, [""; 0]);
    for pid in [first.pid, again.pid, second.pid] {
        assert!(!is_alive(pid.unwrap()), "{pid:?}");
    }
}

/// Makes a service that shows one of its files over and over, and another argument.
fn shows(file: &str, argument: &str) -> Service {
    Service::new("shows", ["/usr/bin/tail", "-n", argument, "-F", file])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_from_its_first_file_to_its_removal() {
    let cgroups: Arc<dyn Cgroups> = match kernel_cgroups("spec") {
        Some(cgroups) => Arc::new(cgroups),
        None => Arc::new(RecordingCgroups::default()),
    };
    let bench = Bench::start(vec![], cgroups.clone());
    let folder = bench.root.path().join("run/bedplate/services/shows");
    let file = folder.join("greeting").display().to_string();
    let want = |argument: &str, text: &str| {
        let spec = ServiceSpec::new(shows(&file, argument))
            .with_secret("greeting", Secret::new(text))
            .reloading();
        bench.node.store.put("test", "shows", spec).unwrap();
    };
    want("5", "hello\n");
    let first = bench.until("shows", runs).await;
    let mut log = bench.node.logs.ring("shows").reader(None);
    let mut says = async |text: &str| {
        let found = async { while !log.next().await.item.text.contains(text) {} };
        timeout(LIMIT, found).await.expect("a line in time");
    };
    says("hello").await;

    // Another content does not restart it; the file is replaced as a whole, which tail reports.
    want("5", "good day\n");
    says("good day").await;
    assert_eq!(
        bench.node.store.get::<ServiceStatus>("shows").unwrap().pid,
        first.pid
    );

    // Another command does.
    want("6", "good day\n");
    let second = bench
        .until("shows", |status| runs(status) && status.pid != first.pid)
        .await;
    assert!(!is_alive(first.pid.unwrap()));
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", second.pid.unwrap())).unwrap();
    assert!(line.contains("\u{0}6\u{0}"), "{line:?}");

    bench.node.store.remove::<ServiceSpec>("test", "shows").unwrap();
    let mut watch = bench.node.store.watch(&[ServiceStatus::KIND]);
    while bench.node.store.get::<ServiceStatus>("shows").is_some() {
        timeout(LIMIT, watch.changed()).await.expect("forgotten in time");
    }
    assert!(!is_alive(second.pid.unwrap()));
    assert!(!folder.exists());
    assert!(cgroups.folder("shows").is_none_or(|folder| !folder.exists()));
}
