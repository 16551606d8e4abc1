//! `bedplate containers`.

use std::process::ExitCode;

use api::v1alpha1::container_service_client::ContainerServiceClient;
use api::v1alpha1::{Container, ListContainersRequest, ListContainersResponse};
use clap::Args;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table, bytes};

/// Lists containers.
#[derive(Debug, Args)]
pub struct Containers {}

impl Containers {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async move {
            let mut client =
                ContainerServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.list(ListContainersRequest {}).await
        })
        .await
    }
}

impl Show for ListContainersResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&[
            "NAMESPACE",
            "POD",
            "CONTAINER",
            "STATE",
            "PID",
            "MEMORY",
            "IMAGE",
            "ID",
        ]);
        for container in &self.containers {
            let known = |number: u64, text: String| if number > 0 { text } else { String::new() };
            table.row([
                container.namespace.clone(),
                container.pod.clone(),
                name(container),
                state(container),
                known(container.pid.into(), container.pid.to_string()),
                known(container.memory_bytes, bytes(container.memory_bytes)),
                container.image.clone(),
                short(&container.id),
            ]);
        }
        if self.omitted > 0 {
            table.row([format!("… and {} more", self.omitted)]);
        }
    }
}

fn name(container: &Container) -> String {
    match container.sandbox {
        true => "(sandbox)".to_owned(),
        false => container.name.clone(),
    }
}

fn state(container: &Container) -> String {
    match container.state.as_str() {
        "stopped" => format!("stopped ({})", container.exit_code),
        state => state.to_owned(),
    }
}

/// Shortens the ID of a container of Kubernetes, 64 digits, to what people tell apart; JSON has all of it.
fn short(id: &str) -> String {
    match id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => id.chars().take(12).collect(),
        false => id.to_owned(),
    }
}
