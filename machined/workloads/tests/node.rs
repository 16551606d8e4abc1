//! The controller and the API's handles with the machine's own containerd: how images come, are tried, and go.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod shell;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use backend::{BackendError, Images as _, PushError, PushedBundle};
use containerd::testing::RealContainerd;
use containerd::{SERVICE, WORKLOADS};
use machine_config::MachineConfig;
use machine_config::value::Period;
use node::events::Events;
use node::logs::{Logs, uptime_ms};
use oci_image::digest;
use shell::{archive, image, registry};
use state::kinds::{
    NODE, RoomStatus, ServiceHealth, ServiceSpec, ServiceState, ServiceStatus, WorkloadStage, WorkloadStatus,
};
use state::{Controller as _, Store};
use workloads::runner::Places;
use workloads::{ImagesHandle, Workloads};

/// The owners of what the test puts into the store.
const CONFIG: &str = "config";
const SERVICES: &str = "services";

/// A file that a client pushes.
struct Pushed(fs::File);

impl PushedBundle for Pushed {
    fn length(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }
    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
        let mut bytes = vec![0; length as usize];
        self.0.read_exact_at(&mut bytes, offset).unwrap();
        Ok(bytes)
    }
}

fn config(image: &str, more: &str) -> MachineConfig {
    let text = format!(
        "apiVersion: bedplate.dev/v1alpha1
kind: MachineConfig
machine:
  role: standalone
  ca:
    cert: \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"
    key: \"-----BEGIN PRIVATE KEY-----\\nMC4C\\n-----END PRIVATE KEY-----\"
{more}
workloads:
  - name: shell
    image: {image}
"
    );
    let mut config = machine_config::parse(&text).unwrap();
    // Shorter than people may ask for.
    config.workloads[0].trial_period = Period::seconds(1);
    config
}

fn running(health: ServiceHealth) -> ServiceStatus {
    ServiceStatus {
        state: ServiceState::Running,
        health,
        wanted: true,
        since_ms: uptime_ms(),
        message: "ended with 1".into(),
        pid: None,
        restarts: 0,
        cgroup: String::new(),
        last_exit: None,
        memory_bytes: None,
        written_bytes: None,
        written_last_hour_bytes: None,
        rights: None,
    }
}

fn places(real: &RealContainerd) -> Places {
    Places {
        socket: real.socket(),
        run: real.folder().join("run"),
        volumes: real.folder().join("volumes"),
        hosts: real.folder().join("hosts"),
        cgroups: "/sys/fs/cgroup".into(),
    }
}

fn status(store: &Store) -> WorkloadStatus {
    store.get("shell").expect("a status")
}

