//! How long nobody answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::curl::Files;
use super::{Lab, Member};
use crate::scenarios::cluster::kubectl::Kubectl;
use crate::tools::Tool;

/// The ways to an API server.
const ADDRESS: &str = "the virtual address";
const NODE: &str = "the balancer";
/// The way to machined's API on all nodes.
const MACHINED: &str = "machined's API";
/// The balancer, on each node.
const BALANCER: &str = "https://127.0.0.1:7445";
/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients that ask an API server again and again: by the virtual address, and by the balancer of a worker.
pub struct Watch {
    clients: Vec<Client>,
}

struct Client {
    by: &'static str,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    last: Option<Instant>,
    longest: Duration,
    asked: usize,
    failed: usize,
    said: String,
}

impl Watch {
    /// Begins to ask.
    pub fn start(lab: &Lab, kubectl: &Kubectl, worker: &Member) -> Result<Watch> {
        let files = Files::of(&lab.stage.folder, kubectl)?;
        let clients = vec![
            Client::start(ADDRESS, files.by_address(lab)),
            Client::start(NODE, files.by_balancer(lab, worker)?),
        ];
        Ok(Watch { clients })
    }

    /// Begins to ask by kubectl, and all nodes by our own CLI. Both read their files each time.
    pub fn by_kubectl(lab: &Lab, kubectl: &Kubectl, worker: &Member) -> Result<Watch> {
        let words = ["get", "namespace", "default"];
        let enter = Tool::new("nsenter").args(["--target", &lab.process(worker)?, "--net"]);
        let on_node = Kubectl {
            program: kubectl.program.clone(),
            kubeconfig: kubectl.kubeconfig.clone(),
            server: BALANCER.to_owned(),
        };
        let clients = vec![
            Client::start(ADDRESS, kubectl.command(&words)),
            Client::start(NODE, enter.then(&on_node.command(&words))),
            Client::start(MACHINED, lab.on_all(&["status"])),
        ];
        Ok(Watch { clients })
    }

    /// Says which requests by the balancer or to machined failed, and how; nothing where none did.
    pub fn failed(&self) -> Option<String> {
        let all = self.clients.iter().filter(|client| client.by != ADDRESS);
        let failed = all.filter_map(|client| {
            let seen = client.seen();
            let told = || {
                format!(
                    "{} of {} by {}: {}",
                    seen.failed, seen.asked, client.by, seen.said
                )
            };
            (seen.failed > 0).then(told)
        });
        failed.reduce(|all, one| format!("{all}; {one}"))
    }

    /// Forgets what was seen so far.
    pub fn begin(&self) {
        for client in &self.clients {
            let mut seen = client.seen();
            *seen = Seen {
                last: Some(Instant::now()),
                ..Seen::default()
            };
        }
    }

    /// Checks that both have had an answer since a moment.
    pub fn answers_since(&self, moment: Instant) -> Result<()> {
        for client in &self.clients {
            let seen = client.seen();
            ensure!(
                seen.last.is_some_and(|last| last > moment),
                "by {} nobody answers: {}",
                client.by,
                seen.said
            );
        }
        Ok(())
    }

    /// Returns the longest time without an answer, by each way.
    pub fn longest(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.clients
            .iter()
            .map(|client| (client.by, client.seen().longest))
    }

    /// Says the longest time without an answer.
    pub fn told(&self) -> String {
        let told = self.clients.iter().map(|client| {
            let seen = client.seen();
            let longest = seen.longest.as_secs_f64();
            format!(
                "{longest:.1} s by {} ({} of {} requests failed)",
                client.by, seen.failed, seen.asked
            )
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Client {
    fn start(by: &'static str, request: Tool) -> Client {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (theirs, stopped) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let outcome = request.run();
                note(
                    &mut theirs.lock().unwrap_or_else(PoisonError::into_inner),
                    outcome,
                );
                thread::sleep(PAUSE);
            }
        });
        Client {
            by,
            seen,
            stop,
            thread: Some(thread),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what became of a request.
fn note(seen: &mut Seen, outcome: Result<String>) {
    let now = Instant::now();
    seen.asked += 1;
    match outcome {
        Ok(_) => {
            if let Some(last) = seen.last {
                seen.longest = seen.longest.max(now - last);
            }
            seen.last = Some(now);
        }
        Err(error) => {
            seen.failed += 1;
            seen.said = format!("{error:#}");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
