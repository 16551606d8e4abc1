//! `bedplate disks`.

use std::process::ExitCode;

use api::v1alpha1::stats_service_client::StatsServiceClient;
use api::v1alpha1::{DisksRequest, DisksResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Lists disks and partitions.
#[derive(Debug, Args)]
pub struct Disks {}

impl Disks {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = StatsServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.disks(DisksRequest {}).await
        })
        .await
    }
}

impl Show for DisksResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAME", "LABEL", "SIZE", "START", "READ", "WRITTEN", "KIND", "MODEL",
        ]);
        for disk in &self.disks {
            let traits = [
                (disk.removable, "removable"),
                (disk.rotational, "rotational"),
                (disk.read_only, "read-only"),
            ];
            let traits: Vec<&str> = traits
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, word)| *word)
                .collect();
            table.row([
                disk.name.clone(),
                String::new(),
                bytes(disk.size_bytes),
                String::new(),
                bytes(disk.read_bytes),
                bytes(disk.written_bytes),
                format!("disk {}", traits.join(" ")).trim_end().to_owned(),
                disk.model.clone(),
            ]);
            for partition in &disk.partitions {
                table.row([
                    format!("  {}", partition.name),
                    partition.label.clone(),
                    bytes(partition.size_bytes),
                    bytes(partition.start_bytes),
                    String::new(),
                    String::new(),
                    "partition".into(),
                    String::new(),
                ]);
            }
        }
    }
}
