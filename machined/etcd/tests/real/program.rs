//! The program etcd, run so that it does not outlive the test.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubernetes::Version;

/// Finds etcd. Returns none, and says so, where there is none.
pub fn find() -> Option<(PathBuf, Version)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let given = std::env::var_os("ETCD").map(PathBuf::from);
    let mut all = given
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join("etcd")));
    let Some(program) = all.find(|program| program.is_file()) else {
        eprintln!("skipped: ETCD names no etcd, and there is none in the PATH");
        return None;
    };
    let asked = Command::new(&program).arg("--version").output().unwrap();
    let version = Version::printed(&String::from_utf8(asked.stdout).unwrap()).unwrap();
    eprintln!("etcd {version}");
    Some((program, version))
}

/// Returns where the tool that restores snapshots is, beside etcd.
pub fn tool(etcd: &Path) -> PathBuf {
    etcd.with_file_name("etcdutl")
}

/// Finds etcd and the tool that restores its snapshots. Returns none, and says so, where one of them is not there.
pub fn find_with_tool() -> Option<(PathBuf, Version)> {
    let found = find()?;
    if !tool(&found.0).is_file() {
        eprintln!("skipped: there is no etcdutl beside {}", found.0.display());
        return None;
    }
    Some(found)
}

/// An etcd that runs until the value is dropped.
pub struct Running(Child);

impl Running {
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Self {
        let output: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        // Even a test that is killed leaves nothing behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
