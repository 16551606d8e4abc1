//! `bedplate net`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{NetworkRequest, NetworkResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Lists network interfaces.
#[derive(Debug, Args)]
pub struct Net {}

impl Net {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.network(NetworkRequest {}).await
        })
        .await
    }
}

impl Show for NetworkResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAME",
            "STATE",
            "ADDRESSES",
            "MAC",
            "MTU",
            "SPEED",
            "RECEIVED",
            "SENT",
            "ERRORS",
        ]);
        for interface in &self.interfaces {
            table.row([
                interface.name.clone(),
                interface.state.clone(),
                interface.addresses.join(" "),
                interface.mac_address.clone(),
                interface.mtu.to_string(),
                if interface.speed_mbits > 0 {
                    format!("{} Mbit/s", interface.speed_mbits)
                } else {
                    String::new()
                },
                bytes(interface.received_bytes),
                bytes(interface.sent_bytes),
                (interface.receive_errors + interface.send_errors).to_string(),
            ]);
        }
    }
}
