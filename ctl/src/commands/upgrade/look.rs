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
use crate::ask::confirm;
use crate::connect::Node;
use crate::fan::ask_and_show;
use crate::session::Session;
use crate::stream::follow;

/// Shows how upgrades fare.
#[derive(Debug, Args)]
pub struct Status {
    /// Go on with every change.
    #[arg(short, long)]
    follow: bool,
}

impl Status {
    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        if self.follow {
            let call = |node: Node| async {
                UpgradeServiceClient::new(node.channel)
                    .watch(WatchUpgradeRequest {})
                    .await
            };
            return follow(&session, call, |status: &UpgradeStatus| status_line(status)).await;
        }
        ask_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .status(UpgradeStatusRequest {})
                .await
        })
        .await
    }
}

/// Shows what became of past upgrades.
#[derive(Debug, Args)]
pub struct History {
    /// With the health and the last lines of the kernel's log of failed trials.
    #[arg(long)]
    log: bool,
    /// Only the latest of these many.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: u32,
}

impl History {
    /// Asks and shows.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let request = UpgradeHistoryRequest { limit: self.limit };
        ask_and_show(&session, |node| async {
            let answer = UpgradeServiceClient::new(node.channel).history(request).await?;
            Ok(Response::new(Shown::new(answer.into_inner(), self.log)))
        })
        .await
    }
}

/// Ends upgrades.
#[derive(Debug, Args)]
pub struct Cancel {}

impl Cancel {
    /// Asks the nodes to.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        ask_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .cancel(CancelUpgradeRequest {})
                .await
        })
        .await
    }
}

/// Goes back to the system before.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Do not ask first.
    #[arg(short, long)]
    yes: bool,
}

impl Rollback {
    /// Asks first, then does it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        confirm(
            &format!("restart {} into the system before", session.names()),
            self.yes,
        )?;
        ask_and_show(&session, |node| async {
            UpgradeServiceClient::new(node.channel)
                .rollback(RollbackRequest {})
                .await
        })
        .await
    }
}
