//! What the files of a cluster hold for its Kubernetes.

mod program;

use program::Home;
use serde_json::Value;

fn yaml(home: &Home, name: &str) -> Value {
    yaml::from_str(&home.read(name)).expect("YAML")
}

fn write(home: &Home, name: &str, value: &Value) {
    home.write(name, &yaml::to_string(value).expect("YAML"));
}

const GEN_CONFIG: [&str; 6] = [
    "gen",
    "config",
    "openstack",
    "https://k8s.example.net:6443",
    "--with-secrets",
    "secrets.yaml",
];

#[test]
fn only_control_planes_hold_private_keys() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    home.run(&GEN_CONFIG).success();
    let (secrets, control_plane) = (yaml(&home, "secrets.yaml"), yaml(&home, "controlplane.yaml"));
    let kubernetes = &secrets["kubernetes"];
    let cluster = &control_plane["cluster"];
    assert_eq!(cluster["ca"], kubernetes["ca"]);
    for part in ["etcdCA", "frontProxyCA", "serviceAccountKey", "encryptionKey"] {
        assert!(!kubernetes[part].is_null(), "{part}");
        assert_eq!(cluster["secrets"][part], kubernetes[part], "{part}");
    }
    let worker = yaml(&home, "worker.yaml");
    assert_eq!(worker["cluster"]["ca"]["cert"], kubernetes["ca"]["cert"]);
    let text = home.read("worker.yaml");
    let encryption = kubernetes["encryptionKey"].as_str().expect("a text");
    assert!(!text.contains("PRIVATE") && !text.contains(encryption), "{text}");
    home.run(&["config", "validate", "controlplane.yaml", "worker.yaml"])
        .success();
}

#[test]
fn secrets_from_before_there_were_clusters_are_completed() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    let mut old = yaml(&home, "secrets.yaml");
    old.as_object_mut().expect("a map").remove("kubernetes");
    write(&home, "secrets.yaml", &old);
    let refused = home.run(&GEN_CONFIG).failure();
    let way_out = "secrets.yaml has no secrets for Kubernetes; to add them: bedplate gen secrets --file secrets.yaml --complete";
    assert!(refused.err.contains(way_out), "{}", refused.err);
    home.run(&["gen", "secrets", "--file", "secrets.yaml", "--complete"])
        .success();
    let completed = yaml(&home, "secrets.yaml");
    for part in ["ca", "token", "clusterId"] {
        assert_eq!(completed[part], old[part], "{part}");
    }
    home.run(&GEN_CONFIG).success();
    let again = home.run(&["gen", "secrets", "--complete"]).success();
    assert!(again.err.contains("nothing is missing"), "{}", again.err);
    assert_eq!(yaml(&home, "secrets.yaml"), completed);
}

#[test]
fn a_key_of_another_authority_is_refused_with_its_place() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    home.run(&GEN_CONFIG).success();
    let right = yaml(&home, "controlplane.yaml");
    for (part, of, expected) in [
        (
            "etcdCA",
            "frontProxyCA",
            "cluster.secrets.etcdCA.key: belongs to another certificate",
        ),
        (
            "frontProxyCA",
            "etcdCA",
            "cluster.secrets.frontProxyCA.key: belongs to another certificate",
        ),
    ] {
        let mut wrong = right.clone();
        wrong["cluster"]["secrets"][part]["key"] = right["cluster"]["secrets"][of]["key"].clone();
        write(&home, "wrong.yaml", &wrong);
        let found = home.run(&["config", "validate", "wrong.yaml"]).failure();
        assert!(found.out.contains(expected), "{}", found.out);
    }
    let mut wrong = right.clone();
    wrong["cluster"]["ca"]["key"] = right["cluster"]["secrets"]["etcdCA"]["key"].clone();
    wrong["cluster"]["secrets"]["serviceAccountKey"] = right["machine"]["ca"]["key"].clone();
    write(&home, "wrong.yaml", &wrong);
    let found = home.run(&["config", "validate", "wrong.yaml"]).failure();
    assert!(
        found
            .out
            .contains("cluster.ca.key: belongs to another certificate"),
        "{}",
        found.out
    );
    let tokens =
        "cluster.secrets.serviceAccountKey: is an Ed25519 key, with which Kubernetes signs no tokens";
    assert!(found.out.contains(tokens), "{}", found.out);
}
