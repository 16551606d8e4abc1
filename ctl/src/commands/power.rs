//! `bedplate reboot`, `bedplate shutdown` and `bedplate reset`.

use std::process::ExitCode;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{RebootRequest, ResetRequest, ResetScope, ShutdownRequest};
use clap::{Args, ValueEnum};
use tonic::Response;

use super::Done;
use crate::ask::confirm;
use crate::fan::ask_and_show;
use crate::session::Session;

/// Restarts nodes.
#[derive(Debug, Args)]
pub struct Reboot {
    /// Do not ask first.
    #[arg(short, long)]
    yes: bool,
}

/// Switches nodes off.
#[derive(Debug, Args)]
pub struct Shutdown {
    /// Do not ask first.
    #[arg(short, long)]
    yes: bool,
}

/// Wipes nodes.
#[derive(Debug, Args)]
pub struct Reset {
    /// What is wiped.
    #[arg(long, value_enum, default_value_t)]
    scope: Scope,
    /// Switch off afterwards, instead of restarting.
    #[arg(long)]
    shutdown: bool,
    /// Do not ask first.
    #[arg(short, long)]
    yes: bool,
}

/// What a reset wipes.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Scope {
    /// Identity, keys and machine config: the node comes back in maintenance mode.
    #[default]
    State,
    /// Containers, images, volumes and logs: the node comes back as the same, also from a DATA that nothing else repairs.
    Data,
    /// All of it.
    All,
}

impl Reboot {
    /// Asks first, then does it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(&format!("restart {}", session.names()), self.yes)?;
        ask_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .reboot(RebootRequest {})
                .await?;
            Ok(Response::new(Done::new("node", "", "restarts")))
        })
        .await
    }
}

impl Shutdown {
    /// Asks first, then does it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(&format!("switch {} off", session.names()), self.yes)?;
        ask_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel)
                .shutdown(ShutdownRequest {})
                .await?;
            Ok(Response::new(Done::new("node", "", "switches off")))
        })
        .await
    }
}

impl Reset {
    /// Asks first, then does it.
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
            (true, _) => "switch it off",
            (false, Scope::Data) => "restart it",
            (false, _) => "restart into maintenance mode",
        };
        confirm(
            &format!("wipe {wiped} of {}, then {then}", session.names()),
            self.yes,
        )?;
        let request = ResetRequest {
            scope: scope.into(),
            shutdown: self.shutdown,
        };
        ask_and_show(&session, |node| async {
            MachineServiceClient::new(node.channel).reset(request).await?;
            Ok(Response::new(Done::new("node", "", "wipes itself")))
        })
        .await
    }
}
