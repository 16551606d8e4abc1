//! Services as real processes of this machine. Their cgroups are the kernel's where a test may use those.

use std::time::Instant;

use service_definition::{Definitions, FolderToMake, Service, check};
use sys::process::Exit;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::cgroup::tests::kernel_cgroups;
use crate::cgroup::{CgroupCall, RecordingCgroups};

struct Bench {
    root: TempDir,
    host: LinuxHost,
    logs: Logs,
    reaper: JoinHandle<io::Result<()>>,
}

impl Bench {
    fn new(cgroups: Arc<dyn Cgroups>) -> Self {
        let (children, logs) = (Children::new(), Logs::new());
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        Bench {
            host: LinuxHost::new(children.clone(), cgroups, logs.clone()).below(root.path()),
            root,
            logs,
            reaper: tokio::spawn(children.reap_forever()),
        }
    }

    async fn says(&self, name: &str, lines: usize) -> Vec<String> {
        let mut reader = self.logs.ring(name).reader(None);
        let mut found = Vec::new();
        while found.len() < lines {
            let line = timeout(Duration::from_secs(20), reader.next())
                .await
                .expect("a line in time");
            found.push(line.item.text);
        }
        found
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

fn one(service: Service) -> (Definitions, String) {
    let name = service.name.clone();
    (check(vec![service]).unwrap(), name)
}

async fn exit(process: Process) -> Exit {
    timeout(Duration::from_secs(20), process.exit)
        .await
        .expect("an end in time")
        .unwrap()
}

/// Reads a field of `/proc/PID/status`.
fn field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[tokio::test]
async fn a_service_gets_its_environment_folders_and_log_and_nothing_else() {
    let cgroups = Arc::new(RecordingCgroups::default());
    let bench = Bench::new(cgroups.clone());
    let root = TempDir::new().unwrap();
    let folder = root.path().join("deep/run");
    let mut service = Service::new("env", ["/usr/bin/env"]);
    service.environment = [("GREETING".to_owned(), "hello world".to_owned())].into();
    service.directories = vec![FolderToMake {
        path: folder.display().to_string(),
        mode: "0710".into(),
    }];
    let (all, name) = one(service);
    let definition = all.get(&name).unwrap();
    let process = bench.host.spawn(definition, &[]).await.unwrap();
    assert_eq!(exit(process).await, Exit::Code(0));
    assert_eq!(bench.says("env", 1).await, ["GREETING=hello world"]);
    assert_eq!(
        fs::metadata(&folder).unwrap().permissions().mode() & 0o7777,
        0o710
    );
    assert_eq!(
        cgroups.calls(),
        [CgroupCall::Prepare("env".into(), definition.resources)]
    );
}

#[tokio::test]
async fn both_outputs_of_all_starts_are_one_log() {
    let bench = Bench::new(Arc::new(RecordingCgroups::default()));
    let (all, name) = one(Service::new("cat", ["/bin/cat", "/no/such/file"]));
    for _ in 0..2 {
        let process = bench.host.spawn(all.get(&name).unwrap(), &[]).await.unwrap();
        assert_eq!(exit(process).await, Exit::Code(1));
    }
    for line in bench.says("cat", 2).await {
        assert!(line.contains("/no/such/file"), "{line}");
    }
}

#[tokio::test]
async fn a_service_ends_when_asked_and_when_killed() {
    let bench = Bench::new(Arc::new(RecordingCgroups::default()));
    let (all, name) = one(Service::new("sleep", ["/bin/sleep", "1000"]));
    let definition = all.get(&name).unwrap();
    let process = bench.host.spawn(definition, &[]).await.unwrap();
    bench.host.terminate(process.pid).unwrap();
    assert_eq!(exit(process).await, Exit::Signal(15));
    let process = bench.host.spawn(definition, &[]).await.unwrap();
    bench.host.kill(definition, process.pid).unwrap();
    assert_eq!(exit(process).await, Exit::Signal(9));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let bench = Bench::new(Arc::new(RecordingCgroups::default()));
    let (all, name) = one(Service::new("none", ["/no/such/program"]));
    let error = bench.host.spawn(all.get(&name).unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/such/program");
    assert_eq!(
        bench
            .host
            .check(all.get(&name).unwrap(), &Check::Exec(vec!["/bin/true".into()]))
            .await,
        Ok(())
    );
}

#[tokio::test]
async fn user_and_oom_score_are_set() {
    if field(std::process::id(), "Uid").split_whitespace().next() != Some("0") {
        eprintln!("not root here: not tried");
        return;
    }
    let bench = Bench::new(Arc::new(RecordingCgroups::default()));
    let mut service = Service::new("sleep", ["/bin/sleep", "1000"]);
    service.user = Some(User {
        name: "x".into(),
        id: 432,
    });
    service.oom_score_adj = 321;
    let (all, name) = one(service);
    let definition = all.get(&name).unwrap();
    let process = bench.host.spawn(definition, &[]).await.unwrap();
    for own in ["Uid", "Gid"] {
        assert_eq!(field(process.pid, own), "432\t432\t432\t432");
    }
    assert_eq!(field(process.pid, "Groups"), "");
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", process.pid)).unwrap();
    assert_eq!(score.trim(), "321");
    let users = fs::read_to_string(bench.root.path().join("etc/passwd")).unwrap();
    assert_eq!(users, "x:x:432:432:x:/:/nonexistent\n");
    bench.host.kill(definition, process.pid).unwrap();
    exit(process).await;
}

#[tokio::test]
async fn a_service_and_its_check_have_the_rights_that_it_names() {
    if field(std::process::id(), "Uid").split_whitespace().next() != Some("0") {
        eprintln!("not root here: not tried");
        return;
    }
    let bench = Bench::new(Arc::new(RecordingCgroups::default()));
    let folder = TempDir::new().unwrap();
    let written = folder.path().join("written").display().to_string();
    let mut least = Service::new("least", ["/bin/sleep", "1000"]);
    least.read_only_paths = vec![folder.path().display().to_string()];
    let mut some = Service::new("some", ["/bin/sleep", "1000"]);
    some.capabilities = vec!["NET_ADMIN".into(), "CHOWN".into()];
    some.no_new_privileges = false;
    let all = check(vec![least, some]).unwrap();
    for (name, capabilities, no_new_privileges, writes) in [
        ("least", vec![], true, false),
        (
            "some",
            vec!["CHOWN".to_owned(), "NET_ADMIN".to_owned()],
            false,
            true,
        ),
    ] {
        let definition = all.get(name).unwrap();
        let process = bench.host.spawn(definition, &[]).await.unwrap();
        let expected = Rights {
            user: 0,
            capabilities,
            no_new_privileges,
        };
        assert_eq!(bench.host.rights(process.pid), Some(expected));
        let touch = Check::Exec(vec!["/usr/bin/touch".into(), written.clone()]);
        let checked = bench.host.check(definition, &touch).await;
        assert_eq!(checked.is_ok(), writes, "{name}: {checked:?}");
        bench.host.kill(definition, process.pid).unwrap();
        exit(process).await;
    }
}

#[tokio::test]
async fn what_is_left_behind_goes_or_stays_as_the_kill_mode_says() {
    for (kill_mode, killed) in [(KillMode::Cgroup, true), (KillMode::Process, false)] {
        let cgroups = Arc::new(RecordingCgroups::default());
        let bench = Bench::new(cgroups.clone());
        let mut service = Service::new("a", ["/bin/true"]);
        service.kill_mode = kill_mode;
        let (all, name) = one(service);
        let definition = all.get(&name).unwrap();
        bench.host.sweep(definition).await.unwrap();
        assert_eq!(cgroups.calls(), [], "an empty cgroup is left alone");
        cgroups.populate("a");
        bench.host.sweep(definition).await.unwrap();
        assert_eq!(
            cgroups.calls().contains(&CgroupCall::Kill("a".into())),
            killed,
            "{kill_mode:?}"
        );
    }
}

/// A program that starts another one and leaves it: `setsid --fork`.
const LEAVES_ONE: &[&str] = &["/usr/bin/setsid", "--fork", "/bin/sleep", "1000"];

#[tokio::test]
async fn no_grandchild_outlives_a_service_in_the_kernels_cgroups() {
    let Some(cgroups) = kernel_cgroups("sweep").filter(|_| Path::new(LEAVES_ONE[0]).exists()) else {
        return;
    };
    let cgroups = Arc::new(cgroups);
    let bench = Bench::new(cgroups.clone());
    let mut kept = Service::new("kept", LEAVES_ONE.iter().copied());
    kept.kill_mode = KillMode::Process;
    let all = check(vec![Service::new("swept", LEAVES_ONE.iter().copied()), kept]).unwrap();
    for (name, survives) in [("swept", false), ("kept", true)] {
        let definition = all.get(name).unwrap();
        let process = bench.host.spawn(definition, &[]).await.unwrap();
        assert_eq!(exit(process).await, Exit::Code(0));
        assert!(cgroups.is_populated(name), "it left a process");
        let before = Instant::now();
        bench.host.sweep(definition).await.unwrap();
        assert!(before.elapsed() < GONE);
        assert_eq!(cgroups.is_populated(name), survives);
        cgroups.kill(name).unwrap();
    }
    while cgroups.is_populated("kept") {
        tokio::time::sleep(LOOK).await;
    }
}
