//! The process that holds a pod's namespaces: reaps children, waits for a signal.
//!
//! It is the first process of a pod, so children whose parent ended become its own. Everything else in the pod comes
//! and goes; this one stays until the pod ends.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::getpid;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        return match stdio::line(concat!("pause ", env!("CARGO_PKG_VERSION"))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(lost) => stdio::exit_code(&lost),
        };
    }
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::note(format_args!("pause: cannot wait for signals: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits until SIGTERM or SIGINT comes, and reaps children until then.
fn hold() -> nix::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM] {
        signals.add(signal);
    }
    // A blocked signal is kept even for a first process, which the kernel spares signals it has no handler for.
    signals.thread_block()?;
    if getpid().as_raw() != 1 {
        stdio::note("pause: should be the first process of a pod: outside of one there is nothing to hold");
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => reap(),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps every child that has ended: one SIGCHLD may stand for several.
fn reap() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
    {
    }
}
