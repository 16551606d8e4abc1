//! Services in YAML: how they are read and written, and the errors for those that cannot run.

use proptest::prelude::*;
use service_definition::{
    Capabilities, Check, Definitions, KillMode, Resources, Restart, Rights, Service, Unhealthy, check,
};

fn read(yaml: &str) -> Result<Definitions, String> {
    let services: Vec<Service> = yaml::from_str(yaml).map_err(|error| error.to_string())?;
    check(services).map_err(|faults| faults.to_string())
}

const EVERYTHING: &str = r#"
- name: kubelet
  command: [/usr/bin/kubelet, --config, /etc/kubelet.yaml]
  environment: {PATH: /usr/bin}
  user: {name: kubelet, id: 100}
  capabilities: [NET_ADMIN, CHOWN]
  noNewPrivileges: false
  readOnlyPaths: [/etc/kubernetes, /proc/sys]
  privateTmp: true
  directories: [{path: /var/lib/kubelet, mode: "0750"}, {path: /run/kubelet}]
  dependsOn: [containerd]
  after: [time]
  health: {http: "http://127.0.0.1:10248/healthz", everySeconds: 3, timeoutSeconds: 2, failures: 5, unhealthy: restart}
  restart: onFailure
  limits: {memory: 512MiB, tasks: 4096, cpuWeight: 200, ioWeight: 50}
  enabled: false
  stopSeconds: 30
  killMode: process
  oomScoreAdj: -999
- name: containerd
  command: [/usr/bin/containerd]
  health: {cri: /run/containerd/containerd.sock}
"#;

#[test]
fn every_field_is_read() {
    let definitions = read(EVERYTHING).unwrap();
    let names: Vec<&str> = definitions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        ["containerd", "kubelet"],
        "in an order in which they can start"
    );
    let kubelet = definitions.get("kubelet").unwrap();
    assert_eq!(kubelet.run.program, "/usr/bin/kubelet");
    assert_eq!(kubelet.run.arguments, ["--config", "/etc/kubelet.yaml"]);
    assert_eq!(kubelet.run.oom_score_adj, -999);
    assert_eq!(
        kubelet.directories.iter().map(|one| one.mode).collect::<Vec<_>>(),
        [0o750, 0o755]
    );
    let user = kubelet.run.user.as_ref().unwrap();
    assert_eq!((user.name.as_str(), user.id), ("kubelet", 100));
    let rights = Rights {
        capabilities: Capabilities((1 << 12) | 1),
        no_new_privileges: false,
        read_only_paths: vec!["/etc/kubernetes".into(), "/proc/sys".into()],
        private_tmp: true,
    };
    assert_eq!(kubelet.run.rights, rights);
    let limits = Resources {
        memory_max: Some(512 << 20),
        cpu_weight: Some(200),
        io_weight: Some(50),
        pids_max: Some(4096),
    };
    assert_eq!(kubelet.resources, limits);
    assert_eq!(
        (kubelet.restart, kubelet.kill_mode),
        (Restart::OnFailure, KillMode::Process)
    );
    assert_eq!((kubelet.enabled, kubelet.stop_timeout.as_secs()), (false, 30));
    let health = kubelet.health.as_ref().unwrap();
    let address = "127.0.0.1:10248".parse().unwrap();
    let check = Check::Http {
        address,
        path: "/healthz".into(),
        tls: None,
    };
    assert_eq!((&health.check, health.unhealthy), (&check, Unhealthy::Restart));
    assert_eq!(
        (
            health.interval.as_secs(),
            health.timeout.as_secs(),
            health.failures
        ),
        (3, 2, 5)
    );
}

#[test]
fn omitted_fields_have_sane_defaults() {
    let definitions = read(EVERYTHING).unwrap();
    let containerd = definitions.get("containerd").unwrap();
    assert_eq!(
        (containerd.restart, containerd.kill_mode),
        (Restart::Always, KillMode::Cgroup)
    );
    assert_eq!(
        (containerd.enabled, containerd.stop_timeout.as_secs()),
        (true, 10)
    );
    assert_eq!(containerd.resources, Resources::default());
    let least = Rights {
        capabilities: Capabilities::default(),
        no_new_privileges: true,
        read_only_paths: vec![],
        private_tmp: false,
    };
    assert_eq!((&containerd.run.rights, &containerd.run.user), (&least, &None));
    let health = containerd.health.as_ref().unwrap();
    assert_eq!(health.check, Check::Cri("/run/containerd/containerd.sock".into()));
    assert_eq!(
        (
            health.interval.as_secs(),
            health.timeout.as_secs(),
            health.failures
        ),
        (10, 5, 3)
    );
}

