//! `bedplate netstat`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{SocketsRequest, SocketsResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table};

/// Lists sockets.
#[derive(Debug, Args)]
pub struct Netstat {
    /// Also list connections, not only sockets that listen.
    #[arg(short, long)]
    all: bool,
}

impl Netstat {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let all = self.all;
        call_and_show(&session, |node| async move {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.sockets(SocketsRequest { all }).await
        })
        .await
    }
}

impl Show for SocketsResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "PROTO", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "STATE", "PID", "PROCESS", "SERVICE",
        ]);
        let or_dash = |text: &str| match text {
            "" | "0" => "-".to_owned(),
            text => text.to_owned(),
        };
        for socket in &self.sockets {
            table.row([
                socket.protocol.clone(),
                socket.receive_queue.to_string(),
                socket.send_queue.to_string(),
                any_port(&socket.local),
                any_port(&socket.remote),
                socket.state.clone(),
                or_dash(&socket.pid.to_string()),
                or_dash(&socket.process),
                or_dash(&socket.service),
            ]);
        }
        if self.omitted > 0 {
            table.row([format!("… and {} more", self.omitted)]);
        }
    }
}

/// Writes port 0, which stands for any, as `*`.
fn any_port(address: &str) -> String {
    match address.strip_suffix(":0") {
        Some(address) => format!("{address}:*"),
        None => address.to_owned(),
    }
}