/// Reconciles until the status is as wanted.
async fn until(
    controller: &mut Workloads,
    store: &Store,
    wanted: impl Fn(&WorkloadStatus) -> bool,
) -> WorkloadStatus {
    for _ in 0..600 {
        controller.reconcile(store).await.unwrap();
        if store.get("shell").is_some_and(|status| wanted(&status)) {
            return status(store);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it stays {:?}", store.get::<WorkloadStatus>("shell"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_tried_and_rolled_back() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    for name in ["a.tar", "b.tar"] {
        archive(&image, Path::new(&file(name)));
    }
    let name = |path: &str| format!("file{path}");
    let records = folder.path().join("records.json");
    // As if it had been healthy with this one for a while.
    let good = serde_json::json!({"shell": {"good": name(&file("a.tar"))}});
    fs::write(&records, good.to_string()).unwrap();

    let (store, events) = (Store::new(), Events::default());
    let mut controller = Workloads::new(
        places(&real),
        "/nowhere".into(),
        records.clone(),
        events.clone(),
        Logs::new(),
    );
    let asks = |path: &str| config(&format!("{{file: \"{path}\"}}"), "");
    store.put(CONFIG, NODE, asks(&file("a.tar"))).unwrap();
    controller.reconcile(&store).await.unwrap();
    let none = status(&store).problem.unwrap();
    assert!(none.contains("this system has no containerd"), "{none}");
    store
        .put(SERVICES, SERVICE, running(ServiceHealth::Healthy))
        .unwrap();
    let first = until(&mut controller, &store, |status| status.runs.is_some()).await;
    assert_eq!(first.stage, WorkloadStage::Committed);
    assert_eq!(first.digest, Some(digest(&image.manifest)));
    let spec: ServiceSpec = store.get("workload-shell").unwrap();
    assert!(format!("{spec:?}").contains("workload"), "{spec:?}");

    // One that does not get healthy.
    store
        .put(SERVICES, "workload-shell", running(ServiceHealth::Unhealthy))
        .unwrap();
    store.put(CONFIG, NODE, asks(&file("b.tar"))).unwrap();
    let trial = until(&mut controller, &store, |status| {
        status.stage == WorkloadStage::Trial
    })
    .await;
    assert_eq!(trial.runs, Some(name(&file("b.tar"))));
    let back = until(&mut controller, &store, |status| {
        status.stage == WorkloadStage::RolledBack
    })
    .await;
    assert_eq!(back.runs, Some(name(&file("a.tar"))));
    let problem = back.problem.unwrap();
    assert!(
        problem.contains("was rolled back") && problem.contains("ended with 1"),
        "{problem}"
    );
    // Another process knows it, too.
    let mut again = Workloads::new(places(&real), "/nowhere".into(), records, events, Logs::new());
    again.reconcile(&store).await.unwrap();
    assert_eq!(status(&store).stage, WorkloadStage::RolledBack);
    // What was rejected goes when the config goes back.
    store.put(CONFIG, NODE, asks(&file("a.tar"))).unwrap();
    until(&mut again, &store, |status| {
        status.stage == WorkloadStage::Committed
    })
    .await;
    let left = containerd::Containerd::connect(&real.socket(), WORKLOADS)
        .await
        .unwrap()
        .images()
        .await
        .unwrap();
    let left: Vec<String> = left.into_iter().map(|image| image.name).collect();
    assert_eq!(left, [name(&file("a.tar"))]);

    // A registry that is gone is named, and what runs goes on.
    let gone = config(
        "{reference: \"registry.invalid/a/shell:1\"}",
        "  registries: [{host: registry.invalid, mirrors: [\"http://127.0.0.1:1\"]}]",
    );
    store.put(CONFIG, NODE, gone).unwrap();
    let waits = until(&mut again, &store, |status| {
        let problem = status.problem.as_deref().unwrap_or_default();
        problem.contains("http://127.0.0.1:1")
    })
    .await;
    assert_eq!(waits.stage, WorkloadStage::Fetching);
    assert_eq!(waits.runs, Some(name(&file("a.tar"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_imported_pulled_listed_and_removed() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let store = Store::new();
    let incoming = real.folder().join("incoming");
    let handle = ImagesHandle::new(store.clone(), Events::default(), real.socket(), incoming.clone());
    let file = real.folder().join("shell.tar");
    archive(&image, &file);
    let push = || Box::new(Pushed(fs::File::open(&file).unwrap()));

    let imported = handle.import(push(), None).await.unwrap();
    assert_eq!(imported[0].name, "localhost/shell:1");
    assert_eq!(imported[0].digest, digest(&image.manifest));
    let all = image.layer.len() + image.config.len() + image.manifest.len();
    assert_eq!(imported[0].size_bytes, all as u64);
    handle.import(push(), Some("shell:2".into())).await.unwrap();
    assert_eq!(
        fs::read_dir(&incoming).unwrap().count(),
        0,
        "archives do not stay"
    );

    let mirror = format!(
        "  registries: [{{host: registry.invalid, mirrors: [\"http://127.0.0.1:{}\"]}}]",
        registry(&image, false)
    );
    store
        .put(CONFIG, NODE, config("{reference: \"shell:2\"}", &mirror))
        .unwrap();
    let pull = handle.pull("registry.invalid/a/shell:1").await.unwrap();
    let pulled = pull.done.await.unwrap().unwrap();
    assert_eq!(pulled.digest, digest(&image.manifest));
    let missing = handle.pull("registry.invalid/a/shell:2").await.unwrap();
    let missing = missing.done.await.unwrap().unwrap_err();
    assert!(matches!(missing, BackendError::Unavailable(_)), "{missing}");

    let used = WorkloadStatus {
        service: "workload-shell".into(),
        stage: WorkloadStage::Committed,
        image: "docker.io/library/shell:2".into(),
        runs: None,
        digest: None,
        problem: None,
    };
    store.put("workloads", "shell", used).unwrap();
    let names: Vec<(String, Vec<String>)> = handle
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|image| (image.name, image.used_by))
        .collect();
    let expected = [
        ("docker.io/library/shell:2".to_owned(), vec!["shell".to_owned()]),
        ("localhost/shell:1".to_owned(), vec![]),
        ("registry.invalid/a/shell:1".to_owned(), vec![]),
    ];
    assert_eq!(names, expected);
    let needed = handle.remove("shell:2").await.unwrap_err().to_string();
    assert!(
        needed.starts_with("docker.io/library/shell:2 is needed by shell"),
        "{needed}"
    );
    handle.remove("localhost/shell:1").await.unwrap();
    handle.remove("registry.invalid/a/shell:1").await.unwrap();
    let unknown = handle.remove("localhost/shell:1").await.unwrap_err();
    assert!(matches!(unknown, BackendError::NotFound(_)));
    assert_eq!(handle.list().await.unwrap().len(), 1);

    // A full DATA takes no image, and says so before anything is written.
    let full = RoomStatus {
        free_percent: 1,
        full: true,
    };
    store.put("room", "DATA", full).unwrap();
    let refused = [
        handle.pull("registry.invalid/a/shell:1").await.err().unwrap(),
        handle.import(push(), None).await.unwrap_err(),
    ];
    for error in refused {
        let text = error.to_string();
        assert!(
            text.starts_with("DATA is full (1 % is free), so no image is fetched"),
            "{text}"
        );
    }
}
