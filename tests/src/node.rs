//! A node, asked through the real `bedplate` command.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::pace;
use crate::tools::Tool;

/// How a node is reached, and as whom.
#[derive(Clone, Debug)]
pub struct Node {
    port: u16,
    access: Access,
    deadline: Instant,
}

/// What the client shows, and whom it believes.
#[derive(Clone, Debug)]
enum Access {
    /// A client's file: certificate and CA.
    Client(PathBuf),
    /// No certificate, and no questions: a node in maintenance mode.
    Nobody,
}

impl Node {
    /// Reaches the node at a port of loopback with the certificate of a client's file.
    pub fn with_client(port: u16, client: PathBuf, deadline: Instant) -> Node {
        Node {
            port,
            access: Access::Client(client),
            deadline,
        }
    }

    /// Reaches it without a certificate, believing whoever answers.
    pub fn as_nobody(port: u16, deadline: Instant) -> Node {
        Node {
            port,
            access: Access::Nobody,
            deadline,
        }
    }

    /// Makes a command that asks this node.
    pub fn command(&self, words: &[&str]) -> Tool {
        let endpoint = format!("127.0.0.1:{}", self.port);
        let command = Tool::ours("bedplate").args(words).args(["--endpoint", &endpoint]);
        let command = match &self.access {
            Access::Client(file) => command.arg("--config").arg(file),
            // The file does not exist: what may lie in the caller's home is not used.
            Access::Nobody => command.args(["--insecure", "--config", "none.yaml"]),
        };
        command.within(Duration::from_secs(40))
    }

    /// Asks, and reads the answer as JSON.
    pub fn ask(&self, words: &[&str]) -> Result<Value> {
        let printed = self.command(words).args(["--output", "json"]).run()?;
        serde_json::from_str(&printed)
            .with_context(|| format!("`bedplate {}` printed {printed}", words.join(" ")))
    }

    /// Asks what must be refused, and gives the reason.
    pub fn refused(&self, words: &[&str]) -> Result<String> {
        self.command(words).refuse()
    }

    /// Waits until an answer is as wanted; the error shows the last answer.
    pub fn until(&self, words: &[&str], limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = self.deadline.min(Instant::now() + pace::stretch(limit));
        loop {
            let answer = self.ask(words);
            match &answer {
                Ok(value) if wanted(value) => return answer,
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(500)),
                Ok(value) => bail!("`bedplate {}` still answers {value:#}", words.join(" ")),
                Err(error) => bail!("the node does not answer: {error:#}"),
            }
        }
    }

    /// Waits until the node is in a phase; gives its status.
    pub fn phase(&self, phase: &str, limit: Duration) -> Result<Value> {
        self.until(&["status"], limit, |status| status["phase"] == phase)
    }
}
