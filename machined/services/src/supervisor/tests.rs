//! Services that run together, on a host that plays their processes, in a time that does not pass by itself.

use service_definition::{HealthCheck, Service};
use state::kinds::ServiceStatus;
use state::kinds::{ServiceHealth, ServiceState};
use sys::process::Exit;
use tokio::time::Instant;
use tokio::time::sleep;

use super::super::host::HostCall::{Forget, Kill, Refresh, Spawn, Terminate};
use super::super::testing::{Bench, CONFIG};
use super::*;
use crate::host::HostCall;

pub(super) fn service(name: &str) -> Service {
    Service::new(name, ["/usr/bin/x"])
}

/// `kubelet` depends on `containerd`; `app` comes after `kubelet`.
fn three() -> Vec<Service> {
    let mut kubelet = service("kubelet");
    kubelet.depends_on = vec!["containerd".into()];
    let mut app = service("app");
    app.after = vec!["kubelet".into()];
    vec![app, kubelet, service("containerd")]
}

pub(super) fn with_check(name: &str) -> Service {
    let mut service = service(name);
    service.health = Some(HealthCheck {
        socket: Some("/a.sock".into()),
        every_seconds: 10,
        timeout_seconds: 5,
        failures: 3,
        ..HealthCheck::default()
    });
    service
}

pub(super) fn runs(status: &ServiceStatus) -> bool {
    status.state == ServiceState::Running
}

