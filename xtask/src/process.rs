//! Runs other programs: each with a time limit, and with nothing left behind.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// What `timeout` exits with when it had to stop the program.
const TIMED_OUT: i32 = 124;
/// How many lines of a log are shown when its program failed.
const TAIL: usize = 60;
/// Begins what cargo's test programs say of a test that failed; the end of their log says of nothing but success.
const FAILED_TEST: &str = " stdout ----";

/// A program to run from the root of the tree.
///
/// It runs under `timeout`, in a process group of its own, and dies with xtask: whether the time is up or somebody
/// presses Ctrl-C, no compiler and no emulator stays behind.
#[derive(Clone, Debug)]
pub struct Program {
    command: Vec<OsString>,
    env: Vec<(String, OsString)>,
    limit: Duration,
    log: Option<PathBuf>,
    nice: bool,
}

impl Program {
    /// Names the program, with a limit of ten minutes.
    pub fn new(program: impl AsRef<OsStr>) -> Program {
        let command = vec![program.as_ref().to_owned()];
        Program {
            command,
            env: Vec::new(),
            limit: Duration::from_secs(600),
            log: None,
            nice: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Program {
        self.command
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it half of what other programs get of a busy processor. Less would starve it beside strangers.
    pub fn nice(mut self) -> Program {
        self.nice = true;
        self
    }

    /// Sets the time after which the program is stopped.
    pub fn within(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// Sends both outputs to a file; on failure the error shows its end.
    pub fn log(mut self, path: PathBuf) -> Program {
        self.log = Some(path);
        self
    }

    /// Runs to the end; anything but success is an error that names the command.
    pub fn run(&self) -> Result<()> {
        let mut child = self.start()?;
        let status = child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.shown()))?;
        self.judge(status)
    }

    /// Starts it and does not wait: [`Program::judge`] says what its exit status means.
    pub fn start(&self) -> Result<Child> {
        let mut command = self.command();
        if let Some(path) = &self.log {
            let file = create(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        command
            .spawn()
            .with_context(|| format!("cannot start {}", self.shown()))
    }

    /// Takes anything but success for an error that names the command.
    pub fn judge(&self, status: ExitStatus) -> Result<()> {
        match status.code() {
            Some(0) => Ok(()),
            Some(TIMED_OUT) => bail!(self.failure(&format!("was stopped after {} s", self.limit.as_secs()))),
            _ => bail!(self.failure(&format!("failed ({status})"))),
        }
    }

    /// Runs to the end and gives what it printed; its errors go to the terminal.
    pub fn read(&self) -> Result<String> {
        let output = self.command().stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {}", self.shown()))?;
        if !output.status.success() {
            bail!(self.failure(&format!("failed ({})", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs to the end and gives whether it succeeded, with all that it said, on both outputs.
    pub fn said(&self) -> Result<(bool, String)> {
        let output = self.command().output();
        let output = output.with_context(|| format!("cannot start {}", self.shown()))?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        // `timeout` passes the signal on to the whole group it made.
        command.args(["--pdeathsig", "TERM", "timeout", "--kill-after=10"]);
        command.arg(self.limit.as_secs().to_string());
        if self.nice {
            command.args(["nice", "-n", "3"]);
        }
        command.args(&self.command);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(paths::root()).stdin(Stdio::null());
        command
    }

    fn shown(&self) -> String {
        self.command
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn failure(&self, what: &str) -> String {
        let mut text = format!("`{}` {what}", self.shown());
        if let Some(path) = &self.log {
            let log = std::fs::read(path).unwrap_or_default();
            let lines = telling(&String::from_utf8_lossy(&log));
            text += &format!("; from {}:\n{lines}", path.display());
        }
        text
    }
}

/// Finds a program in `PATH`, or among the folders of system administration.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Returns the lines of a log that tell most: those of the first test that failed, else the last.
fn telling(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let failed = lines.iter().position(|line| line.ends_with(FAILED_TEST));
    let start = failed.unwrap_or(lines.len().saturating_sub(TAIL));
    lines[start..lines.len().min(start + TAIL)].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_an_error_that_names_it() {
        let error = Program::new("false").arg("x").run().unwrap_err().to_string();
        assert!(error.contains("`false x` failed"), "{error}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_stopped() {
        let error = Program::new("sleep")
            .arg("30")
            .within(Duration::from_secs(1))
            .run()
            .unwrap_err()
            .to_string();
        assert!(error.contains("was stopped after 1 s"), "{error}");
    }

    #[test]
    fn the_lines_that_tell_most_are_shown() {
        let passed = "test a ... ok\n".repeat(100);
        let log = format!("{passed}---- b stdout ----\nit is 3, not 4\n{passed}");
        assert!(telling(&log).starts_with("---- b stdout ----\nit is 3, not 4\n"));
        assert_eq!(telling(&log).lines().count(), TAIL);
        assert_eq!(telling("a\nb\n"), "a\nb");
        assert_eq!(
            telling(&format!("{passed}the end")).lines().last(),
            Some("the end")
        );
    }

    #[test]
    fn output_is_read() {
        assert_eq!(Program::new("echo").arg("hi").read().unwrap(), "hi\n");
        let (good, said) = Program::new("ls").arg("/no-such-file").said().unwrap();
        assert!(!good && said.contains("/no-such-file"), "{said}");
    }
}
