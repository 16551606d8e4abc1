//! Runs the real program on machine configs that are patched, compared and edited: in files, and on nodes behind the real API.

mod program;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use api::v1alpha1::ApplyConfigResponse;
use async_trait::async_trait;
use backend::{Apply, BackendError, Configs, CurrentConfig};
use machine_config::MachineConfig;
use pki::Secrets;
use program::cluster::serving;
use program::{Home, Ran};
use server::testing::TestServer;

fn lab() -> Home {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "127.0.0.1"]).success();
    home.run(&["context", "merge", "client.yaml"]).success();
    home
}

#[test]
fn a_file_is_patched_with_its_comments_and_checked() {
    let home = lab();
    home.write(
        "p.yaml",
        "machine:\n  hostname: n1 # a name\n  sysctls: {vm.swappiness: 5}\n",
    );
    let ran = home
        .run(&[
            "config",
            "patch",
            "controlplane.yaml",
            "--patch",
            "@p.yaml",
            "-p",
            r#"[{"op": "add", "path": "/machine/modules", "value": ["i2c-dev"]}]"#,
        ])
        .success();
    assert!(ran.out.starts_with("# A control plane."), "{}", ran.out);
    let (old, new) = (
        machine_config::parse(&home.read("controlplane.yaml")).expect("a config"),
        machine_config::parse(&ran.out).expect("a config"),
    );
    assert_eq!(
        machine_config::changes(Some(&old), &new),
        [
            "machine.hostname",
            "machine.sysctls[\"vm.swappiness\"]",
            "machine.modules"
        ]
        .map(str::to_owned)
    );

    home.write("bad.yaml", "machine:\n  sysctls:\n    - a\n  role: 1\n");
    let before = home.read("worker.yaml");
    let patch = ["config", "patch", "worker.yaml", "--in-place", "-p"];
    home.run(&[&patch[..], &["{machine: {hostname: w1}}"]].concat())
        .success();
    assert_ne!(home.read("worker.yaml"), before);
    let shown = home
        .run(&["config", "diff", "worker.yaml", "controlplane.yaml"])
        .ended(3);
    assert!(shown.out.contains("-  hostname: w1\n"), "{}", shown.out);
    assert!(!shown.out.contains("PRIVATE KEY"), "{}", shown.out);
    assert!(!shown.out.contains("\u{1b}"), "no colours outside of a terminal");
    let errors = [
        ("@bad.yaml", "machine.role: expected a text"),
        ("{machine: {moduls: [x]}}", "did you mean \"modules\""),
        ("@none.yaml", "cannot read none.yaml"),
        ("[{op: remove, path: /x}]", "patch 1:1: /x: does not exist"),
    ];
    for (patch, expected) in errors {
        let error = home
            .run(&["config", "patch", "worker.yaml", "-p", patch])
            .failure()
            .err;
        assert!(error.contains(expected), "{patch}: {error}");
    }
    home.run(&["config", "diff", "worker.yaml", "worker.yaml"])
        .success();
}

#[test]
fn secrets_that_differ_are_named_and_not_shown() {
    let home = lab();
    let text = home.read("worker.yaml");
    let config = machine_config::parse(&text).expect("a config");
    let token = config
        .machine
        .token
        .as_ref()
        .expect("a token")
        .expose()
        .to_owned();
    let other = format!("abcdef.{}", token.split_once('.').expect("two parts").1);
    home.write("other.yaml", &text.replace(&token, &other));
    let ran = home
        .run(&["config", "diff", "worker.yaml", "other.yaml"])
        .ended(3);
    assert_eq!(ran.out, "secret machine.token differs\n");
}

#[test]
fn generated_configs_are_patched_by_role() {
    let home = Home::new();
    home.run(&[
        "gen",
        "config",
        "lab",
        "127.0.0.1",
        "--config-patch",
        "{machine: {modules: [i2c-dev]}}",
        "--config-patch-control-plane",
        "{machine: {hostname: cp}}",
        "--config-patch-worker",
        "[{op: add, path: /machine/hostname, value: w}]",
    ])
    .success();
    for (file, hostname) in [("controlplane.yaml", "cp"), ("worker.yaml", "w")] {
        let machine = machine_config::parse(&home.read(file)).expect("a config").machine;
        assert_eq!(machine.hostname.expect("a name").as_str(), hostname);
        assert_eq!(machine.modules.len(), 1);
    }
}

/// A node that keeps its config, and counts its revisions.
struct Node {
    state: Mutex<(MachineConfig, u64)>,
    /// Somebody else changes the config right after it was read.
    contested: AtomicBool,
}

