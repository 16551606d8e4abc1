//! Puts rules of the kernel's packet filter in force. Each part of a node has a table of its own.

use std::path::PathBuf;
use std::process::Command;

use async_trait::async_trait;
use state::ControllerError;
use sys::process::Exit;

use crate::children::Children;

/// The rules of the kernel's packet filter.
#[async_trait]
pub trait Rules: Send + Sync {
    /// Puts rules in force, in place of those before: a file for `nft`, which takes it as a whole or not at all.
    async fn apply(&self, rules: &str) -> Result<(), ControllerError>;
}

/// Puts rules in force by the program `nft`.
pub struct Nft {
    children: Children,
    program: PathBuf,
    file: PathBuf,
}

impl Nft {
    /// Makes one that starts the program as one of these children, and writes the rules to a file for it.
    pub fn new(children: Children, program: PathBuf, file: PathBuf) -> Self {
        Self {
            children,
            program,
            file,
        }
    }
}

#[async_trait]
impl Rules for Nft {
    async fn apply(&self, rules: &str) -> Result<(), ControllerError> {
        let (program, file) = (self.program.display(), self.file.display());
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.file, rules)?;
        let mut command = Command::new(&self.program);
        command.arg("-f").arg(&self.file);
        let output = self.children.run_to_end(command).await?;
        match output.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(ControllerError::msg(format!(
                "{program} did not take the rules in {file} ({exit}): {}",
                output.text
            ))),
        }
    }
}
