//! The cluster as users see it: by kubectl, with the kubeconfig that the node gave.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::emulator::Emulator;
use crate::pace;
use crate::tools::Tool;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// As kubectl writes it.
const REQUEST: &str = "30s";
/// An emulated API server takes its time.
const ANSWER: Duration = Duration::from_secs(60);

/// kubectl, towards one API server.
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// The file with the address and the certificate.
    pub kubeconfig: PathBuf,
    /// Where the API server is reached from here.
    pub server: String,
}

impl Kubectl {
    /// Returns kubectl for a machine that runs an API server.
    pub fn new(program: PathBuf, kubeconfig: PathBuf, machine: &Emulator) -> Kubectl {
        Kubectl {
            program,
            kubeconfig,
            server: format!("https://127.0.0.1:{}", machine.kubernetes_port),
        }
    }

    /// Makes a command.
    pub fn command(&self, words: &[&str]) -> Tool {
        Tool::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--server", &self.server, "--request-timeout", REQUEST])
            .args(words)
            .within(ANSWER)
    }

    /// Repeats a command until it prints what is wanted.
    pub fn until(&self, words: &[&str], limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let end = Instant::now() + pace::stretch(limit);
        loop {
            // A server that is starting may take a connection and not answer.
            let last = match self.command(words).end() {
                Ok(ended) if ended.success && wanted(&ended.stdout) => return Ok(ended.stdout),
                Ok(ended) => ended.stdout + &ended.stderr,
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end {
                bail!(
                    "`kubectl {}` never printed what is expected, and last:\n{last}",
                    words.join(" ")
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until a node is Ready.
    pub fn ready(&self, node: &str, limit: Duration) -> Result<()> {
        let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        self.until(&["get", "node", node, "-o", path], limit, |printed| {
            printed == "True"
        })?;
        Ok(())
    }
}