#[test]
fn a_service_is_written_as_it_is_read() {
    let services: Vec<Service> = yaml::from_str(EVERYTHING).unwrap();
    let again: Vec<Service> = yaml::from_str(&yaml::to_string(&services).unwrap()).unwrap();
    assert_eq!(again, services);
    let minimal = yaml::to_string(&Service::new("a", ["/a"])).unwrap();
    assert_eq!(
        check(vec![yaml::from_str(&minimal).unwrap()])
            .unwrap()
            .iter()
            .count(),
        1
    );
}

#[test]
fn each_fault_names_the_field_and_the_way_out() {
    let table = [
        (
            "{name: a, command: []}",
            r#"service "a": command: is empty; write [/usr/bin/PROGRAM, ARGUMENT, …]"#,
        ),
        (
            "{name: a, command: [containerd]}",
            r#"service "a": command: "containerd" is not a program; write its absolute path, such as /usr/bin/containerd"#,
        ),
        (
            "{name: A_b, command: [/a]}",
            r#"service "A_b": name: must be 1 to 63 lower-case"#,
        ),
        (
            "{name: machined, command: [/a]}",
            r#"service "machined": name: is the name of machined's own log"#,
        ),
        (
            "{name: a, command: [/a], dependsOn: [containered]}",
            r#"service "a": dependsOn: "containered" not found; known: a"#,
        ),
        (
            "{name: a, command: [/a], dependsOn: [a]}",
            "waits for itself: a → a; remove one of these",
        ),
        (
            "{name: a, command: [/a], after: [a]}",
            "waits for itself: a → a; remove one of these",
        ),
        (
            "{name: a, command: [/a], environment: {A=B: c}}",
            r#"environment: "A=B" is not the name of a variable"#,
        ),
        (
            "{name: a, command: [/a], directories: [{path: /a/../b}]}",
            r#"directories: "/a/../b" is not an absolute path"#,
        ),
        (
            r#"{name: a, command: [/a], directories: [{path: /a, mode: "8"}]}"#,
            r#"directories: "8" is not a mode"#,
        ),
        (
            "{name: a, command: [/a], limits: {memory: 1KiB}}",
            "limits.memory: 1KiB is less than 1MiB",
        ),
        (
            "{name: a, command: [/a], limits: {cpuWeight: 0}}",
            "limits.cpuWeight: 0 is not between 1 and 10000",
        ),
        (
            "{name: a, command: [/a], limits: {ioWeight: 10001}}",
            "limits.ioWeight: 10001 is not between",
        ),
        (
            "{name: a, command: [/a], limits: {tasks: 0}}",
            "limits.tasks: 0 is not between",
        ),
        (
            "{name: a, command: [/a], stopSeconds: 0}",
            "stopSeconds: 0 is not between 1 and 3600",
        ),
        (
            "{name: a, command: [/a], oomScoreAdj: -1001}",
            "oomScoreAdj: -1001 is not between -1000 and 1000",
        ),
        (
            "{name: a, command: [/a], capabilities: [cap_net_admin]}",
            r#"capabilities: "cap_net_admin" is not a capability; write NET_ADMIN"#,
        ),
        (
            "{name: a, command: [/a], capabilities: [NET_ADMIM]}",
            r#"capabilities: "NET_ADMIM" is not a capability; known: CHOWN, DAC_OVERRIDE, "#,
        ),
        (
            "{name: a, command: [/a], capabilities: [KILL, KILL]}",
            r#"capabilities: "KILL" is listed twice"#,
        ),
        (
            "{name: a, command: [/a], readOnlyPaths: [etc]}",
            r#"readOnlyPaths: "etc" is not an absolute path"#,
        ),
        (
            "{name: a, command: [/a], readOnlyPaths: [/etc], capabilities: [SYS_ADMIN]}",
            "readOnlyPaths: has no effect with the capability SYS_ADMIN",
        ),
        (
            "{name: a, command: [/a], user: {name: etcd, id: 1000}}",
            "user.id: 1000 is not between 1 and 999",
        ),
        (
            "{name: a, command: [/a], user: {name: etc/d, id: 7}}",
            r#"user.name: "etc/d" is not a user's name"#,
        ),
        (
            "{name: a, command: [/a], user: {name: root, id: 7}}",
            "user.name: is root",
        ),
        (
            "{name: a, command: [/a], user: {name: x, id: 7}}, {name: b, command: [/b], user: {name: y, id: 7}}",
            r#"service "b": user.id: 7 is already the number of "x"; choose another"#,
        ),
        (
            "{name: a, command: [/a], user: {name: x, id: 7}}, {name: b, command: [/b], user: {name: x, id: 8}}",
            r#"service "b": user.id: "x" has the number 7 elsewhere; use that"#,
        ),
        (
            "{name: a, command: [/a], health: {}}",
            "health: set exactly one of cri, socket, tcp, http and exec",
        ),
        (
            "{name: a, command: [/a], health: {socket: /a, exec: [/b]}}",
            "health: set exactly one of",
        ),
        (
            "{name: a, command: [/a], health: {socket: a.sock}}",
            r#"health.socket: "a.sock" is not an absolute path"#,
        ),
        (
            "{name: a, command: [/a], health: {tcp: localhost}}",
            r#"health.tcp: "localhost" is not an address and port"#,
        ),
        (
            "{name: a, command: [/a], health: {http: 'https://127.0.0.1:1/'}}",
            "health.tls: is missing; name the CA",
        ),
        (
            "{name: a, command: [/a], health: {http: 'ftp://127.0.0.1:1/'}}",
            "does not start with http:// or https://",
        ),
        (
            "{name: a, command: [/a], health: {http: 'http://127.0.0.1:1/', tls: {ca: /ca}}}",
            "health.tls: is for an address that starts with https://",
        ),
        (
            "{name: a, command: [/a], health: {http: 'https://127.0.0.1:1/', tls: {ca: /ca, cert: /c}}}",
            "health.tls: has only one of cert and key",
        ),
        (
            "{name: a, command: [/a], health: {http: 'https://127.0.0.1:1/', tls: {ca: ca}}}",
            r#"health.tls.ca: "ca" is not an absolute path"#,
        ),
        (
            "{name: a, command: [/a], health: {exec: ['true']}}",
            r#"health.exec: "true" is not a program"#,
        ),
        (
            "{name: a, command: [/a], health: {socket: /a, failures: 0}}",
            "health.failures: 0 is not between",
        ),
    ];
    for (yaml, expected) in table {
        let error = read(&format!("[{yaml}]")).unwrap_err();
        assert!(error.contains(expected), "{yaml}\n{error}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let error = read("[{name: a, command: []}, {name: a, command: [/a], stopSeconds: 0}]").unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[1].contains("is listed twice"), "{error}");
}

#[test]
fn a_cycle_over_both_kinds_of_order_is_refused() {
    let error =
        read("[{name: a, command: [/a], after: [b]}, {name: b, command: [/b], dependsOn: [a]}]").unwrap_err();
    assert!(error.contains("a → b → a"), "{error}");
}

#[test]
fn services_may_share_a_user() {
    let shared =
        "{name: a, command: [/a], user: {name: x, id: 7}}, {name: b, command: [/b], user: {name: x, id: 7}}";
    assert!(read(&format!("[{shared}]")).is_ok());
}

#[test]
fn after_may_name_services_that_are_absent() {
    assert!(read("[{name: a, command: [/a], after: [etcd]}]").is_ok());
}

#[test]
fn unknown_fields_are_refused() {
    let error = read("[{name: a, command: [/a], restrat: never}]").unwrap_err();
    assert!(error.contains("restrat"), "{error}");
}

proptest! {
    #[test]
    fn services_follow_those_they_wait_for(edges in proptest::collection::vec((0..6_usize, 0..6_usize), 0..12)) {
        let mut services: Vec<Service> = (0..6).map(|n| Service::new(format!("s{n}"), ["/s"])).collect();
        for (from, to) in edges {
            services[from].depends_on.push(format!("s{to}"));
        }
        if let Ok(definitions) = check(services) {
            let names: Vec<&str> = definitions.iter().map(|one| one.name.as_str()).collect();
            prop_assert_eq!(names.len(), 6);
            for one in definitions.iter() {
                let own = names.iter().position(|name| *name == one.name);
                for other in &one.depends_on {
                    prop_assert!(names.iter().position(|name| name == other) < own);
                }
            }
        }
    }

    #[test]
    fn never_panics(name in ".{0,5}", word in ".{0,8}", http in ".{0,20}") {
        let mut service = Service::new(name, [word.clone()]);
        service.environment.insert(word.clone(), word.clone());
        service.depends_on.push(word);
        service.health = Some(service_definition::HealthCheck { http: Some(format!("http://{http}")), ..Default::default() });
        let _ = check(vec![service]);
    }
}
