//! `bedplate bootstrap`.

use std::path::PathBuf;
use std::process::ExitCode;

use api::v1alpha1::BootstrapRequest;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use clap::Args;
use tonic::Response;

use super::done::Done;
use super::etcd::recover;
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
}

impl Bootstrap {
    /// Calls the node.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("a cluster begins on one control plane")?;
        if let Some(file) = self.recover_from {
            return recover::run(&session, &file).await;
        }
        call_and_show(&session, |node| async {
            let mut client = EtcdServiceClient::new(node.channel);
            client.bootstrap(BootstrapRequest {}).await?;
            Ok(Response::new(Done::new("cluster", "", "bootstrapping")))
        })
        .await
    }
}
