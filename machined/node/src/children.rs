//! The processes that machined starts, and the orphans that PID 1 inherits.
//!
//! One place starts and reaps them all: PID 1 must take every dead child, and whoever takes a child also gets its
//! exit. So nothing else here may wait for a process.

use std::collections::HashMap;
use std::io::{self, Read};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sys::process::{Exit, Stop, reap_any, reap_child};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Signals are merged by the kernel, and one may be lost in starting up: look again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The processes that PID 1 starts and reaps. Clones share the list of those that run.
#[derive(Clone, Default)]
pub struct Children {
    waiting: Arc<Mutex<HashMap<u32, oneshot::Sender<Exit>>>>,
}

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// What it prints, when the command asked for a pipe.
    pub stdout: Option<ChildStdout>,
    /// What it complains, when the command asked for a pipe.
    pub stderr: Option<ChildStderr>,
    exit: oneshot::Receiver<Exit>,
}

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it printed and complained, in this order.
    pub text: String,
}

impl Children {
    /// Makes an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a process.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // The lock is held until the child is on the list, so that it cannot be reaped as a stranger before.
        let mut waiting = self.waiting();
        let mut started = command.spawn()?;
        let (sender, exit) = oneshot::channel();
        waiting.insert(started.id(), sender);
        drop(waiting);
        let (stdout, stderr) = (started.stdout.take(), started.stderr.take());
        Ok(Child {
            pid: started.id(),
            stdout,
            stderr,
            exit,
        })
    }

    /// Sends a signal to a process that was started here. One that has ended is no error, and a stranger that was
    /// given its number since is never hit: a number on the list has not been taken yet.
    pub fn stop(&self, pid: u32, how: Stop) -> sys::Result<()> {
        let waiting = self.waiting();
        match waiting.contains_key(&pid) {
            true => sys::process::stop(pid, how),
            false => Ok(()),
        }
    }

    /// Runs a process to its end, without input.
    pub async fn run_to_end(&self, mut command: Command) -> io::Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.spawn(&mut command)?;
        let (stdout, stderr) = (child.stdout, child.stderr);
        let read = tokio::task::spawn_blocking(move || {
            let errors = std::thread::spawn(move || read_all(stderr));
            let mut bytes = read_all(stdout);
            bytes.extend(errors.join().unwrap_or_default());
            bytes
        });
        let bytes = read.await.unwrap_or_default();
        let exit = wait(child.exit).await;
        Ok(Output {
            exit,
            text: String::from_utf8_lossy(&bytes).trim().to_owned(),
        })
    }

    /// Takes everything that is dead now, and tells those who wait for it.
    pub fn reap(&self) {
        let mut waiting = self.waiting();
        let known: Vec<u32> = waiting.keys().copied().collect();
        for pid in known {
            if let Some(exit) = reap_child(pid) {
                tell(&mut waiting, pid, exit);
            }
        }
        if std::process::id() == 1 {
            // Orphans of services end up here; nobody waits for them.
            while let Some((pid, exit)) = reap_any() {
                tell(&mut waiting, pid, exit);
            }
        }
    }

    /// Reaps for as long as the future lives.
    pub async fn reap_forever(self) -> io::Result<()> {
        let mut died = signal(SignalKind::child())?;
        loop {
            self.reap();
            // An elapsed wait is as good a reason to look as a signal.
            let _signal = tokio::time::timeout(LOOK_AGAIN, died.recv()).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Exit>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Waits for the process to end. Cancel safe.
    pub async fn ended(&mut self) -> Exit {
        wait(&mut self.exit).await
    }

    /// Gives away the news of its end.
    pub fn into_exit(self) -> oneshot::Receiver<Exit> {
        self.exit
    }
}

async fn wait(exit: impl Future<Output = Result<Exit, oneshot::error::RecvError>>) -> Exit {
    // The sender is dropped only together with the list, which PID 1 holds to its end.
    exit.await.unwrap_or(Exit::Signal(9))
}

fn tell(waiting: &mut HashMap<u32, oneshot::Sender<Exit>>, pid: u32, exit: Exit) {
    if let Some(sender) = waiting.remove(&pid) {
        // Whoever started it may have lost interest.
        let _nobody = sender.send(exit);
    }
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before an error is still the best account of what happened.
        let _partial = pipe.read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn exits_and_words_reach_the_one_who_asked() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let mut command = Command::new("cat");
        command.args(["/dev/null", "/no/such/file"]);
        let output = children.run_to_end(command).await.unwrap();
        assert_eq!(output.exit, Exit::Code(1));
        assert!(output.text.contains("/no/such/file"), "{}", output.text);
        reaper.abort();
    }

    #[tokio::test]
    async fn a_signal_is_an_exit() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let mut command = Command::new("sleep");
        let mut child = children.spawn(command.arg("100")).unwrap();
        children.stop(child.pid, Stop::Terminate).unwrap();
        assert_eq!(child.ended().await, Exit::Signal(15));
        children.stop(child.pid, Stop::Kill).unwrap();
        reaper.abort();
    }
}
