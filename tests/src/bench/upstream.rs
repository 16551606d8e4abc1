//! A control plane as its programs come: upstream's own settings, on this machine. What Bedplate's is compared with.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::processes;
use crate::ports;
use crate::tools::Tool;

/// The API server starts in seconds; the machine may be busy.
const UP: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);
const TOKEN: &str = "of-an-administrator";

/// etcd, API server, controller manager and scheduler. They end when this is dropped.
pub struct Upstream {
    running: Vec<Child>,
}

impl Upstream {
    /// Starts all of them, and waits until the API server is ready.
    pub fn start(programs: &Path, folder: &Path) -> Result<Upstream> {
        fs::remove_dir_all(folder).ok();
        fs::create_dir_all(folder)?;
        let [client, peer, api] = [ports::draw()?, ports::draw()?, ports::draw()?];
        let file = |name: &str| folder.join(name).display().to_string();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut plane = Upstream { running: Vec::new() };
        plane.run(
            Path::new("etcd"),
            folder,
            &[
                ("data-dir", file("etcd-data")),
                ("listen-client-urls", url(client)),
                ("advertise-client-urls", url(client)),
                ("listen-peer-urls", url(peer)),
                ("initial-advertise-peer-urls", url(peer)),
                ("initial-cluster", format!("default={}", url(peer))),
            ],
        )?;

        let key = file("accounts.key");
        let make = ["genrsa", "-traditional", "-out", &key, "2048"];
        Tool::new("openssl").args(make).run()?;
        fs::write(
            folder.join("tokens.csv"),
            format!("{TOKEN},admin,admin,system:masters\n"),
        )?;
        let server = format!("https://127.0.0.1:{api}");
        fs::write(folder.join("kubeconfig"), kubeconfig(&server))?;
        plane.run(
            &programs.join("kube-apiserver"),
            folder,
            &[
                ("etcd-servers", url(client)),
                ("secure-port", api.to_string()),
                ("bind-address", "127.0.0.1".to_owned()),
                ("advertise-address", "127.0.0.1".to_owned()),
                ("cert-dir", file("certificates")),
                ("token-auth-file", file("tokens.csv")),
                ("authorization-mode", "RBAC".to_owned()),
                ("service-account-key-file", key.clone()),
                ("service-account-signing-key-file", key.clone()),
                (
                    "service-account-issuer",
                    "https://kubernetes.default.svc".to_owned(),
                ),
                ("service-cluster-ip-range", "10.97.0.0/16".to_owned()),
            ],
        )?;
        for program in ["kube-controller-manager", "kube-scheduler"] {
            let port = ports::draw()?.to_string();
            plane.run(
                &programs.join(program),
                folder,
                &[
                    ("kubeconfig", file("kubeconfig")),
                    ("secure-port", port),
                    ("bind-address", "127.0.0.1".to_owned()),
                    ("cert-dir", file("certificates")),
                ],
            )?;
        }
        plane.ready(&server)?;
        Ok(plane)
    }

    /// Returns what etcd and the API server have written, in bytes.
    pub fn written(&self) -> u64 {
        let of = |child: &Child| processes::of_process(&Path::new("/proc").join(child.id().to_string()));
        let found = self.running.iter().take(2).filter_map(of);
        found.map(|(_, taken)| taken.written).sum()
    }

    fn run(&mut self, program: &Path, folder: &Path, options: &[(&str, String)]) -> Result<()> {
        let name = program.file_name().context("a program has a name")?;
        let log = File::create(folder.join(name).with_extension("log"))?;
        // It ends with us, however we end; `setpriv` becomes the program, so that its number is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.args(options.iter().map(|(name, value)| format!("--{name}={value}")));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = command.spawn();
        self.running
            .push(started.with_context(|| format!("cannot start {}", program.display()))?);
        Ok(())
    }

    fn ready(&self, server: &str) -> Result<()> {
        let ask = Tool::new("curl").args(["--silent", "--insecure", "--fail", "--max-time", "5"]);
        let header = format!("Authorization: Bearer {TOKEN}");
        let ask = ask.args(["--header", &header, &format!("{server}/readyz")]);
        let until = std::time::Instant::now() + crate::pace::stretch(UP);
        loop {
            let ended = ask.end()?;
            if ended.success {
                return Ok(());
            }
            anyhow::ensure!(
                std::time::Instant::now() < until,
                "upstream's API server is not ready: {}",
                ended.stderr
            );
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        for process in self.running.iter_mut().rev() {
            // An error means that it is gone already.
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: own, cluster: {{server: '{server}', insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {TOKEN}}}}}]
contexts: [{{name: own, context: {{cluster: own, user: admin}}}}]
current-context: own
"
    )
}
