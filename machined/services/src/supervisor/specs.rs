//! Services of controllers, beside those of the image.

use service_definition::Service;
use state::Resource;
use state::kinds::ServiceStatus;
use state::kinds::{FileContents, ServiceHealth, ServiceSpec, ServiceState};
use sys::process::Exit;
use tokio::time::Instant;
use tokio::time::sleep;

use super::super::host::HostCall::{Forget, Refresh, Spawn, Terminate};
use super::super::host::RecordingHost;
use super::super::testing::{Bench, CONFIG};
use super::tests::{events, names, runs, service, with_check};
use super::*;

/// A controller that wants services.
const CONTROLLER: &str = "cluster";

impl Bench {
    pub(super) fn want(&self, spec: ServiceSpec) {
        let name = spec.service.name.clone();
        self.node.store.put(CONTROLLER, &name, spec).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        self.node.store.remove::<ServiceSpec>(CONTROLLER, name).unwrap();
    }

    async fn until_forgotten(&self, name: &str) {
        let mut watch = self.node.store.watch(&[ServiceStatus::KIND]);
        while self.status(name).is_some() {
            timeout(Duration::from_secs(600), watch.changed()).await.unwrap();
        }
    }

    fn arguments(&self, name: &str) -> Vec<String> {
        self.host.program(name).unwrap_or_default().arguments
    }
}

fn with_argument(name: &str, argument: &str) -> Service {
    Service::new(name, ["/usr/bin/x", argument])
}

fn behind(mut service: Service, other: &str) -> ServiceSpec {
    service.depends_on = vec![other.into()];
    ServiceSpec::new(service)
}

#[tokio::test(start_paused = true)]
async fn a_spec_is_a_service_like_those_of_the_image() {
    let bench = Bench::start(vec![service("containerd")], Some(CONFIG)).await;
    bench.want(behind(with_check("etcd"), "containerd"));
    let status = bench.until("etcd", runs).await;
    assert_eq!(status.health, ServiceHealth::Healthy);
    assert_eq!(names(&bench.host.calls(), Spawn), ["containerd", "etcd"]);
    bench.node.services.stop("etcd").unwrap();
    bench
        .until("etcd", |status| status.state == ServiceState::Stopped)
        .await;
    bench.node.services.start("etcd").unwrap();
    bench.until("etcd", runs).await;
    bench.configure("{etcd: {enabled: false}}");
    bench.node.services.restart("etcd").unwrap();
    bench
        .until("etcd", |status| status.restarts == 2 && runs(status))
        .await;
    bench.supervisor.stop_all(Duration::from_secs(60)).await;
    let ends = names(&bench.host.calls(), Terminate);
    assert_eq!(ends[ends.len() - 2..], ["etcd", "containerd"]);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_restarts_its_service_and_no_other() {
    let bench = Bench::start(vec![service("containerd")], Some(CONFIG)).await;
    bench.want(ServiceSpec::new(with_argument("etcd", "1")));
    bench.want(behind(service("kube-apiserver"), "etcd"));
    bench.until("kube-apiserver", runs).await;
    bench.want(ServiceSpec::new(with_argument("etcd", "2")));
    bench
        .until("etcd", |status| status.restarts == 1 && runs(status))
        .await;
    assert_eq!(bench.arguments("etcd"), ["2"]);
    assert_eq!(names(&bench.host.calls(), Terminate), ["etcd"]);

    let mut patient = with_argument("etcd", "2");
    patient.stop_seconds = 99;
    bench.want(ServiceSpec::new(patient));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        names(&bench.host.calls(), Terminate),
        ["etcd"],
        "what runs is the same"
    );
}

