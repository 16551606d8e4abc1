//! A control plane of real programs, started with exactly what this crate says; see `control-plane-testkit` for what it needs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::process::Command;

use control_plane_testkit::{
    ADDRESS, Answer, Certificates, Programs, Running, RunningPlane, get, run, run_changed,
};
use kubernetes::{Component, Kind, Signer, kubeconfig};
use machine_config::v1alpha1::AdmissionPlugin;
use machine_config::value::Document;

#[test]
fn a_control_plane_comes_up_with_what_we_say() {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[Kind::ControllerManager, Kind::Scheduler], |plane| {
        check(plane, &programs);
    });
}

fn check(plane: &RunningPlane<'_>, programs: &Programs) {
    let certificates = plane.certificates();
    only_tls_is_open_to_others(&plane.node);
    strangers_are_refused(&certificates);
    let admin = kubernetes::identity::administrator("ann");
    let issued = certificates.issue(&admin);
    let file = plane.folder().join("admin.kubeconfig");
    let person = kubeconfig::of_person(
        &plane.cluster,
        "ann",
        plane.authority(),
        &issued.pem,
        &issued.key.to_pem(),
    );
    std::fs::write(&file, person.as_bytes()).unwrap();
    an_administrator_may_do_everything(&certificates, &issued, programs, &file);
    secrets_are_encrypted(programs, plane.folder());
    kubelet_takes_its_config(
        plane.component(Kind::Kubelet),
        &certificates,
        programs,
        plane.folder(),
    );
}