pub(super) fn names(calls: &[HostCall], kind: fn(String) -> HostCall) -> Vec<String> {
    let name = |call: &HostCall| match call {
        Spawn(name) | Terminate(name) | Kill(name) | Refresh(name) | Forget(name) => name.clone(),
    };
    calls
        .iter()
        .filter(|call| **call == kind(name(call)))
        .map(name)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn services_start_and_end_in_order() {
    let bench = Bench::start(three(), Some(CONFIG)).await;
    bench.until("app", runs).await;
    assert_eq!(
        names(&bench.host.calls(), Spawn),
        ["containerd", "kubelet", "app"]
    );
    assert_eq!(bench.supervisor.stop_all(Duration::from_secs(60)).await, [""; 0]);
    assert_eq!(
        names(&bench.host.calls(), Terminate),
        ["app", "kubelet", "containerd"]
    );
    for name in ["app", "kubelet", "containerd"] {
        assert_eq!(bench.host.running(name), 0);
        assert_eq!(bench.status(name).unwrap().state, ServiceState::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_writes_is_told() {
    let bench = Bench::start(three(), Some(CONFIG)).await;
    let told = bench.until("app", |status| status.written_bytes.is_some()).await;
    assert_eq!(
        (told.written_bytes, told.written_last_hour_bytes),
        (Some(9 << 20), Some(9 << 20))
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_machine_config_nothing_runs_unless_somebody_asks() {
    let bench = Bench::start(vec![service("a")], None).await;
    bench
        .until("a", |status| status.state == ServiceState::Stopped)
        .await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.host.calls(), []);
    bench.node.services.start("a").unwrap();
    bench.until("a", runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_config_switches_services_while_they_run() {
    let mut off = service("b");
    off.enabled = false;
    let bench = Bench::start(vec![service("a"), off], Some(CONFIG)).await;
    bench.until("a", runs).await;
    bench.configure("{a: {enabled: false}, b: {enabled: true}}");
    bench
        .until("a", |status| status.state == ServiceState::Stopped)
        .await;
    bench.until("b", runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_config_that_names_a_service_the_node_lacks_is_reported_once() {
    let bench = Bench::start(vec![service("a")], Some("{etcd: {enabled: true}}")).await;
    bench.until("a", runs).await;
    assert_eq!(events(&bench, "etcd"), [""; 0], "a controller may add it yet");
    sleep(Duration::from_secs(100)).await;
    bench.node.services.stop("a").unwrap();
    bench
        .until("a", |status| status.state == ServiceState::Stopped)
        .await;
    let text = "machine.services: this node has no service \"etcd\"; known: a";
    assert_eq!(events(&bench, "etcd"), [text]);
}

/// Returns the events that mention a text.
pub(super) fn events(bench: &Bench, text: &str) -> Vec<String> {
    let mut events = bench.node.events.follow(None);
    std::iter::from_fn(|| events.try_next())
        .map(|read| read.item.message)
        .filter(|message| message.contains(text))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_followed_by_a_start_after_a_pause() {
    let bench = Bench::start(vec![service("a")], Some(CONFIG)).await;
    bench.until("a", runs).await;
    bench.host.end("a", Exit::Code(2));
    let failed = bench
        .until("a", |status| status.state == ServiceState::Failed)
        .await;
    let sentence = "ended: exit code 2; failures in a row: 1, pause before the next start: 1s";
    assert_eq!(failed.message, sentence);
    assert_eq!(
        (failed.last_exit.as_deref(), failed.pid),
        (Some("exit code 2"), None)
    );
    let before = Instant::now();
    let again = bench.until("a", runs).await;
    assert_eq!(before.elapsed().as_secs(), 1);
    assert_eq!((again.restarts, bench.host.running("a")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_comes_later_is_found() {
    let bench = Bench::start(vec![service("a")], None).await;
    bench.host.set_missing("a", true);
    bench.configure(CONFIG);
    let failed = bench
        .until("a", |status| status.state == ServiceState::Failed)
        .await;
    let reason = "cannot be started: cannot start /usr/bin/x: entity not found";
    assert!(failed.message.starts_with(reason), "{}", failed.message);
    bench.host.set_missing("a", false);
    bench.until("a", runs).await;
}

#[tokio::test(start_paused = true)]
async fn those_behind_wait_until_a_service_is_healthy() {
    let mut second = service("second");
    second.depends_on = vec!["first".into()];
    let bench = Bench::start(vec![second, with_check("first")], None).await;
    bench.host.set_health("first", Err("not yet"));
    bench.configure(CONFIG);
    bench
        .until("first", |status| status.state == ServiceState::Starting)
        .await;
    let waiting = bench
        .until("second", |status| status.state == ServiceState::Waiting)
        .await;
    assert_eq!(waiting.message, "waits for first");
    let before = bench.host.checks();
    sleep(Duration::from_secs(2)).await;
    assert!(
        bench.host.checks() >= before + 7,
        "what has never been healthy is checked often: the boot waits"
    );
    bench.host.set_health("first", Ok(()));
    bench.until("second", runs).await;
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_service_is_reported_and_left_alone() {
    let bench = Bench::start(vec![with_check("a")], Some(CONFIG)).await;
    bench.until("a", runs).await;
    bench.host.set_health("a", Err("deaf"));
    let before = Instant::now();
    let unhealthy = bench
        .until("a", |status| status.health == ServiceHealth::Unhealthy)
        .await;
    assert_eq!(
        (unhealthy.state, unhealthy.message.as_str()),
        (ServiceState::Running, "deaf")
    );
    assert_eq!(
        before.elapsed().as_secs().div_ceil(10),
        3,
        "three checks, ten seconds apart"
    );
    assert!(!unhealthy.is_as_wanted());
    bench.host.set_health("a", Ok(()));
    bench.until("a", ServiceStatus::is_as_wanted).await;
    assert_eq!(names(&bench.host.calls(), Spawn), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_a_service_stops_those_that_depend_on_it_and_starting_brings_them_back() {
    let bench = Bench::start(three(), Some(CONFIG)).await;
    bench.until("app", runs).await;
    bench.node.services.stop("containerd").unwrap();
    bench
        .until("containerd", |status| status.state == ServiceState::Stopped)
        .await;
    assert_eq!(names(&bench.host.calls(), Terminate), ["kubelet", "containerd"]);
    let kubelet = bench
        .until("kubelet", |status| status.state == ServiceState::Waiting)
        .await;
    assert_eq!(kubelet.message, "waits for containerd");
    assert!(
        runs(&bench.status("app").unwrap()),
        "only comes after kubelet, and does not need it"
    );
    bench.node.services.start("containerd").unwrap();
    bench.until("kubelet", runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_leaves_those_that_depend_on_a_service_alone() {
    let bench = Bench::start(three(), Some(CONFIG)).await;
    bench.until("app", runs).await;
    bench.node.services.restart("containerd").unwrap();
    let again = bench
        .until("containerd", |status| runs(status) && status.restarts == 1)
        .await;
    assert_eq!(again.last_exit.as_deref(), Some("SIGTERM"));
    assert_eq!(names(&bench.host.calls(), Terminate), ["containerd"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_killed_in_its_time_and_named_when_that_is_too_long() {
    let mut quick = service("quick");
    quick.stop_seconds = 2;
    let mut slow = service("slow");
    slow.stop_seconds = 3000;
    let bench = Bench::start(vec![quick, slow], Some(CONFIG)).await;
    bench.host.make_stubborn("quick");
    bench.host.make_stubborn("slow");
    bench.until("quick", runs).await;
    bench.until("slow", runs).await;
    assert_eq!(bench.supervisor.stop_all(Duration::from_secs(30)).await, ["slow"]);
    assert_eq!(names(&bench.host.calls(), Kill), ["quick", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn requests_made_while_stopping_everything_start_nothing() {
    let bench = Bench::start(vec![service("a")], Some(CONFIG)).await;
    bench.until("a", runs).await;
    bench.supervisor.stop_all(Duration::from_secs(30)).await;
    bench.node.services.restart("a").unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(names(&bench.host.calls(), Spawn), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_image_with_invalid_services_runs_none_and_says_so() {
    let bench = Bench::start(vec![service("A")], Some(CONFIG)).await;
    sleep(Duration::from_secs(1)).await;
    let event = bench.node.events.follow(None).try_next().unwrap().item;
    assert!(
        event.message.contains("service \"A\": name: must be"),
        "{}",
        event.message
    );
    assert_eq!(bench.host.calls(), []);
    assert_eq!(bench.supervisor.stop_all(Duration::from_secs(1)).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_supervision_of_one_leaves_no_process_and_starts_again() {
    let bench = Bench::start(vec![with_check("a"), service("b")], Some(CONFIG)).await;
    let first = bench.until("a", runs).await;
    bench.host.set_health("a", Err("PANIC"));
    bench.host.until(|calls| calls.contains(&Kill("a".into()))).await;
    bench.host.set_health("a", Ok(()));
    bench
        .until("a", |status| runs(status) && status.pid != first.pid)
        .await;
    assert_eq!(bench.host.running("a"), 1);
    assert_eq!(
        names(&bench.host.calls(), Spawn)
            .iter()
            .filter(|name| *name == "b")
            .count(),
        1
    );
}
