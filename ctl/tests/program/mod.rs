//! The real program in a folder of its own.

#[allow(dead_code, reason = "each test program uses some of it")]
pub mod cluster;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder that is home and working directory of the program.
pub struct Home {
    folder: TempDir,
}

/// The output of one run of the program.
#[allow(dead_code, reason = "each test program uses some of it")]
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    code: Option<i32>,
}

#[allow(dead_code, reason = "each test program uses some of it")]
impl Home {
    /// Makes an empty one.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { folder }
    }

    /// Returns the path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads a file in it.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Makes a command that runs the program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env_remove("BEDPLATE_CONFIG")
            .env_remove("BEDPLATE_CONTEXT")
            .env_remove("SSL_CERT_FILE")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments)
    }

    /// Runs the program to its end, with these variables in its environment.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        let output = command.envs(variables.iter().copied()).output();
        let output = output.expect("the program starts");
        Ran {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

#[allow(dead_code, reason = "each test program uses some of it")]
impl Ran {
    /// Expects that all went well.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Expects that something failed, and was said.
    #[track_caller]
    pub fn failure(self) -> Self {
        assert_eq!(self.code, Some(1), "{self:#?}");
        self
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Expects that the command line was wrong.
    #[track_caller]
    pub fn usage(self) -> Self {
        assert_eq!(self.code, Some(2), "{self:#?}");
        self
    }

    /// Returns whether the program succeeded.
    pub fn went_well(&self) -> bool {
        self.code == Some(0)
    }

    /// Reads standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