#[tokio::test(start_paused = true)]
async fn services_that_change_together_end_and_start_in_order() {
    let bench = Bench::start(vec![], Some(CONFIG)).await;
    let want = |argument: &str| {
        bench.want(ServiceSpec::new(with_argument("etcd", argument)));
        bench.want(behind(with_argument("kube-apiserver", argument), "etcd"));
    };
    want("1");
    bench.until("kube-apiserver", runs).await;
    let before = bench.host.calls().len();
    want("2");
    bench
        .until("kube-apiserver", |status| status.restarts == 1 && runs(status))
        .await;
    let expected = [
        Terminate("kube-apiserver".into()),
        Terminate("etcd".into()),
        Spawn("etcd".into()),
        Spawn("kube-apiserver".into()),
    ];
    assert_eq!(bench.host.calls()[before..], expected);
    assert_eq!(bench.arguments("kube-apiserver"), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_is_removed_stops_its_service_after_those_behind_it() {
    let bench = Bench::start(vec![service("containerd")], Some(CONFIG)).await;
    bench.want(ServiceSpec::new(service("etcd")));
    bench.want(behind(service("kube-apiserver"), "etcd"));
    bench.until("kube-apiserver", runs).await;
    bench.remove("etcd");
    bench.until_forgotten("etcd").await;
    let calls = bench.host.calls();
    assert_eq!(names(&calls, Terminate), ["kube-apiserver", "etcd"]);
    assert_eq!(names(&calls, Forget), ["etcd"]);
    let waiting = bench.status("kube-apiserver").unwrap();
    assert_eq!(
        (waiting.state, waiting.message.as_str()),
        (ServiceState::Waiting, "waits for etcd, which is not defined")
    );
    let error = bench.node.services.start("etcd").unwrap_err().to_string();
    assert_eq!(
        error,
        "service \"etcd\" not found; known: containerd, kube-apiserver"
    );

    bench.want(ServiceSpec::new(service("etcd")));
    bench.until("kube-apiserver", runs).await;
    assert_eq!(bench.status("etcd").unwrap().restarts, 0, "it is a new service");
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_comes_back_while_its_service_ends_starts_after_that() {
    let bench = Bench::start(vec![], Some(CONFIG)).await;
    bench.want(ServiceSpec::new(with_argument("etcd", "1")));
    bench.until("etcd", runs).await;
    bench.host.make_stubborn("etcd");
    bench.remove("etcd");
    bench
        .until("etcd", |status| status.state == ServiceState::Stopping)
        .await;
    bench.want(ServiceSpec::new(with_argument("etcd", "2")));
    bench.until("etcd", runs).await;
    assert_eq!(bench.arguments("etcd"), ["2"]);
    assert_eq!(bench.host.doubled(), [""; 0]);
    assert_eq!(names(&bench.host.calls(), Forget), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_spec_is_an_unhealthy_service_that_disturbs_nobody() {
    let bench = Bench::start(vec![service("containerd")], Some(CONFIG)).await;
    bench.want(ServiceSpec::new(service("etcd")));
    bench.until("etcd", runs).await;
    let mut bad = service("kubelet");
    bad.command = vec!["kubelet".into()];
    bench.want(ServiceSpec::new(bad.clone()));
    let refused = bench.until("kubelet", |_| true).await;
    assert_eq!(
        (refused.state, refused.health),
        (ServiceState::Failed, ServiceHealth::Unhealthy)
    );
    assert!(
        refused
            .message
            .starts_with("its spec is not valid: command: \"kubelet\" is not a program"),
        "{}",
        refused.message
    );
    assert!(!refused.is_as_wanted());
    assert_eq!(events(&bench, "its spec is not valid").len(), 1);

    // A change that is not valid leaves what runs.
    bad.name = "etcd".into();
    bench.want(ServiceSpec::new(bad));
    let kept = bench
        .until("etcd", |status| status.health == ServiceHealth::Unhealthy)
        .await;
    assert_eq!(kept.state, ServiceState::Running);
    assert!(
        kept.message.contains("the last valid one stays in effect"),
        "{}",
        kept.message
    );
    assert_eq!(names(&bench.host.calls(), Terminate), [""; 0]);

    bench.want(ServiceSpec::new(service("etcd")));
    bench.until("etcd", ServiceStatus::is_as_wanted).await;
    bench.want(ServiceSpec::new(service("kubelet")));
    bench.until("kubelet", runs).await;
    bench.remove("kubelet");
    bench.until_forgotten("kubelet").await;
}

#[tokio::test(start_paused = true)]
async fn files_that_a_service_reads_again_are_replaced_while_it_runs() {
    let bench = Bench::start(vec![], Some(CONFIG)).await;
    let spec = |certificate: &str, settings: &str| {
        let mut spec = ServiceSpec::new(service("etcd"))
            .with_file("server.crt", certificate)
            .reloading();
        spec = spec.with_file("settings", settings);
        spec
    };
    bench.want(spec("1", "1"));
    let first = bench.until("etcd", runs).await;
    bench.want(spec("2", "1"));
    bench
        .host
        .until(|calls| calls.contains(&Refresh("etcd".into())))
        .await;
    assert_eq!(bench.status("etcd").unwrap().pid, first.pid);
    let contents = |bench: &Bench| -> Vec<String> {
        let files = bench.host.program("etcd").unwrap().files.into_iter();
        files.map(|file| file.contents.expose().to_owned()).collect()
    };
    assert_eq!(contents(&bench), ["2", "1"]);
    bench.want(spec("3", "2"));
    bench
        .until("etcd", |status| status.restarts == 1 && runs(status))
        .await;
    assert_eq!(contents(&bench), ["3", "2"]);
    assert_eq!(names(&bench.host.calls(), Refresh), ["etcd"]);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_after_a_failure_is_tried_at_once() {
    let bench = Bench::start(vec![], Some(CONFIG)).await;
    bench.want(ServiceSpec::new(with_argument("etcd", "--wrong")));
    bench.until("etcd", runs).await;
    for _ in 0..5 {
        bench.host.end("etcd", Exit::Code(2));
        bench
            .until("etcd", |status| status.state == ServiceState::Failed)
            .await;
        if bench.status("etcd").unwrap().restarts < 4 {
            bench.until("etcd", runs).await;
        }
    }
    let before = Instant::now();
    bench.want(ServiceSpec::new(with_argument("etcd", "--right")));
    bench.until("etcd", runs).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(bench.arguments("etcd"), ["--right"]);
}

#[tokio::test(start_paused = true)]
async fn secrets_of_a_spec_are_in_its_files_and_nowhere_else() {
    let bench = Bench::start(vec![], Some(CONFIG)).await;
    let secret = machine_config::Secret::new("s3cret-text");
    bench.want(ServiceSpec::new(service("etcd")).with_secret("key", secret));
    bench.until("etcd", runs).await;
    let files = bench.host.program("etcd").unwrap().files;
    assert!(matches!(&files[0].contents, FileContents::Secret(secret) if secret.expose() == "s3cret-text"));
    let store = &bench.node.store;
    for kind in store.kinds() {
        for entry in store.list_dyn(&kind) {
            let shown = entry.value.to_string();
            assert!(!shown.contains("s3cret-text"), "{kind}: {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_director_takes_over_and_ends_what_was_removed_meanwhile() {
    let Bench {
        node,
        host,
        supervisor,
    } = Bench::start(vec![service("containerd")], Some(CONFIG)).await;
    let store = node.store.clone();
    let want = |name: &str, argument: &str| {
        let spec = ServiceSpec::new(with_argument(name, argument));
        store.put(CONTROLLER, name, spec).unwrap();
    };
    want("etcd", "1");
    want("kubelet", "1");
    let all_run = |host: &RecordingHost, arguments: [Option<&str>; 2]| {
        let found = ["etcd", "kubelet"].map(|name| host.program(name).map(|program| program.arguments));
        found == arguments.map(|argument| argument.map(|argument| vec![argument.to_owned()]))
    };
    host.until(|_| all_run(&host, [Some("1"), Some("1")])).await;

    // As when it panics: all tasks are gone, all processes are there.
    let Supervisor {
        shared,
        closing,
        _task,
    } = supervisor;
    drop(_task);
    tokio::task::yield_now().await;
    store.remove::<ServiceSpec>(CONTROLLER, "etcd").unwrap();
    want("kubelet", "2");
    let director = Director::new(shared, node.services.clone(), node.logs.clone(), closing);
    let _director = AbortOnDropHandle::new(tokio::spawn(director.run()));
    sleep(Duration::from_secs(10)).await;
    assert!(all_run(&host, [None, Some("2")]), "{:?}", host.calls());
    assert_eq!(host.running("containerd"), 1);
    assert_eq!(host.doubled(), [""; 0]);
    assert_eq!(store.get::<ServiceStatus>("etcd"), None);
}
