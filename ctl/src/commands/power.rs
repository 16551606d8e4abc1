//! `bedplate reboot`, `bedplate shutdown` and `bedplate reset`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{RebootRequest, ResetRequest, ResetScope, ShutdownRequest};
use clap::{Args, ValueEnum};
use tonic::Response;

use super::done::Done;
use crate::confirm::confirm;
use crate::fan_out::call_and_show;
use crate::session::Session;

/// Reboots nodes.
#[derive(Debug, Args)]
pub struct Reboot {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// Shuts nodes down.
#[derive(Debug, Args)]
pub struct Shutdown {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// Wipes nodes.
#[derive(Debug, Args)]
pub struct Reset {
    /// What to wipe.
    #[arg(long, value_enum, default_value_t)]
    scope: Scope,
    /// Shut down afterwards instead of rebooting.
    #[arg(long)]
    shutdown: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// The data that a reset wipes.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Scope {
    /// Identity, keys and machine config: the node comes back in maintenance mode.
    #[default]
    State,
    /// Containers, images, volumes and logs: the node keeps its identity. Also repairs a DATA partition that nothing else does.
    Data,
    /// Both.
    All,
}

impl Reboot {
    /// Asks for confirmation, then calls the nodes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(&format!("reboot {}", session.names()), self.yes)?;
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .reboot(RebootRequest {})
                .await?;
            Ok(Response::new(Done::new("node", "", "rebooting")))
        })
        .await
    }
}

impl Shutdown {
    /// Asks for confirmation, then calls the nodes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(&format!("shut down {}", session.names()), self.yes)?;
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .shutdown(ShutdownRequest {})
                .await?;
            Ok(Response::new(Done::new("node", "", "shutting down")))
        })
        .await
    }
}

impl Reset {
    /// Asks for confirmation, then calls the nodes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let (scope, wiped) = match self.scope {
            Scope::State => (ResetScope::State, "identity, keys and machine config"),
            Scope::Data => (ResetScope::Data, "containers, images, volumes and logs"),
            Scope::All => (
                ResetScope::All,
                "identity, keys, machine config, containers, images, volumes and logs",
            ),
        };
        let then = match (self.shutdown, self.scope) {
            (true, _) => "shut it down",
            (false, Scope::Data) => "reboot it",
            (false, _) => "reboot into maintenance mode",
        };
        confirm(
            &format!("wipe {wiped} of {}, then {then}", session.names()),
            self.yes,
        )?;
        let request = ResetRequest {
            scope: scope.into(),
            shutdown: self.shutdown,
        };
        call_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel).reset(request).await?;
            Ok(Response::new(Done::new("node", "", "resetting")))
        })
        .await
    }
}
