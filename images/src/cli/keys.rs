//! `bedplate-image keys`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;
use signing::{PASSWORD_VARIABLE, Protection, create};

use super::{Global, Output};

/// Make signing keys.
#[derive(Debug, clap::Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new key pair in minisign's format: NAME.key, for you alone, and NAME.pub, for everyone.
    New {
        /// Folder for the two files.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Name of the two files, without ending.
        #[arg(long, default_value = "bedplate")]
        name: String,
        /// Do not encrypt the secret key: only the mode of its file protects it.
        #[arg(long)]
        no_password: bool,
    },
}

impl Keys {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let Command::New {
            out,
            name,
            no_password,
        } = self.command;
        let protection = match std::env::var(PASSWORD_VARIABLE) {
            _ if no_password => Protection::None,
            Ok(password) => Protection::Password(password),
            Err(_) if std::io::stdin().is_terminal() => Protection::Ask,
            Err(_) => bail!("no password: give one in {PASSWORD_VARIABLE}, or say --no-password"),
        };
        let (secret, public) = create(&out, &name, protection)?;
        match global.output {
            Output::Json => stdio::line(format_args!(
                "{:#}",
                json!({"secret": secret.to_string_lossy(), "public": public.to_string_lossy()})
            ))?,
            Output::Text => {
                stdio::line(format_args!(
                    "secret key  {} (keep it: what it signs, every node trusts)",
                    secret.display()
                ))?;
                stdio::line(format_args!("public key  {}", public.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
