// UNSAFETY: what a child does between fork and exec can only be said in an unsafe closure.
#![expect(unsafe_code)]
//! Processes: starting them in sessions of their own, signalling, and reaping.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};

use crate::{Context, Result};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => match Signal::try_from(*signal) {
                Ok(name) => write!(f, "{name}"),
                Err(_) => write!(f, "signal {signal}"),
            },
        }
    }
}

/// A signal that PID 1 sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Requests to exit.
    Terminate,
    /// Kills.
    Kill,
}

/// Makes a command start in its own session, with no signal blocked, in the cgroup of this directory.
///
/// The child enters the cgroup before exec, so none of its processes can be outside.
pub fn isolate(command: &mut Command, cgroup: Option<&Path>) -> Result<()> {
    let procs = cgroup.map(|folder| folder.join("cgroup.procs"));
    let procs = procs
        .map(|path| {
            File::options()
                .write(true)
                .open(&path)
                .context(|| format!("open {}", path.display()))
        })
        .transpose()?;
    let prepare = move || {
        if let Some(procs) = &procs {
            (&mut &*procs).write_all(b"0")?;
        }
        setsid().map_err(io::Error::from)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec the closure only makes the system calls write, setsid and sigprocmask on memory
    // that it owns; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// Reaps one dead child, if there is one. PID 1 calls this until it returns none.
pub fn reap_any() -> Option<(u32, Exit)> {
    reap(None)
}

/// Reaps this child, if it is dead.
pub fn reap_child(pid: u32) -> Option<Exit> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    reap(Some(Pid::from_raw(pid))).map(|(_, exit)| exit)
}

fn reap(pid: Option<Pid>) -> Option<(u32, Exit)> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                return Some((pid.as_raw().unsigned_abs(), Exit::Code(code)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                return Some((pid.as_raw().unsigned_abs(), Exit::Signal(signal as i32)));
            }
            Ok(WaitStatus::StillAlive) => return None,
            // A signal number that nix does not know (real-time ones) is reported as EINVAL, and the child is gone.
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(_) => return None,
        }
    }
}

/// Sends a signal to one process. One that has already exited is not an error.
pub fn stop(pid: u32, how: Stop) -> Result<()> {
    let signal = match how {
        Stop::Terminate => Signal::SIGTERM,
        Stop::Kill => Signal::SIGKILL,
    };
    let raw = i32::try_from(pid).ok().filter(|pid| *pid > 1);
    let raw = raw
        .ok_or(Errno::EINVAL)
        .context(|| format!("signal process {pid}"))?;
    match kill(Pid::from_raw(raw), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context(|| format!("send {signal} to process {pid}")),
    }
}

/// Sends a signal to every process but PID 1. Only PID 1 may call this.
pub fn stop_all(how: Stop) -> Result<()> {
    if std::process::id() != 1 {
        return Err(Errno::EPERM).context(|| "signal all processes without being PID 1".to_owned());
    }
    let signal = if how == Stop::Kill {
        Signal::SIGKILL
    } else {
        Signal::SIGTERM
    };
    match kill(Pid::from_raw(-1), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context(|| format!("send {signal} to all processes")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn an_isolated_child_leads_its_own_session() {
        let mut command = Command::new("cat");
        command.arg("/proc/self/stat").stdout(Stdio::piped());
        isolate(&mut command, None).unwrap();
        let output = command.output().unwrap();
        let stat = String::from_utf8(output.stdout).unwrap();
        let fields: Vec<&str> = stat.split(' ').collect();
        assert_eq!(fields[0], fields[5], "session id is the pid: {stat}");
    }

    #[test]
    fn a_child_writes_itself_into_its_cgroup() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cgroup.procs"), "").unwrap();
        let mut command = Command::new("true");
        isolate(&mut command, Some(folder.path())).unwrap();
        assert!(command.status().unwrap().success());
        assert_eq!(
            std::fs::read_to_string(folder.path().join("cgroup.procs")).unwrap(),
            "0"
        );
    }

    #[test]
    fn never_signals_groups_or_pid_1() {
        assert!(stop(0, Stop::Kill).is_err());
        assert!(stop(1, Stop::Kill).is_err());
        assert!(stop(u32::MAX, Stop::Kill).is_err());
        assert!(stop_all(Stop::Kill).is_err());
    }

    #[test]
    fn exits_are_readable() {
        assert_eq!(Exit::Code(3).to_string(), "exit code 3");
        assert_eq!(Exit::Signal(9).to_string(), "SIGKILL");
        assert_eq!(Exit::Signal(64).to_string(), "signal 64");
    }
}
