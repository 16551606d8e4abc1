//! `bedplate upgrade status`, `history`, `cancel` and `rollback`.

use std::process::ExitCode;

use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::{
    CancelUpgradeRequest, RollbackRequest, UpgradeHistoryRequest, UpgradeStatus, UpgradeStatusRequest,
    WatchUpgradeRequest,
};
use clap::Args;
use tonic::Response;

use super::show::{History as Shown, status_line};
use crate::confirm::confirm;
use crate::connect::Node;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::stream::follow;

/// Shows the progress of upgrades.
#[derive(Debug, Args)]
pub struct Status {
    /// Follow changes as they happen.
    #[arg(short, long)]
    follow: bool,
}

impl Status {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        if self.follow {
            let call = |node: Node| async {
                UpgradeServiceClient::new(node.channel)
                    .watch(WatchUpgradeRequest {})
                    .await
            };
            return follow(&session, call, |status: &UpgradeStatus| status_line(status)).await;
        }
        call_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .status(UpgradeStatusRequest {})
                .await
        })
        .await
    }
}

/// Shows the outcome of past upgrades.
#[derive(Debug, Args)]
pub struct History {
    /// Include the health and the last lines of the kernel log of failed trials.
    #[arg(long)]
    log: bool,
    /// Maximum number of upgrades to show, the latest first.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: u32,
}

impl History {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let request = UpgradeHistoryRequest { limit: self.limit };
        call_and_show(&session, |node| async {
            let response = UpgradeServiceClient::new(node.channel).history(request).await?;
            Ok(Response::new(Shown::new(response.into_inner(), self.log)))
        })
        .await
    }
}

/// Cancels upgrades.
#[derive(Debug, Args)]
pub struct Cancel {}

impl Cancel {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .cancel(CancelUpgradeRequest {})
                .await
        })
        .await
    }
}

/// Rolls back to the previous system.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

impl Rollback {
    /// Asks for confirmation, then calls the nodes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(
            &format!("reboot {} into the previous system", session.names()),
            self.yes,
        )?;
        call_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .rollback(RollbackRequest {})
                .await
        })
        .await
    }
}
