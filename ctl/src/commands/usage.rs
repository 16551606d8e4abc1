//! `bedplate usage`.

use std::process::ExitCode;
use std::time::Duration;

use api::v1alpha1::file_service_client::FileServiceClient;
use api::v1alpha1::{UsageRequest, UsageResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Sums up the sizes of directories.
#[derive(Debug, Args)]
pub struct Usage {
    /// Absolute path of a directory below `/var`, where DATA is mounted; `/var/lib/bedplate` is STATE.
    #[arg(default_value = "/var")]
    path: String,
    /// Levels of directories below it to list.
    #[arg(short, long, value_name = "LEVELS", default_value_t = 1)]
    depth: u32,
}

/// A node may take half a minute.
const PATIENCE: Duration = Duration::from_secs(45);

impl Usage {
    /// Calls the nodes and prints the results.
    pub async fn run(self, mut session: Session) -> anyhow::Result<ExitCode> {
        session.timeout = session.timeout.max(PATIENCE);
        let request = UsageRequest {
            path: self.path,
            depth: self.depth,
        };
        call_and_show(&session, |node| async {
            let mut client = FileServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.usage(request.clone()).await
        })
        .await
    }
}

impl Show for UsageResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["SIZE", "APPARENT", "FILES", "PATH"]);
        for directory in &self.directories {
            table.row([
                bytes(directory.size_bytes),
                bytes(directory.apparent_bytes),
                directory.files.to_string(),
                directory.path.clone(),
            ]);
        }
        let mut note = |text: String| {
            table.row([String::new(), String::new(), String::new(), text]);
        };
        if self.omitted > 0 {
            note(format!("… and {} directories more", self.omitted));
        }
        if self.skipped > 0 {
            note(format!("({} not read, or of other file systems)", self.skipped));
        }
        if self.incomplete {
            note("(took too long: the sums are too small; ask for a smaller directory)".to_owned());
        }
    }
}