#[async_trait]
impl Configs for Node {
    fn current(&self, secrets: bool) -> Option<CurrentConfig> {
        assert!(secrets, "an admin asks");
        let mut state = self.state.lock().expect("a lock");
        let current = CurrentConfig {
            yaml: state.0.to_yaml_with_secrets(),
            revision: state.1.to_string(),
        };
        if self.contested.load(Ordering::SeqCst) {
            state.1 += 1;
        }
        Some(current)
    }

    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError> {
        let mut state = self.state.lock().expect("a lock");
        if apply
            .expected_revision
            .is_some_and(|expected| expected != state.1.to_string())
        {
            return Err(BackendError::Conflict("changed meanwhile".to_owned()));
        }
        let new = machine_config::parse_over(&apply.yaml, &state.0).expect("a valid config");
        let changes = machine_config::changes(Some(&state.0), &new);
        if !apply.dry_run {
            *state = (new, state.1 + 1);
        }
        Ok(ApplyConfigResponse {
            changes,
            ..ApplyConfigResponse::default()
        })
    }
}

struct Live {
    home: Home,
    node: Arc<Node>,
    server: TestServer,
}

async fn live() -> Live {
    let home = lab();
    let secrets = Secrets::from_yaml(&home.read("secrets.yaml")).expect("secrets");
    let config = machine_config::parse(&home.read("controlplane.yaml")).expect("a config");
    let node = Arc::new(Node {
        state: Mutex::new((config, 1)),
        contested: AtomicBool::new(false),
    });
    let configs = node.clone();
    let serving = serving(&secrets, &["127.0.0.1"], SystemTime::now());
    let server = TestServer::start_with("node", serving, |backend| backend.configs = configs);
    let server = server.await.expect("a server");
    Live { home, node, server }
}

impl Live {
    fn run(&self, editor: &str, arguments: &[&str]) -> Ran {
        let address = self.server.address.to_string();
        let temporary = self.home.path("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder");
        let script = format!("/bin/sh {}", self.home.path(editor).display());
        let temporary = temporary.display().to_string();
        let variables = [
            ("EDITOR", script.as_str()),
            ("VISUAL", ""),
            ("TMPDIR", &temporary),
        ];
        let all = [arguments, &["-n", &address]].concat();
        tokio::task::block_in_place(|| self.home.run_with(&variables, &all))
    }

    fn config(&self) -> MachineConfig {
        self.node.state.lock().expect("a lock").0.clone()
    }

    fn hostname(&self) -> Option<String> {
        self.config()
            .machine
            .hostname
            .map(|name| name.as_str().to_owned())
    }

    /// Returns the texts that were kept.
    fn kept(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.home.path("tmp")).expect("a folder");
        files
            .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_of_a_node_is_patched_and_compared() {
    let live = live().await;
    let patch = ["config", "patch", "-p", "{machine: {hostname: patched}}"];
    let ran = live.run("", &[&patch[..], &["--dry-run"]].concat()).success();
    assert!(ran.out.contains("changes machine.hostname"), "{}", ran.out);
    assert_eq!(live.hostname(), None);
    live.run("", &patch).success();
    assert_eq!(live.hostname().as_deref(), Some("patched"));

    let ran = live.run("", &["config", "diff", "controlplane.yaml"]).ended(3);
    assert!(ran.out.contains("-  hostname: patched\n"), "{}", ran.out);
    assert!(!ran.out.contains("secret"), "{}", ran.out);

    live.node.contested.store(true, Ordering::SeqCst);
    let error = live
        .run("", &["config", "patch", "-p", "{machine: {hostname: lost}}"])
        .failure()
        .err;
    assert!(error.contains("changed meanwhile"), "{error}");
    assert_eq!(live.hostname().as_deref(), Some("patched"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_edited_until_it_is_valid() {
    let live = live().await;
    let key = live.config().machine.ca.key.expect("a key").expose().to_owned();
    // A wrong field first, and then, when the fault is at the top, the right one.
    live.home.write(
        "editor.sh",
        "cp \"$1\" seen\n\
         if grep -q 'Not applied' \"$1\"; then sed -i 's/hostnme/hostname/' \"$1\"\n\
         else sed -i 's/^machine:/machine:\\n  hostnme: edited/' \"$1\"; fi\n",
    );
    live.run("editor.sh", &["edit"]).success();
    assert_eq!(live.hostname().as_deref(), Some("edited"));
    assert_eq!(live.config().machine.ca.key.expect("a key").expose(), key);
    let seen = live.home.read("seen");
    assert!(
        seen.contains("unknown field, did you mean \"hostname\"?"),
        "{seen}"
    );
    assert!(
        !seen.contains("BEGIN PRIVATE KEY"),
        "no secret is in the file that is edited"
    );
    assert_eq!(live.kept(), Vec::<String>::new());

    live.home.write("same.sh", "true\n");
    let ran = live.run("same.sh", &["edit"]).success();
    assert!(ran.err.contains("nothing was changed"), "{}", ran.err);
    assert_eq!(live.kept(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_is_kept_when_it_cannot_be_applied() {
    let live = live().await;
    live.node.contested.store(true, Ordering::SeqCst);
    live.home.write(
        "editor.sh",
        "sed -i 's/^machine:/machine:\\n  hostname: mine/' \"$1\"\n",
    );
    let error = live.run("editor.sh", &["edit"]).failure().err;
    assert!(
        error.contains("the text is kept in") && error.contains("changed meanwhile"),
        "{error}"
    );
    assert!(live.kept()[0].contains("hostname: mine"));
    assert_eq!(live.hostname(), None);
}
