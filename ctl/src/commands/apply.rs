//! `bedplate apply`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::names::word;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{ApplyConfigRequest, ApplyConfigResponse, ApplyMode};
use clap::{Args, ValueEnum};
use machine_config::Faults;
use text::LoadError;
use zeroize::Zeroizing;

use crate::fan_out::call_and_show;
use crate::patches::{Patches, check};
use crate::session::Session;
use crate::ui::{Show, Table};

/// Applies a machine config to nodes.
#[derive(Debug, Args)]
pub struct Apply {
    /// File with the whole config; - is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Patch of the config: @FILE, or the patch itself. Several are applied in their order.
    #[arg(short = 'p', long, value_name = "PATCH")]
    config_patch: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// How a config takes effect.
#[derive(Debug, Args)]
pub struct How {
    /// How the config takes effect.
    #[arg(short, long, value_enum, default_value_t)]
    mode: Mode,
    /// With --mode try: time after which the config is reverted unless it is applied for good.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = quantity::time)]
    try_timeout: Duration,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
}

impl How {
    /// Makes the request. A node refuses it if its config has another revision than the expected one; any will do if that is
    /// empty.
    pub fn request(&self, yaml: &str, expected_revision: String) -> ApplyConfigRequest {
        let mode = match self.mode {
            Mode::Auto => ApplyMode::Auto,
            Mode::NoReboot => ApplyMode::NoReboot,
            Mode::Staged => ApplyMode::Staged,
            Mode::Try => ApplyMode::Try,
        };
        ApplyConfigRequest {
            yaml: yaml.to_owned(),
            mode: mode.into(),
            dry_run: self.dry_run,
            try_timeout_ms: u64::try_from(self.try_timeout.as_millis()).unwrap_or(u64::MAX),
            expected_revision,
        }
    }
}

/// The way in which a config takes effect.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// Immediately if possible, otherwise by a reboot.
    #[default]
    Auto,
    /// Immediately, or not at all.
    NoReboot,
    /// With the next boot.
    Staged,
    /// Immediately, and reverted unless it is applied for good in time.
    Try,
}

impl Apply {
    /// Validates the config, then applies it to the nodes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let patches = Patches::load(&self.config_patch)?;
        let yaml = match read(&self.file)? {
            Ok(yaml) if !patches.is_empty() => Ok(patches.apply(&self.file.display().to_string(), &yaml)?),
            read => read.and_then(|yaml| check(&yaml).map(|()| yaml)),
        };
        let yaml = yaml.map_err(|faults| {
            let faults = faults.in_file(&self.file.display().to_string());
            anyhow::anyhow!(
                "the machine config is not valid, and was not sent to any node:\n{}",
                faults.trim_end()
            )
        })?;
        let request = self.how.request(&yaml, String::new());
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .apply_config(request.clone())
                .await
        })
        .await
    }
}

/// Reads a config from a file, or from standard input. What is not text is a fault of the config.
pub fn read(path: &Path) -> anyhow::Result<Result<Zeroizing<String>, Faults>> {
    let (name, text) = if path == Path::new("-") {
        let text = text::read(std::io::stdin().lock(), machine_config::LIMIT);
        ("standard input".to_owned(), text)
    } else {
        (
            path.display().to_string(),
            text::load(path, machine_config::LIMIT),
        )
    };
    match text {
        Ok(text) => Ok(Ok(text)),
        Err(LoadError::Text(error)) => Ok(Err(error.into())),
        Err(LoadError::Access(error)) => Err(error).with_context(|| format!("cannot read {name}")),
    }
}

impl Show for ApplyConfigResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["MODE", "REBOOT", "CHANGES", "WARNINGS"]);
        table.row([
            word::<ApplyMode>(self.mode),
            if self.reboot { "yes" } else { "no" }.into(),
            self.changes.join(" "),
            self.warnings.join("; "),
        ]);
    }

    fn detail(&self) -> Option<String> {
        let effect = match (ApplyMode::try_from(self.mode), self.reboot) {
            (_, true) => "takes effect by a reboot",
            (Ok(ApplyMode::Staged), _) => "takes effect with the next boot",
            (Ok(ApplyMode::Try), _) => {
                "takes effect immediately, and is reverted unless it is applied for good"
            }
            _ => "takes effect immediately",
        };
        let mut text = format!("the config {effect}\n");
        if self.changes.is_empty() {
            text.push_str("nothing changes\n");
        }
        for change in &self.changes {
            text.push_str(&format!("  changes {change}\n"));
        }
        for warning in &self.warnings {
            text.push_str(&format!("  warning: {warning}\n"));
        }
        Some(text)
    }
}
