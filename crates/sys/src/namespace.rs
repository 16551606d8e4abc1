//! Network namespaces without a name: each lives as long as somebody holds it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns, unshare};

use crate::{Context as _, Result};

/// A network namespace. The kernel removes it, with all interfaces in it, when nobody holds it and no process is in it.
#[derive(Debug)]
pub struct NetworkNamespace(File);

impl NetworkNamespace {
    /// Makes a new one, in which nothing is up.
    ///
    /// # Errors
    ///
    /// The kernel's error: it needs `SYS_ADMIN`.
    pub fn new() -> Result<Self> {
        // A thread moves alone: the process stays where it is.
        elsewhere(|| {
            unshare(CloneFlags::CLONE_NEWNET).context(|| "make a network namespace".to_owned())?;
            File::open("/proc/thread-self/ns/net")
                .map(Self)
                .context(|| "open the new network namespace".to_owned())
        })
    }

    /// Runs something on a thread in it, and waits for its end. Sockets that it opens stay in the namespace.
    ///
    /// # Errors
    ///
    /// The kernel's error: it needs `SYS_ADMIN`.
    pub fn run<T: Send>(&self, part: impl FnOnce() -> T + Send) -> Result<T> {
        elsewhere(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET).context(|| "enter a network namespace".to_owned())?;
            Ok(part())
        })
    }

    /// Returns the path by which other processes find it, as long as this one holds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs something on a thread of its own, and waits for it.
fn elsewhere<T: Send>(part: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(part);
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_in_a_namespace_sees_its_interfaces_alone() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: it needs root");
            return;
        }
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let namespace = NetworkNamespace::new().unwrap();
        let (there, links) = namespace
            .run(|| {
                let links = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                (std::fs::read_link("/proc/thread-self/ns/net").unwrap(), links)
            })
            .unwrap();
        assert_ne!(there, own);
        assert_eq!(
            links.lines().filter(|line| line.contains(':')).count(),
            1,
            "{links}"
        );
        assert_eq!(std::fs::read_link(namespace.path()).unwrap(), there);
        assert_eq!(
            std::fs::read_link("/proc/thread-self/ns/net").unwrap(),
            own,
            "this thread stayed"
        );
    }
}
