//! The programs that tests run: ours, and those that check ours.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::pace;

/// What `timeout` exits with when it had to stop the program.
const TIMED_OUT: i32 = 124;

/// One run of a program: stopped when it takes too long, or when the tests end.
#[derive(Clone, Debug)]
pub struct Tool {
    command: Vec<OsString>,
    limit: Duration,
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Set when it says that it succeeded.
    pub success: bool,
}

impl Tool {
    /// Names a program of this machine.
    pub fn new(program: impl AsRef<OsStr>) -> Tool {
        Tool {
            command: vec![program.as_ref().to_owned()],
            limit: Duration::from_secs(120),
        }
    }

    /// Names one of our own programs, which cargo puts next to this one.
    pub fn ours(program: &str) -> Tool {
        Tool::new(programs().join(program))
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Tool {
        self.command
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Writes its seconds, its peak memory in KiB, and its seconds of a processor, own and the kernel's, into a file.
    pub fn timed(&self, report: &Path) -> Tool {
        let watch = Tool::new("time")
            .args(["--format=%e %M %U %S", "--output"])
            .arg(report);
        watch.args(&self.command).within(self.limit)
    }

    /// Lets this one run another, with the other's time.
    pub fn then(self, other: &Tool) -> Tool {
        let limit = other.limit;
        self.args(&other.command).within(limit)
    }

    /// Sets the time after which it is stopped.
    pub fn within(mut self, limit: Duration) -> Tool {
        self.limit = limit;
        self
    }

    /// Runs it, whatever the outcome.
    pub fn end(&self) -> Result<Ended> {
        let output = self.output()?;
        if output.status.code() == Some(TIMED_OUT) {
            bail!(
                "`{}` was stopped after {} s",
                self.shown(),
                pace::stretch(self.limit).as_secs()
            );
        }
        Ok(Ended {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            success: output.status.success(),
        })
    }

    /// Lets it run for its whole time, and gives what it printed till then: for programs that go on until stopped.
    pub fn watch(&self) -> Result<String> {
        let output = self.output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code() != Some(TIMED_OUT) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` ended by itself:\n{printed}{said}", self.shown());
        }
        Ok(printed)
    }

    /// Runs it and expects success; gives what it printed.
    pub fn run(&self) -> Result<String> {
        let ended = self.end()?;
        if !ended.success {
            bail!("`{}` failed:\n{}{}", self.shown(), ended.stdout, ended.stderr);
        }
        Ok(ended.stdout)
    }

    /// Runs it and expects success; it prints to this program's own output, as it goes on.
    pub fn show(&self) -> Result<()> {
        let status = self.command()?.status();
        let status = status.with_context(|| format!("cannot start {}", self.shown()))?;
        if !status.success() {
            bail!("`{}` failed", self.shown());
        }
        Ok(())
    }

    /// Runs it and expects that it refuses; gives what it said.
    pub fn refuse(&self) -> Result<String> {
        let ended = self.end()?;
        if ended.success {
            bail!(
                "`{}` succeeded, and should have refused:\n{}",
                self.shown(),
                ended.stdout
            );
        }
        Ok(ended.stdout + &ended.stderr)
    }

    fn output(&self) -> Result<Output> {
        let output = self.command()?.output();
        output.with_context(|| format!("cannot start {}", self.shown()))
    }

    fn command(&self) -> Result<Command> {
        let seconds = pace::stretch(self.limit).as_secs().max(1).to_string();
        let mut command = Command::new("setpriv");
        // It ends with us, however we end: `timeout` passes the signal on.
        command
            .args(["--pdeathsig", "TERM", "timeout", "--kill-after=5", &seconds])
            .args(&self.command)
            .stdin(Stdio::null());
        // Programs of system administration are not in everyone's PATH.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        command.env(
            "PATH",
            std::env::join_paths(folders).context("PATH cannot be extended")?,
        );
        Ok(command)
    }

    fn shown(&self) -> String {
        self.command
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Returns the folder of our programs for this machine.
pub fn programs() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.parent().unwrap_or(Path::new(".")).to_owned()
}

/// Returns the target folder of cargo, where everything that tests make goes.
pub fn target() -> PathBuf {
    programs().parent().unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_refusal_are_told_apart() {
        assert_eq!(Tool::new("echo").arg("hi").run().unwrap(), "hi\n");
        assert!(Tool::new("echo").refuse().is_err());
        assert!(Tool::new("false").run().is_err());
        assert!(Tool::new("false").refuse().is_ok());
    }

    #[test]
    fn what_takes_too_long_is_stopped() {
        let error = Tool::new("sleep")
            .arg("9")
            .within(Duration::from_secs(1))
            .run()
            .unwrap_err();
        assert!(error.to_string().contains("was stopped after 1 s"));
    }
}
