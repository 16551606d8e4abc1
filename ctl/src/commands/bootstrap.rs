//! `bedplate bootstrap`.

use std::path::PathBuf;
use std::process::ExitCode;

use api::v1alpha1::BootstrapRequest;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use clap::Args;
use tonic::Response;

use super::done::Done;
use super::etcd::recover;
use crate::confirm::confirm;
use crate::fan_out::call_and_show;
use crate::session::Session;

/// Begins a new cluster on one control plane, or recovers a lost one.
#[derive(Debug, Args)]
pub struct Bootstrap {
    /// Begin with the data of this snapshot of etcd, saved by `bedplate etcd snapshot`.
    ///
    /// For a cluster whose etcd is lost. The control plane must have no data of etcd, and no other may run with some: erase
    /// them with `bedplate reset --scope data`. What was written since the snapshot is lost. The other control planes join
    /// by themselves.
    #[arg(long, value_name = "FILE")]
    recover_from: Option<PathBuf>,
    /// The same with a snapshot that the control plane keeps. `bedplate etcd snapshots` lists them.
    #[arg(long, value_name = "NAME", conflicts_with = "recover_from")]
    recover_from_kept: Option<String>,
    /// Put the data that etcd has on the control plane aside. They stay in /var/lib/etcd-bedplate/removed.
    #[arg(long)]
    replace_data: bool,
    /// Do not ask for confirmation of --replace-data.
    #[arg(short, long)]
    yes: bool,
}

impl Bootstrap {
    /// Calls the node.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("a cluster begins on one control plane")?;
        let recovers = self.recover_from.is_some() || self.recover_from_kept.is_some();
        anyhow::ensure!(
            recovers || !self.replace_data,
            "--replace-data is for a recovery; add --recover-from FILE or --recover-from-kept NAME"
        );
        if self.replace_data {
            let what = format!(
                "replace the data that etcd has on {} by those of a snapshot",
                session.names()
            );
            confirm(&what, self.yes)?;
        }
        if let Some(file) = self.recover_from {
            return recover::run(&session, &file, self.replace_data).await;
        }
        if let Some(name) = self.recover_from_kept {
            return recover::run_kept(&session, &name, self.replace_data).await;
        }
        call_and_show(&session, |node| async {
            let mut client = EtcdServiceClient::new(node.channel);
            client.bootstrap(BootstrapRequest {}).await?;
            Ok(Response::new(Done::new("cluster", "", "bootstrapping")))
        })
        .await
    }
}
