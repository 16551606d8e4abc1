//! Runs the real program on files of its own: gen, config, context.

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use pki::{Certificate, Secrets};
use program::Home;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn one_command_makes_a_cluster_that_validates() {
    let home = Home::new();
    let made = home.run(&["gen", "config", "lab", "10.0.0.2"]).success();
    let names = ["secrets.yaml", "controlplane.yaml", "worker.yaml", "client.yaml"];
    for name in names {
        assert!(made.out.contains(name), "{}", made.out);
        assert_eq!(mode(&home.path(name)), 0o600, "{name}");
    }
    let valid = home
        .run(&["config", "validate", "controlplane.yaml", "worker.yaml"])
        .success();
    assert_eq!(
        valid.out,
        "controlplane.yaml: valid, role controlPlane\nworker.yaml: valid, role worker\n"
    );

    let worker = home.read("worker.yaml");
    assert!(
        !worker.contains("PRIVATE KEY"),
        "a worker does not hold the authority's key"
    );
    let plane = machine_config::parse(&home.read("controlplane.yaml")).expect("a valid config");
    let worker = machine_config::parse(&worker).expect("a valid config");
    assert_eq!(plane.machine.token, worker.machine.token);
    assert_eq!(plane.machine.ca.cert, worker.machine.ca.cert);
    assert_eq!(plane.cluster.id, worker.cluster.id);
    assert_eq!(plane.cluster.endpoint, worker.cluster.endpoint);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    let before = home.read("secrets.yaml");
    let again = home.run(&["gen", "secrets"]).failure();
    assert!(
        again.err.contains("secrets.yaml already exists; use --force"),
        "{}",
        again.err
    );
    home.run(&["gen", "config", "lab", "10.0.0.2"]).failure();
    assert_eq!(home.read("secrets.yaml"), before);
    assert!(!home.path("worker.yaml").exists(), "all or nothing");
    home.run(&[
        "gen",
        "config",
        "lab",
        "10.0.0.2",
        "--with-secrets",
        "secrets.yaml",
    ])
    .success();
    home.run(&["gen", "secrets", "--force"]).success();
    assert_ne!(home.read("secrets.yaml"), before);
}

#[test]
fn a_client_has_the_given_role_and_lifetime() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    home.run(&[
        "gen",
        "client",
        "lab",
        "--at",
        "10.0.0.2",
        "--user",
        "ann",
        "--role",
        "operator",
        "--lifetime",
        "2d",
    ])
    .success();
    home.run(&["context", "merge", "client.yaml"]).success();
    let shown = home.run(&["context", "show", "-o", "json"]).success().json();
    assert_eq!(shown["user"], "ann");
    assert_eq!(shown["roles"], serde_json::json!(["bedplate:operator"]));
    let secrets = Secrets::from_yaml(&home.read("secrets.yaml")).expect("secrets");
    assert_eq!(
        shown["authority"],
        secrets.authority.certificate().fingerprint().to_string()
    );

    let file: serde_json::Value = yaml::from_str(&home.read("client.yaml")).expect("YAML");
    let certificate =
        Certificate::from_pem(file["contexts"]["lab"]["cert"].as_str().expect("PEM"), "x").expect("PEM");
    let left = certificate
        .details()
        .not_after
        .duration_since(SystemTime::now())
        .expect("still valid");
    assert!(
        (Duration::from_secs(47 * 3600)..Duration::from_secs(49 * 3600)).contains(&left),
        "{left:?}"
    );
    home.run(&["gen", "client", "lab", "--at", "x", "--role", "root"])
        .usage();
}

#[test]
fn faults_of_a_config_are_listed_at_once_with_their_lines() {
    let home = Home::new();
    home.write(
        "bad.yaml",
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: king\n  moduls: []\n",
    );
    let found = home.run(&["config", "validate", "bad.yaml"]).failure();
    assert!(found.out.contains("bad.yaml:4: machine.role"), "{}", found.out);
    assert!(found.out.contains("bad.yaml:5: machine.moduls"), "{}", found.out);
}