/// An admission plugin that is limited to nothing lets no event in; the audit policy that people give is the one that counts.
#[test]
fn the_api_server_takes_what_people_change() {
    let Some(programs) = Programs::find() else { return };
    let change = |node: &mut kubernetes::Node| {
        let document = |text| Document(serde_json::from_str(text).unwrap());
        node.admission = vec![AdmissionPlugin {
            name: "EventRateLimit".parse().unwrap(),
            configuration: Some(document(
                r#"{"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration",
                    "limits": [{"type": "Server", "qps": 1, "burst": 1}]}"#,
            )),
        }];
        node.audit_policy = Some(document(r#"{"rules": [{"level": "Request"}]}"#));
    };
    run_changed(&programs, &[], change, |plane| {
        let admin = plane.client(&kubernetes::identity::administrator("ann"));
        let answer = plane.get("/api/v1/namespaces", Some(&admin));
        assert!(matches!(answer, Answer::Status(200, _)), "{answer:?}");
        // Our own policy records nothing of what is only read.
        let log = std::fs::read_to_string(plane.folder().join("kube-apiserver.log")).unwrap();
        assert!(
            log.contains(r#""level":"Request""#) && log.contains(r#""username":"ann""#),
            "{log}"
        );
        assert!(log.contains("EventRateLimit"), "{log}");
    });
}

/// Kubelet reads its flags, its config and its certificates, and ends only as there is no container runtime: what it would do
/// with one changes the kernel's parameters for the whole machine.
fn kubelet_takes_its_config(
    component: &Component,
    certificates: &Certificates,
    programs: &Programs,
    folder: &std::path::Path,
) {
    if !component.program.is_file() {
        eprintln!("without kubelet: its part of the test is left out");
        return;
    }
    certificates.write_for(component);
    let log = Running::start(component, programs, folder).until_it_ends();
    for complaint in [
        "unknown flag",
        "unknown field",
        "unknown shorthand",
        "strict decod",
        "deprecated",
    ] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(complaint)).collect();
        // 1.20 has no field for what these say.
        let known = |line: &&str| {
            ["container-runtime-endpoint", "register-with-taints", "pod-infra"]
                .iter()
                .any(|flag| line.contains(flag))
        };
        let wrong: Vec<&&str> = lines.iter().filter(|line| !known(line)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    assert!(log.contains("absent.sock"), "it ended for another reason:\n{log}");
}

/// Nothing but TLS is open on the address that others reach, and nothing without TLS but etcd's health on the node itself.
fn only_tls_is_open_to_others(node: &kubernetes::Node) {
    let ports = node.ports;
    let open = |host: &str, port: u16| std::net::TcpStream::connect((host, port)).is_ok();
    for port in [ports.api, ports.etcd, ports.etcd_peer] {
        assert!(open(ADDRESS, port), "{port}");
        let answer = get(&format!("http://{ADDRESS}:{port}/health"), None, None);
        assert!(
            !matches!(answer, Answer::Status(200, _)),
            "{port} answers without TLS: {answer:?}"
        );
    }
    for port in [ports.etcd_health, ports.controller_manager, ports.scheduler] {
        assert!(!open(ADDRESS, port), "{port} is open to others");
    }
    // The ports without TLS that components of 1.20 open unless they are told not to.
    for port in [8080, 10251, 10252] {
        assert!(!open("127.0.0.1", port), "{port} is open without TLS");
    }
}

/// No certificate, or one of another authority of the same cluster, is nobody.
fn strangers_are_refused(certificates: &Certificates) {
    let api = certificates.authority(Signer::Kubernetes);
    let nobody = get(&format!("https://{ADDRESS}:6443/readyz"), Some(api), None);
    assert!(matches!(nobody, Answer::Status(401, _)), "{nobody:?}");
    let other = certificates.written(Kind::ApiServer, "etcd-client");
    let answer = get(&format!("https://{ADDRESS}:6443/readyz"), Some(api), Some(&other));
    assert!(
        !matches!(answer, Answer::Status(200, _)),
        "a client of etcd's is one of the API's: {answer:?}"
    );
    let node = certificates.written(Kind::ApiServer, "apiserver-kubelet-client");
    let answer = get(
        &format!("https://{ADDRESS}:2379/health"),
        Some(certificates.authority(Signer::Etcd)),
        Some(&node),
    );
    assert!(
        !matches!(answer, Answer::Status(200, _)),
        "a client of the API's is one of etcd's: {answer:?}"
    );
    // Who may ask for the API's health may do nothing else.
    let health = certificates.written(Kind::ApiServer, "health");
    let answer = get(
        &format!("https://{ADDRESS}:6443/api/v1/secrets"),
        Some(api),
        Some(&health),
    );
    assert!(matches!(answer, Answer::Status(403, _)), "{answer:?}");
}

fn an_administrator_may_do_everything(
    certificates: &Certificates,
    issued: &pki::Issued,
    programs: &Programs,
    file: &std::path::Path,
) {
    let client = (issued.pem.clone(), issued.key.to_pem().to_string());
    let api = certificates.authority(Signer::Kubernetes);
    let answer = get(
        &format!("https://{ADDRESS}:6443/api/v1/secrets"),
        Some(api),
        Some(&client),
    );
    assert!(matches!(answer, Answer::Status(200, _)), "{answer:?}");
    let Some(kubectl) = programs.kubectl() else {
        eprintln!("without kubectl: its half of the test is left out");
        return;
    };
    let kubectl = |arguments: &[&str]| {
        let run = Command::new(&kubectl)
            .arg("--kubeconfig")
            .arg(file)
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8(run.stdout).unwrap()
    };
    assert_eq!(kubectl(&["auth", "can-i", "*", "*"]).trim(), "yes");
    assert!(kubectl(&["get", "--raw", "/readyz"]).starts_with("ok"));
    kubectl(&["create", "namespace", "home"]);
    kubectl(&[
        "-n",
        "home",
        "create",
        "secret",
        "generic",
        "door",
        "--from-literal=code=very-plain-text",
    ]);
    assert!(kubectl(&["-n", "home", "get", "secrets"]).contains("door"));
}

/// What etcd's files hold of a secret is not its text.
fn secrets_are_encrypted(programs: &Programs, folder: &std::path::Path) {
    if programs.kubectl().is_none() {
        return;
    }
    let contains = |word: &str| {
        let found = Command::new("grep")
            .args(["-r", "-q", "-a", word])
            .arg(folder.join("etcd"))
            .status()
            .unwrap();
        found.success()
    };
    assert!(
        contains("/registry/namespaces/home"),
        "etcd's files hold what is no secret"
    );
    assert!(
        contains("/registry/secrets/home/door") && !contains("very-plain-text"),
        "a secret is readable in etcd's files"
    );
}
