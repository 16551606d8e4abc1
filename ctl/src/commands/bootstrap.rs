//! `bedplate bootstrap`.

use std::process::ExitCode;

use api::v1alpha1::BootstrapRequest;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use clap::Args;
use tonic::Response;

use super::done::Done;
use crate::fan_out::call_and_show;
use crate::session::Session;

/// Begins a new cluster on one control plane.
#[derive(Debug, Args)]
pub struct Bootstrap {}

impl Bootstrap {
    /// Calls the node.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("a cluster begins on one control plane")?;
        call_and_show(&session, |node| async {
            let mut client = EtcdServiceClient::new(node.channel);
            client.bootstrap(BootstrapRequest {}).await?;
            Ok(Response::new(Done::new("cluster", "", "bootstrapping")))
        })
        .await
    }
}
