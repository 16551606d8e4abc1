//! The service with a real API server, asked by stock resolvers; see `control-plane-testkit` for what it needs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster_zone::proto::rr::RecordType;
use control_plane_testkit::{Programs, RunningPlane, run};
use dns::Settings;
use kubernetes::{Release, kubeconfig};
use support::{DNS, Service, ask, ip, settings, shown, until};

/// What the agents of workers may do, as control planes apply it.
const RIGHTS: &str = include_str!("../../manifests/src/own.yaml");

/// Objects of every sort. `SLICES` stands for the version of slices.
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: web}
spec:
  clusterIP: 10.96.0.77
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: pets, namespace: web}
spec:
  clusterIP: None
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: web}
spec: {type: ExternalName, externalName: shop.web.svc.cluster.local}
---
apiVersion: SLICES
kind: EndpointSlice
metadata: {name: pets-1, namespace: web, labels: {kubernetes.io/service-name: pets}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
  - {addresses: [10.244.1.2], hostname: rex, conditions: {ready: true}}
  - {addresses: [10.244.1.3], conditions: {ready: true}}
  - {addresses: [10.244.1.4], hostname: sick, conditions: {ready: false}}
";

/// What is asked by `dig`, and what it prints, sorted.
const CASES: &[(&str, &[&str])] = &[
    ("kubernetes.default.svc.cluster.local A", &["10.96.0.1"]),
    ("shop.web.svc.cluster.local A", &["10.96.0.77"]),
    (
        "_http._tcp.shop.web.svc.cluster.local SRV",
        &["0 100 80 shop.web.svc.cluster.local."],
    ),
    ("pets.web.svc.cluster.local A", &["10.244.1.2", "10.244.1.3"]),
    ("rex.pets.web.svc.cluster.local A", &["10.244.1.2"]),
    ("sick.pets.web.svc.cluster.local A", &[]),
    (
        "_http._tcp.pets.web.svc.cluster.local SRV",
        &[
            "0 100 8080 10-244-1-3.pets.web.svc.cluster.local.",
            "0 100 8080 rex.pets.web.svc.cluster.local.",
        ],
    ),
    (
        "2.1.244.10.in-addr.arpa PTR",
        &["rex.pets.web.svc.cluster.local."],
    ),
    ("77.0.96.10.in-addr.arpa PTR", &["shop.web.svc.cluster.local."]),
    (
        "outside.web.svc.cluster.local A",
        &["10.96.0.77", "shop.web.svc.cluster.local."],
    ),
    ("10-244-9-9.web.pod.cluster.local A", &["10.244.9.9"]),
    ("dns-version.cluster.local TXT", &["\"1.1.0\""]),
    ("absent.web.svc.cluster.local A", &[]),
];

/// What is needed to talk to the API as its administrator.
struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    fn of(plane: &RunningPlane<'_>) -> Option<Self> {
        let Some(program) = plane.programs.kubectl() else {
            eprintln!("skipped: there is no kubectl");
            return None;
        };
        let (certificate, key) = plane.client(&kubernetes::identity::administrator("ann"));
        let text = kubeconfig::of_person(&plane.cluster, "ann", plane.authority(), &certificate, &key);
        let config = plane.folder().join("admin.kubeconfig");
        std::fs::write(&config, text.as_bytes()).unwrap();
        Some(Kubectl { program, config })
    }

    fn run(&self, arguments: &[&str]) {
        let run = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.config)
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "kubectl {arguments:?}: {error}");
    }

    fn apply(&self, text: &str) {
        let file = self.config.with_extension("yaml");
        std::fs::write(&file, text).unwrap();
        self.run(&["apply", "--filename", file.to_str().unwrap()]);
    }
}

/// Makes what a worker's agent is given.
fn given(plane: &RunningPlane<'_>) -> Settings {
    let folder = plane.folder().join("dns");
    std::fs::create_dir_all(&folder).unwrap();
    let mut settings = settings(&folder);
    let release = Release::of(plane.programs.kubernetes).unwrap();
    settings.endpoint_slices = release.endpoint_slices().to_owned();
    settings.api = plane.api();
    std::fs::write(&settings.authority, plane.authority()).unwrap();
    std::fs::write(&settings.resolv_conf, "").unwrap();
    certify(plane, &settings);
    ip(&["address", "add", &format!("{DNS}/32"), "dev", "lo"]);
    settings
}

/// Gives it a fresh certificate.
fn certify(plane: &RunningPlane<'_>, settings: &Settings) {
    let (certificate, key) = plane.client(&kubernetes::identity::agent(&plane.node));
    std::fs::write(&settings.certificate, certificate).unwrap();
    std::fs::write(&settings.key, key).unwrap();
}

