//! `bedplate manifests`.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use tonic::Response;

use super::resources;
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
            let found = resources::list::<Manifest>(node.channel, KIND).await?;
            let named = |(name, manifest)| Manifest { name, ..manifest };
            let mut list: Vec<Manifest> = found.into_iter().map(named).collect();
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