#[test]
fn contexts_are_merged_chosen_shown_and_removed() {
    let home = Home::new();
    for name in ["lab", "home"] {
        home.run(&["gen", "config", name, "10.0.0.2", "--folder", name])
            .success();
        home.run(&["context", "merge", &format!("{name}/client.yaml")])
            .success();
    }
    assert_eq!(mode(&home.path("config/bedplate/config.yaml")), 0o600);
    let list = home.run(&["context", "list", "-o", "json"]).success().json();
    let names: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["name"], &one["current"]))
        .collect();
    assert_eq!(
        names,
        [(&"home".into(), &false.into()), (&"lab".into(), &true.into())]
    );

    home.run(&["context", "use", "home"]).success();
    let error = home.run(&["context", "use", "away"]).failure().err;
    assert!(
        error.contains("unknown context \"away\"; known contexts: home, lab"),
        "{error}"
    );
    let shown = home.run(&["context", "show"]).success().out;
    assert!(shown.contains("home") && !shown.contains("PRIVATE"), "{shown}");

    let error = home.run(&["context", "remove", "home"]).failure().err;
    assert!(error.contains("add --yes"), "{error}");
    home.run(&["context", "remove", "home", "--yes"]).success();
    assert!(!home.read("config/bedplate/config.yaml").contains("home"));

    home.run(&["gen", "config", "lab", "10.0.0.3", "--folder", "other"])
        .success();
    let error = home.run(&["context", "merge", "other/client.yaml"]).failure().err;
    assert!(
        error.contains("context \"lab\" already exists; use --force"),
        "{error}"
    );
    home.run(&["context", "merge", "other/client.yaml", "--force"])
        .success();
}

#[test]
fn a_context_is_added_from_parts_that_belong_together() {
    let home = Home::new();
    let mut parts = Vec::new();
    for name in ["lab", "away"] {
        home.run(&["gen", "config", name, "10.0.0.2", "--folder", name])
            .success();
        let file: serde_json::Value =
            yaml::from_str(&home.read(&format!("{name}/client.yaml"))).expect("YAML");
        for part in ["ca", "cert", "key"] {
            home.write(
                &format!("{name}.{part}"),
                file["contexts"][name][part].as_str().expect("PEM"),
            );
        }
        parts.push(name);
    }
    let add = |key: &str| {
        home.run(&[
            "context", "add", "mine", "--at", "n1,n2", "--ca", "lab.ca", "--cert", "lab.cert", "--key", key,
        ])
    };
    let error = add("away.key").failure().err;
    assert!(error.contains("belongs to another certificate"), "{error}");
    add("lab.key").success();
    let shown = home.run(&["context", "show", "-o", "yaml"]).success().out;
    assert!(shown.contains("- n1\n- n2\n"), "{shown}");
}

#[test]
fn a_context_has_the_nodes_it_was_given() {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "10.0.0.2"]).success();
    home.run(&["context", "merge", "client.yaml"]).success();
    home.run(&["context", "nodes", "n1,n2:6", "fd00::1"]).success();
    home.run(&["context", "endpoint", "n3"]).success();
    let shown = home.run(&["context", "show", "-o", "json"]).success().json();
    assert_eq!(shown["nodes"], serde_json::json!(["n1", "n2:6", "fd00::1"]));
    assert_eq!(shown["endpoints"], serde_json::json!(["n3"]));
    // They are who is asked.
    let asked = home.run(&["status", "--timeout", "1ms"]).failure().err;
    assert!(
        ["n1:50000", "n2:6", "[fd00::1]:50000"]
            .iter()
            .all(|node| asked.contains(node)),
        "{asked}"
    );
    home.run(&["context", "nodes", "--none"]).success();
    let shown = home.run(&["context", "show", "-o", "json"]).success().json();
    assert_eq!(shown["nodes"], serde_json::json!([]));
    home.run(&["context", "nodes"]).usage();
    home.run(&["context", "nodes", "a b"]).usage();
    home.run(&["context", "nodes", "a", "--context", "away"])
        .failure();
}

