//! `bedplate cluster list` and `show`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde::Serialize;

use super::provisioners;
use crate::local::record::{Record, Records};
use crate::options::Global;
use crate::ui::{self, Format, Table};

/// A cluster as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    state: &'static str,
    #[serde(flatten)]
    record: Option<ShownRecord>,
    nodes: Vec<ShownNode>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRecord {
    provisioner: String,
    image: String,
    endpoint: Option<String>,
    folder: String,
}

/// A node as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownNode {
    name: String,
    role: &'static str,
    address: String,
    api: String,
    state: String,
}

/// Lists all clusters: those that are remembered, and those of which there is only something left.
pub(super) fn list(global: &Global) -> anyhow::Result<ExitCode> {
    let records = Records::open()?;
    let mut names: BTreeSet<String> = records.names().into_iter().collect();
    for provisioner in provisioners(None, &records)? {
        names.extend(provisioner.clusters()?);
    }
    let all = names.iter().map(|name| look(name, &records));
    let all: Vec<Shown> = all.collect::<anyhow::Result<_>>()?;
    if global.output != Format::Table {
        ui::value(global.output, &all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::default();
    table.headings(&["NAME", "STATE", "PROVISIONER", "NODES", "ENDPOINT"]);
    for cluster in &all {
        let record = cluster.record.as_ref();
        table.row([
            cluster.name.clone(),
            cluster.state.to_owned(),
            record
                .map(|record| record.provisioner.clone())
                .unwrap_or_default(),
            cluster.nodes.len().to_string(),
            record
                .and_then(|record| record.endpoint.clone())
                .unwrap_or_default(),
        ]);
    }
    ui::write(table.draw().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Shows one cluster.
pub(super) fn one(name: &str, global: &Global) -> anyhow::Result<ExitCode> {
    let records = Records::open()?;
    let shown = look(name, &records)?;
    if shown.record.is_none() && shown.nodes.is_empty() {
        anyhow::bail!("there is no cluster {name:?}; `bedplate cluster list` shows those there are");
    }
    if global.output != Format::Table {
        ui::value(global.output, &shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::default();
    table.headings(&["NODE", "ROLE", "ADDRESS", "API", "STATE"]);
    for node in shown.nodes {
        table.row([
            node.name,
            node.role.to_owned(),
            node.address,
            node.api,
            node.state,
        ]);
    }
    ui::write(table.draw().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn look(name: &str, records: &Records) -> anyhow::Result<Shown> {
    let record = records.load(name)?;
    let mut observed = BTreeMap::new();
    for provisioner in provisioners(record.as_ref(), records)? {
        observed.extend(provisioner.observe(name)?);
    }
    let planned = record.iter().flat_map(|record| &record.nodes);
    let mut nodes: Vec<ShownNode> = planned
        .map(|node| ShownNode {
            name: node.name.clone(),
            role: if node.control_plane {
                "controlPlane"
            } else {
                "worker"
            },
            address: node.address.to_string(),
            api: node.api(),
            state: observed
                .remove(&node.name)
                .map_or("missing".to_owned(), |state| state.word),
        })
        .collect();
    // What is there without a record has no more than a name.
    nodes.extend(observed.into_iter().map(|(name, state)| ShownNode {
        name,
        role: "",
        address: String::new(),
        api: String::new(),
        state: state.word,
    }));
    let folder = records.of(name).display().to_string();
    Ok(Shown {
        name: name.to_owned(),
        state: state(record.as_ref(), &nodes),
        record: record.map(|record| ShownRecord {
            provisioner: record.provisioner,
            image: record.image,
            endpoint: record.endpoint,
            folder,
        }),
        nodes,
    })
}

fn state(record: Option<&Record>, nodes: &[ShownNode]) -> &'static str {
    match record {
        None => "remains",
        Some(record) if !record.complete => "incomplete",
        Some(_) if nodes.iter().all(|node| node.state == "running") => "running",
        Some(_) => "degraded",
    }
}
