//! `bedplate get`.

use std::process::ExitCode;

use api::names::word;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use api::v1alpha1::{
    GetResourceRequest, ListResourcesRequest, Resource, ResourceKind, WatchEvent, WatchResourcesRequest,
    WatchResourcesResponse,
};
use clap::Args;
use serde::Serialize;
use tonic::Response;

use crate::connect::MAX_RESPONSE;
use crate::fan_out::call_and_show;
use crate::session::Session;
use crate::stream::follow;
use crate::ui::{self, Format, Show, Table};

/// Shows or watches resources.
#[derive(Debug, Args)]
pub struct Get {
    /// Kind of the resources, in any case; without one, the kinds are listed.
    kind: Option<String>,
    /// ID of a single resource of that kind.
    id: Option<String>,
    /// Watch for changes.
    #[arg(short, long, requires = "kind")]
    watch: bool,
}

/// A resource with its value as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceView {
    kind: String,
    id: String,
    version: u64,
    owner: String,
    value: serde_json::Value,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct One(ResourceView);

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Many(Vec<ResourceView>);

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Kinds(Vec<ResourceKind>);

impl Get {
    /// Calls the nodes and prints the results.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let (kind, id) = (self.kind.unwrap_or_default(), self.id.unwrap_or_default());
        if self.watch {
            return watch(&session, kind, id).await;
        }
        let client = |node: crate::connect::Node| {
            ResourceServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE)
        };
        if !id.is_empty() {
            let request = GetResourceRequest { kind, id };
            return call_and_show(&session, |node| async {
                let found = client(node).get(request.clone()).await?.into_inner();
                Ok(Response::new(One(found.resource.unwrap_or_default().into())))
            })
            .await;
        }
        let request = ListResourcesRequest { kind };
        if request.kind.is_empty() {
            return call_and_show(&session, |node| async {
                let found = client(node).list(request.clone()).await?.into_inner();
                Ok(Response::new(Kinds(found.kinds)))
            })
            .await;
        }
        call_and_show(&session, |node| async {
            let found = client(node).list(request.clone()).await?.into_inner();
            Ok(Response::new(Many(
                found.resources.into_iter().map(ResourceView::from).collect(),
            )))
        })
        .await
    }
}

async fn watch(session: &Session, kind: String, id: String) -> anyhow::Result<ExitCode> {
    if session.format == Format::Table {
        ui::line(&format!(
            "{:<8} {:<20} {:<24} {:>7} VALUE",
            "EVENT", "KIND", "ID", "VERSION"
        ))?;
    }
    let request = WatchResourcesRequest { kind, id };
    let call = move |node: crate::connect::Node| {
        let request = request.clone();
        async move {
            let mut client = ResourceServiceClient::new(node.channel).max_decoding_message_size(MAX_RESPONSE);
            client.watch(request).await
        }
    };
    follow(session, call, |event: &WatchResourcesResponse| {
        let resource = event.resource.clone().unwrap_or_default();
        let event = word::<WatchEvent>(event.event);
        let line = format!(
            "{event:<8} {:<20} {:<24} {:>7} {}",
            resource.kind, resource.id, resource.version, resource.value_json
        );
        ui::clean(line.trim_end().trim_end_matches('0').trim_end())
    })
    .await
}

impl From<Resource> for ResourceView {
    fn from(resource: Resource) -> Self {
        Self {
            // A value that is not JSON is shown as text.
            value: serde_json::from_str(&resource.value_json).unwrap_or(resource.value_json.into()),
            kind: resource.kind,
            id: resource.id,
            version: resource.version,
            owner: resource.owner,
        }
    }
}

impl ResourceView {
    fn row(&self, table: &mut Table) {
        table.headings(&["KIND", "ID", "VERSION", "OWNER", "VALUE"]);
        let value = self.value.to_string();
        let short = match value.char_indices().nth(MOST) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        };
        table.row([
            self.kind.clone(),
            self.id.clone(),
            self.version.to_string(),
            self.owner.clone(),
            short,
        ]);
    }
}

/// Longest value in a table, in characters; JSON and YAML show all of it.
const MOST: usize = 120;

impl Show for One {
    fn show(&self, table: &mut Table) {
        self.0.row(table);
    }

    fn detail(&self) -> Option<String> {
        yaml::to_string(&self.0).ok()
    }
}

impl Show for Many {
    fn show(&self, table: &mut Table) {
        table.headings(&["KIND", "ID", "VERSION", "OWNER", "VALUE"]);
        for resource in &self.0 {
            resource.row(table);
        }
    }
}

impl Show for Kinds {
    fn show(&self, table: &mut Table) {
        table.headings(&["KIND", "COUNT"]);
        for kind in &self.0 {
            table.row([kind.kind.clone(), kind.count.to_string()]);
        }
    }
}