/// The commands that users of Talos know, but for the program's name.
#[test]
fn a_cluster_is_generated_as_talos_users_type_it() {
    let home = Home::new();
    for line in [
        "gen secrets",
        "gen config openstack https://k8s.talos.rlncl.eu:6443 --with-secrets secrets.yaml",
        "config validate controlplane.yaml worker.yaml",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        home.run(&words).success();
    }
    for (name, role) in [("controlplane.yaml", "controlPlane"), ("worker.yaml", "worker")] {
        let config: serde_json::Value = yaml::from_str(&home.read(name)).expect("YAML");
        assert_eq!(config["machine"]["role"], role);
        assert_eq!(config["cluster"]["endpoint"], "https://k8s.talos.rlncl.eu:6443");
    }
    let secrets = Secrets::from_yaml(&home.read("secrets.yaml")).expect("secrets");
    let certificate = secrets.authority.certificate_pem();
    let worker = machine_config::parse(&home.read("worker.yaml")).expect("a valid config");
    assert_eq!(
        worker.machine.ca.cert.to_string(),
        certificate,
        "the given secrets are used"
    );

    // The option's old name.
    let old = "gen config openstack https://k8s.talos.rlncl.eu:6443 --secrets secrets.yaml --output-dir b";
    home.run(&old.split(' ').collect::<Vec<_>>()).success();
}

#[test]
fn only_the_selected_files_are_written() {
    let home = Home::new();
    home.run(&["gen", "secrets", "--output-file", "s.yaml"]).success();
    let made = home.run(&[
        "gen",
        "config",
        "lab",
        "https://10.0.0.2:6443",
        "--with-secrets",
        "s.yaml",
        "--output-types",
        "worker,client",
        "--folder",
        "a",
    ]);
    assert_eq!(made.success().out, "a/worker.yaml\na/client.yaml\n");
    let made = home.run(&[
        "gen",
        "config",
        "lab",
        "10.0.0.2",
        "--output-types",
        "controlplane",
        "--output-dir",
        "b",
    ]);
    assert_eq!(made.success().out, "b/secrets.yaml\nb/controlplane.yaml\n");
    home.run(&[
        "gen",
        "config",
        "lab",
        "10.0.0.2",
        "--output-types",
        "standalone",
        "--folder",
        "c",
    ])
    .failure();
}

#[test]
fn without_a_context_it_says_how_to_get_one() {
    let home = Home::new();
    let error = home.run(&["status"]).failure().err;
    assert!(
        error.contains("no current context") && error.contains("bedplate gen config"),
        "{error}"
    );
    let error = home.run(&["status", "--config", "none.yaml"]).failure().err;
    assert!(error.contains("none.yaml does not exist"), "{error}");
    home.write("other.yaml", "kind: Pod\n");
    let error = home.run(&["status", "--config", "other.yaml"]).failure().err;
    assert!(
        error.contains("apiVersion: is missing; expected bedplate.dev/v1alpha1"),
        "{error}"
    );
}

#[test]
fn a_readable_file_with_a_key_is_warned_about() {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "10.0.0.2"]).success();
    fs::set_permissions(home.path("client.yaml"), fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let listed = home
        .run(&["context", "list", "--config", "client.yaml"])
        .success();
    assert!(listed.err.contains("chmod 600"), "{}", listed.err);
}

#[test]
fn completions_are_made_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).success().out;
        assert!(script.contains("get-config"), "{shell}");
    }
}

#[test]
fn flash_is_the_flash_tool() {
    let home = Home::new();
    let help = home.run(&["flash", "--help"]).success().out;
    assert!(
        help.contains("Usage: bedplate flash") && help.contains("--allow-fixed"),
        "{help}"
    );
    let error = home
        .run(&["flash", "--key", "none.pub", "none.bundle", "x.img"])
        .failure()
        .err;
    assert!(error.contains("none.pub"), "{error}");
    assert!(!home.path("x.img").exists());
}
