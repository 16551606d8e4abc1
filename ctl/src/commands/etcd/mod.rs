//! `bedplate etcd`.

pub mod recover;
mod show;
mod snapshot;

use std::process::ExitCode;

use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use api::v1alpha1::{
    EtcdAlarmsRequest, EtcdDefragmentRequest, EtcdDisarmRequest, EtcdForfeitLeadershipRequest,
    EtcdLeaveRequest, EtcdMembersRequest, EtcdRemoveMemberRequest, EtcdSnapshotsRequest, EtcdStatusRequest,
};
use clap::{Args, Subcommand};
use tonic::Response;

use super::done::Done;
use crate::confirm::confirm;
use crate::fan_out::call_and_show;
use crate::session::Session;

/// Shows and changes the etcd of control planes.
#[derive(Debug, Subcommand)]
pub enum Etcd {
    /// List the members of etcd, and which of them answer.
    Members,
    /// Show the state of each node's own etcd.
    Status,
    /// Save a snapshot of etcd's data in a file.
    ///
    /// The file has mode 0600: it holds all secrets of the cluster.
    Snapshot(snapshot::Snapshot),
    /// List the snapshots that nodes have taken on a schedule, the newest first.
    Snapshots,
    /// Remove another member from etcd.
    ///
    /// For a node that is gone for good. One that runs joins again by itself, so reset it instead: it leaves etcd first. It is
    /// refused where the others would lose their quorum.
    RemoveMember(RemoveMember),
    /// Make nodes leave etcd until they are started again.
    Leave(Yes),
    /// Make another member the leader, if the node's own is the leader.
    ForfeitLeadership,
    /// Give back to the disk what etcd no longer needs.
    ///
    /// The node's etcd does not answer meanwhile: take one node after the other.
    Defrag,
    /// List the alarms of etcd, or end them.
    Alarms(Alarms),
}

/// Removes a member.
#[derive(Debug, Args)]
pub struct RemoveMember {
    /// Name of the member's node, or its ID.
    member: String,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// A command that asks first.
#[derive(Debug, Args)]
pub struct Yes {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// Lists or ends alarms.
#[derive(Debug, Args)]
pub struct Alarms {
    /// End all alarms. Until then etcd takes no writes after it ran out of space: run `bedplate etcd defrag` first.
    #[arg(long)]
    disarm: bool,
}

impl Etcd {
    /// Runs the command.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self {
            Self::Members => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_members(EtcdMembersRequest {}).await
                })
                .await
            }
            Self::Status => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_status(EtcdStatusRequest {}).await
                })
                .await
            }
            Self::Snapshot(snapshot) => snapshot.run(session).await,
            Self::Snapshots => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_snapshots(EtcdSnapshotsRequest {}).await
                })
                .await
            }
            Self::RemoveMember(remove) => remove.run(session).await,
            Self::Leave(asked) => {
                let what = format!("make {} leave etcd until the next start", session.names());
                confirm(&what, asked.yes)?;
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_leave(EtcdLeaveRequest {}).await?;
                    Ok(Response::new(Done::new("etcd", "", "left")))
                })
                .await
            }
            Self::ForfeitLeadership => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client
                        .etcd_forfeit_leadership(EtcdForfeitLeadershipRequest {})
                        .await
                })
                .await
            }
            Self::Defrag => {
                session.one_node("a node's etcd does not answer meanwhile: take one after the other")?;
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_defragment(EtcdDefragmentRequest {}).await?;
                    Ok(Response::new(Done::new("etcd", "", "defragmented")))
                })
                .await
            }
            Self::Alarms(Alarms { disarm: false }) => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_alarms(EtcdAlarmsRequest {}).await
                })
                .await
            }
            Self::Alarms(Alarms { disarm: true }) => {
                call_and_show(&session, |node| async {
                    let mut client = EtcdServiceClient::new(node.channel);
                    client.etcd_disarm(EtcdDisarmRequest {}).await
                })
                .await
            }
        }
    }
}

impl RemoveMember {
    async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("one member is asked to remove another")?;
        confirm(&format!("remove {} from etcd", self.member), self.yes)?;
        call_and_show(&session, |node| {
            let member = self.member.clone();
            async move {
                let mut client = EtcdServiceClient::new(node.channel);
                client
                    .etcd_remove_member(EtcdRemoveMemberRequest { member })
                    .await
            }
        })
        .await
    }
}
