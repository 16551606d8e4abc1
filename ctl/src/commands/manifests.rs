//! `bedplate manifests`.

use std::process::ExitCode;

use api::v1alpha1::ListResourcesRequest;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use clap::Args;
use serde::{Deserialize, Serialize};
use tonic::{Code, Response, Status};

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::ui::{Show, Table};

/// The kind of what it shows.
const KIND: &str = "ManifestStatus";

/// Shows the manifests of the cluster.
#[derive(Debug, Args)]
pub struct Manifests {}

/// A manifest, as a control plane has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    name: String,
    order: u32,
    source: String,
    objects: u32,
    state: String,
    message: Option<String>,
}

/// Those of a node, in the order in which they are applied.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct List(Vec<Manifest>);

impl Manifests {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        call_and_show(&session, |node| async {
            let mut client = ResourceServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            let request = ListResourcesRequest { kind: KIND.into() };
            let found = match client.list(request).await {
                Ok(found) => found.into_inner().resources,
                // A node that is no control plane has none.
                Err(status) if status.code() == Code::NotFound => Vec::new(),
                Err(status) => return Err(status),
            };
            let mut list = Vec::new();
            for resource in found {
                let read = serde_json::from_str::<Manifest>(&resource.value_json);
                let read = read.map_err(|error| {
                    Status::internal(format!(
                        "the node's {KIND} {} cannot be read: {error}",
                        resource.id
                    ))
                })?;
                list.push(Manifest {
                    name: resource.id,
                    ..read
                });
            }
            list.sort_by_key(|manifest| manifest.order);
            Ok(Response::new(List(list)))
        })
        .await
    }
}

impl Show for List {
    fn show(&self, table: &mut Table) {
        table.headings(&["NAME", "STATE", "OBJECTS", "SOURCE", "MESSAGE"]);
        for manifest in &self.0 {
            table.row([
                manifest.name.clone(),
                manifest.state.clone(),
                manifest.objects.to_string(),
                manifest.source.clone(),
                manifest.message.clone().unwrap_or_default(),
            ]);
        }
    }
}
