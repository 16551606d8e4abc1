//! `bedplate kubeconfig`, with the real API server and a fake node that signs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod program;

use std::os::unix::fs::{PermissionsExt as _, symlink};

use program::cluster::{Cluster, cluster};
use program::{Home, Ran};
use server::testing::kubernetes_authority;

const OTHER: &str = "apiVersion: v1
kind: Config
clusters:
# work
- cluster:
    server: https://work.example
  name: work
contexts: []
users:
- name: work
  user: {token: abc}
";

async fn run(lab: &Cluster, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let addresses = lab.addresses();
    let all = [&["kubeconfig"], arguments, &["-n", &addresses]].concat();
    let folder = lab.home.path("").display().to_string();
    let mut all_variables = vec![("HOME", folder.as_str()), ("KUBECONFIG", "")];
    all_variables.extend(variables);
    tokio::task::block_in_place(|| lab.home.run_with(&all_variables, &all))
}

fn mode(home: &Home, name: &str) -> u32 {
    home.path(name).metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_where_kubectl_looks_and_its_key_belongs_to_its_certificate() {
    let lab = cluster(&["plane1"]).await;
    let ran = run(&lab, &[], &[]).await.success();
    assert!(
        ran.out.contains("Context:  admin@home (now the current one)"),
        "{}",
        ran.out
    );
    let text = lab.home.read(".kube/config");
    assert_eq!(mode(&lab.home, ".kube/config"), 0o600);
    let tree: serde_json::Value = yaml::from_str(&text).unwrap();
    let decoded = |value: &serde_json::Value| {
        use base64ct::{Base64, Encoding as _};
        String::from_utf8(Base64::decode_vec(value.as_str().unwrap()).unwrap()).unwrap()
    };
    let user = &tree["users"][0]["user"];
    let (certificate, key) = (
        decoded(&user["client-certificate-data"]),
        decoded(&user["client-key-data"]),
    );
    let authority = decoded(&tree["clusters"][0]["cluster"]["certificate-authority-data"]);
    assert_eq!(authority, kubernetes_authority().certificate_pem());
    pki::Client::mutual(&authority, &certificate, &key).expect("they fit together");
    assert_eq!(tree["current-context"], "admin@home");

    // Again: the same names, another key.
    run(&lab, &[], &[]).await.success();
    let again: serde_json::Value = yaml::from_str(&lab.home.read(".kube/config")).unwrap();
    assert_eq!(again["users"].as_array().unwrap().len(), 1);
    assert_ne!(again["users"], tree["users"]);
    let calls = lab.nodes[0].node.calls();
    assert_eq!(calls, vec!["kubeconfig for admin and Some(86400s)"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_a_file_stays_and_links_are_followed() {
    let lab = cluster(&["plane1"]).await;
    lab.home.write("real.yaml", OTHER);
    std::fs::set_permissions(lab.home.path("real.yaml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    symlink(lab.home.path("real.yaml"), lab.home.path("link.yaml")).unwrap();
    let listed = format!("{}:/nowhere", lab.home.path("link.yaml").display());
    let arguments = ["--context-name", "mine", "--lifetime", "1h", "-o", "json"];
    let ran = run(&lab, &[("KUBECONFIG", &listed)], &arguments).await.success();
    let shown: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown["context"], "mine");
    assert_eq!(shown["server"], "https://k8s.home.example:6443");
    assert!(lab.home.path("link.yaml").is_symlink());
    let text = lab.home.read("real.yaml");
    for line in OTHER.lines().filter(|line| !line.starts_with("contexts")) {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert_eq!(mode(&lab.home, "real.yaml"), 0o600);
    assert!(!lab.home.path("real.yaml.lock").exists());
    assert_eq!(
        lab.nodes[0].node.calls(),
        ["kubeconfig for admin and Some(3600s)"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_replaced_only_when_told_to() {
    let lab = cluster(&["plane1"]).await;
    lab.home.write("mine.yaml", OTHER);
    let refused = run(&lab, &[], &["mine.yaml", "--merge=false"])
        .await
        .failure()
        .err;
    assert!(
        refused.contains("mine.yaml already exists; use --force"),
        "{refused}"
    );
    assert_eq!(
        lab.nodes[0].node.calls(),
        Vec::<String>::new(),
        "nothing was signed"
    );
    lab.home.write("mine.yaml.lock", "");
    let refused = run(&lab, &[], &["mine.yaml"]).await.failure().err;
    assert!(
        refused.contains("is being changed by another program"),
        "{refused}"
    );
    std::fs::remove_file(lab.home.path("mine.yaml.lock")).unwrap();
    lab.home
        .write("flow", "{kind: Config, users: [{name: a, user: {}}]}");
    let refused = run(&lab, &[], &["flow"]).await.failure().err;
    assert!(refused.contains("name both files in KUBECONFIG"), "{refused}");
    assert_eq!(lab.home.read("mine.yaml"), OTHER);
    run(&lab, &[], &["mine.yaml", "--merge=false", "--force"])
        .await
        .success();
    assert!(!lab.home.read("mine.yaml").contains("work"));
    std::fs::create_dir(lab.home.path("folder")).unwrap();
    run(&lab, &[], &["folder"]).await.success();
    assert_eq!(mode(&lab.home, "folder/kubeconfig"), 0o600);
    let ran = run(&lab, &[], &["-"]).await.success();
    assert!(
        ran.out.starts_with("apiVersion: v1\nkind: Config\n"),
        "{}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_passed_over() {
    let lab = cluster(&["worker1", "plane1"]).await;
    run(&lab, &[], &[]).await.success();
    let lab = cluster(&["worker1", "worker2"]).await;
    let refused = run(&lab, &[], &[]).await.failure().err;
    assert!(
        refused.contains("worker1 is a worker") && refused.contains("worker2 is a worker"),
        "{refused}"
    );
    assert!(!lab.home.path(".kube/config").exists());
}