fn dig(question: &str) -> Vec<String> {
    let mut command = Command::new("dig");
    command.args([&format!("@{DNS}"), "+short", "+tries=1", "+time=10"]);
    let run = command.args(question.split(' ')).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn all_cases_hold(when: &str) {
    for (question, expected) in CASES {
        assert_eq!(dig(question), *expected, "{question} {when}");
    }
}

/// Asks by the C library, as most programs do: with a `resolv.conf` as kubelet gives it to pods.
fn getent_finds(folder: &Path) {
    let file = folder.join("pod-resolv.conf");
    let text = format!(
        "nameserver {DNS}\nsearch web.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    );
    std::fs::write(&file, text).unwrap();
    let getent = |arguments: &[&str]| {
        let run = Command::new("unshare")
            .args([
                "--mount",
                "--",
                "sh",
                "-c",
                "mount --bind \"$0\" /etc/resolv.conf && exec getent \"$@\"",
            ])
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(run.stdout).unwrap()
    };
    for (database, name, expected) in [
        ("ahostsv4", "shop", "10.96.0.77"),
        ("ahostsv4", "kubernetes.default", "10.96.0.1"),
        ("ahostsv4", "rex.pets", "10.244.1.2"),
        ("hosts", "10.244.1.2", "rex.pets.web.svc.cluster.local"),
    ] {
        let found = getent(&[database, name]);
        assert!(found.contains(expected), "{name}: {found:?}");
    }
    assert_eq!(getent(&["hosts", "absent"]), "");
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn stock_resolvers_find_what_the_api_has_with_the_api_and_without() {
    let Some(programs) = Programs::find() else { return };
    if !["dig", "getent", "unshare"].into_iter().all(found) {
        return;
    }
    run(&programs, &[], |plane| {
        let Some(kubectl) = Kubectl::of(plane) else { return };
        let settings = given(plane);
        let service = Service::start(&settings);
        until("it serves", || {
            std::net::TcpStream::connect(settings.check).is_ok()
        });
        // The rights come later than the service: nothing is missing before that.
        assert_eq!(
            shown(&ask("absent.web.svc.cluster.local.", RecordType::A)),
            "failed"
        );
        until("there is kube-system", || plane_has_system(&kubectl));
        kubectl.apply(RIGHTS);
        kubectl.apply(&OBJECTS.replace("SLICES", &settings.endpoint_slices));
        until("the cluster is known", || {
            shown(&ask("absent.web.svc.cluster.local.", RecordType::A)) == "missing"
        });
        until("the slice is known", || {
            dig("rex.pets.web.svc.cluster.local A") == ["10.244.1.2"]
        });
        all_cases_hold("with the API");
        getent_finds(plane.folder());

        // Changes are followed.
        kubectl.run(&["--namespace", "web", "delete", "service", "shop"]);
        until("what is deleted is gone", || {
            dig("shop.web.svc.cluster.local A").is_empty()
        });
        kubectl.apply(&OBJECTS.replace("SLICES", &settings.endpoint_slices));
        until("it is back", || {
            dig("shop.web.svc.cluster.local A") == ["10.96.0.77"]
        });
        // With another certificate, too.
        certify(plane, &settings);
        std::thread::sleep(std::time::Duration::from_secs(11));
        kubectl.apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: late, namespace: web}\nspec: {clusterIP: 10.96.0.88, ports: [{port: 1}]}\n",
        );
        until("the late one is known", || {
            dig("late.web.svc.cluster.local A") == ["10.96.0.88"]
        });
        drop(service);

        // Cut off like this, what was saved when the cluster was first known is what is left; a start with the API saves again.
        let service = Service::start(&settings);
        until("what is known is saved", || {
            std::fs::read_to_string(&settings.saved).is_ok_and(|text| text.contains("10.96.0.88"))
        });
        plane.stop();
        all_cases_hold("while the API is away");
        drop(service);
        let _service = Service::start(&settings);
        until("it serves", || {
            std::net::TcpStream::connect(settings.check).is_ok()
        });
        all_cases_hold("after a restart without the API");
    });
}

fn plane_has_system(kubectl: &Kubectl) -> bool {
    let run = Command::new(&kubectl.program)
        .arg("--kubeconfig")
        .arg(&kubectl.config)
        .args(["get", "namespace", "kube-system"])
        .output();
    run.unwrap().status.success()
}

/// Returns the memory of this process in MiB.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024
}

#[test]
fn a_large_cluster_takes_little_memory() {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[], |plane| {
        let Some(kubectl) = Kubectl::of(plane) else { return };
        let settings = given(plane);
        until("there is kube-system", || plane_has_system(&kubectl));
        kubectl.apply(RIGHTS);
        let objects: Vec<String> = (0..1000)
            .map(|number| large(number, &settings.endpoint_slices))
            .collect();
        for part in objects.chunks(200) {
            kubectl.apply(&part.join("---\n"));
        }
        drop(objects);
        let before = memory();
        let _service = Service::start(&settings);
        until("it serves", || {
            std::net::TcpStream::connect(settings.check).is_ok()
        });
        until("the last one is known", || {
            settings.saved.exists()
                && ask("s999.default.svc.cluster.local.", RecordType::A)
                    .answers
                    .len()
                    == 10
        });
        let after = memory();
        let saved = std::fs::metadata(&settings.saved).unwrap().len() / 1024;
        eprintln!(
            "1000 services, 10000 endpoints: {before} MiB before, {after} MiB after; {saved} KiB saved"
        );
        assert!(after < before + 64, "{before} MiB, then {after} MiB");
    });
}

/// A headless service with ten endpoints.
fn large(number: usize, slices: &str) -> String {
    let address = |last: usize| {
        let all = number * 10 + last;
        format!(
            "{{addresses: [10.244.{}.{}], hostname: p{last}}}",
            all / 250,
            all % 250 + 1
        )
    };
    let endpoints: Vec<String> = (0..10).map(address).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: default}}\nspec: {{clusterIP: None, ports: [{{name: http, port: 80}}]}}\n\
        ---\napiVersion: {slices}\nkind: EndpointSlice\nmetadata: {{name: s{number}-1, namespace: default, labels: {{kubernetes.io/service-name: s{number}}}}}\n\
        addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}
