//! `bedplate context`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pki::{Certificate, Moment};
use serde::Serialize;

use crate::address::{Address, BadAddress};
use crate::ask::confirm;
use crate::config::{self, ClientConfig, Context as Entry};
use crate::options::Global;
use crate::ui::{self, Format, Show, Table, moment};
use crate::written;

/// Chooses and edits contexts.
#[derive(Debug, Subcommand)]
pub enum Context {
    /// List contexts.
    List,
    /// Make a context the current one.
    Use(Name),
    /// Show a context, without its key.
    Show(MaybeName),
    /// Add a context from a certificate, a key and an authority; --nodes names its nodes.
    Add(Add),
    /// Take in the contexts of another client's file, such as one made by `gen config`.
    Merge(Merge),
    /// Set the nodes that a context asks when none are named.
    ///
    /// All of them are asked at once, as with --nodes. Without any, the first endpoint that answers is asked. The context is
    /// the current one, or the one named by --context.
    #[command(visible_alias = "node")]
    Nodes(Nodes),
    /// Set where a context's cluster is reached: the first of these that answers.
    #[command(visible_alias = "endpoint")]
    Endpoints(Endpoints),
    /// Remove a context, and the key in it.
    Remove(Remove),
}

/// Names a context.
#[derive(Debug, Args)]
pub struct Name {
    /// The context's name.
    name: String,
}

/// Names a context, or not.
#[derive(Debug, Args)]
pub struct MaybeName {
    /// The context's name; the current one unless given.
    name: Option<String>,
}

/// Adds a context.
#[derive(Debug, Args)]
pub struct Add {
    /// The context's name.
    name: String,
    /// Where to reach the cluster.
    #[arg(
        long = "at",
        required = true,
        value_delimiter = ',',
        value_name = "HOST[:PORT],…"
    )]
    at: Vec<String>,
    /// The cluster's authority, in PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The client's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The client's key, in PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write over a context of that name.
    #[arg(long)]
    force: bool,
}

/// Takes contexts in.
#[derive(Debug, Args)]
pub struct Merge {
    /// The other client's file.
    file: PathBuf,
    /// Write over contexts of the same names.
    #[arg(long)]
    force: bool,
}

/// Sets a context's nodes.
#[derive(Debug, Args)]
pub struct Nodes {
    /// Names or addresses of the nodes.
    #[arg(value_name = "HOST[:PORT]", value_delimiter = ',', required_unless_present = "none", value_parser = checked)]
    hosts: Vec<String>,
    /// The context has no nodes: ask its endpoints.
    #[arg(long, conflicts_with = "hosts")]
    none: bool,
}

/// Sets a context's endpoints.
#[derive(Debug, Args)]
pub struct Endpoints {
    /// Where to reach the cluster.
    #[arg(value_name = "HOST[:PORT]", value_delimiter = ',', required = true, value_parser = checked)]
    hosts: Vec<String>,
}

/// Removes a context.
#[derive(Debug, Args)]
pub struct Remove {
    /// The context's name.
    name: String,
    /// Do not ask first.
    #[arg(short, long)]
    yes: bool,
}

/// What is shown of a context.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    current: bool,
    endpoints: Vec<String>,
    nodes: Vec<String>,
    user: String,
    roles: Vec<String>,
    expires: String,
    authority: String,
}

impl Context {
    /// Does it.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let path = config::path(global.config.as_deref())?;
        let mut file = config::load(&path)?.unwrap_or_default();
        match self {
            Self::List => {
                let all = file
                    .contexts
                    .iter()
                    .map(|(name, entry)| describe(&file, name, entry));
                let all: Vec<Shown> = all.collect::<anyhow::Result<_>>()?;
                return print(global.output, &all, || table(&all));
            }
            Self::Show(MaybeName { name }) => {
                let name = chosen(name, global, &file)?;
                let shown = describe(&file, &name, file.context(&name)?)?;
                return print(global.output, &shown, || table(std::slice::from_ref(&shown)));
            }
            Self::Use(Name { name }) => {
                file.context(&name)?;
                file.current = Some(name);
            }
            Self::Nodes(Nodes { hosts, none: _ }) => {
                let name = chosen(None, global, &file)?;
                file.context_mut(&name)?.nodes = hosts;
            }
            Self::Endpoints(Endpoints { hosts }) => {
                let name = chosen(None, global, &file)?;
                file.context_mut(&name)?.endpoints = hosts;
            }
            Self::Add(add) => add.run(&mut file, &global.nodes)?,
            Self::Merge(merge) => merge.run(&mut file)?,
            Self::Remove(Remove { name, yes }) => {
                file.context(&name)?;
                confirm(
                    &format!("remove context {name} with its key from {}", path.display()),
                    yes,
                )?;
                file.contexts.remove(&name);
                file.current = file.current.filter(|current| *current != name);
            }
        }
        config::save(&path, &file)?;
        ui::note(&match &file.current {
            Some(current) => format!("{} is written; the current context is {current}", path.display()),
            None => format!(
                "{} is written; choose a context by `bedplate context use`",
                path.display()
            ),
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the context's name: as given, by --context, or the current one.
fn chosen(name: Option<String>, global: &Global, file: &ClientConfig) -> anyhow::Result<String> {
    name.or_else(|| global.context.clone())
        .or_else(|| file.current.clone())
        .context("no context is the current one: name one")
}

/// Checks where a node is, and keeps it as it was typed.
fn checked(text: &str) -> Result<String, BadAddress> {
    text.parse::<Address>().map(|_| text.to_owned())
}

impl Add {
    fn run(self, file: &mut ClientConfig, nodes: &[String]) -> anyhow::Result<()> {
        for address in self.at.iter().chain(nodes) {
            address.parse::<Address>()?;
        }
        let entry = Entry {
            endpoints: self.at,
            nodes: nodes.to_vec(),
            ca: written::load(&self.ca)?.to_string(),
            cert: written::load(&self.cert)?.to_string(),
            key: written::load(&self.key)?,
        };
        insert(file, self.name, entry, self.force)
    }
}

impl Merge {
    fn run(self, file: &mut ClientConfig) -> anyhow::Result<()> {
        let other = config::load(&self.file)?;
        let other = other.with_context(|| format!("there is no file {}", self.file.display()))?;
        for (name, entry) in other.contexts {
            insert(file, name, entry, self.force)?;
        }
        // What one has just taken in is what one wants to use; an older choice is kept.
        file.current = file.current.take().or(other.current);
        Ok(())
    }
}

/// Takes a context in, if its parts belong together.
fn insert(file: &mut ClientConfig, name: String, entry: Entry, force: bool) -> anyhow::Result<()> {
    if file.contexts.get(&name).is_some_and(|old| *old != entry) && !force {
        anyhow::bail!("there is a context {name:?} already; --force writes over it");
    }
    let now = Moment::of_host(SystemTime::now());
    let flaws = pki::check::client(&entry.ca, &entry.cert, &entry.key, now);
    if !flaws.is_empty() {
        let flaws: Vec<String> = flaws
            .iter()
            .map(|(field, flaw)| format!("{field} {flaw}"))
            .collect();
        anyhow::bail!("context {name:?} is of no use: {}", flaws.join("; "));
    }
    pki::Client::mutual(&entry.ca, &entry.cert, &entry.key)
        .map(drop)
        .with_context(|| format!("context {name:?} is of no use"))?;
    file.current.get_or_insert_with(|| name.clone());
    file.contexts.insert(name, entry);
    Ok(())
}

fn describe(file: &ClientConfig, name: &str, entry: &Entry) -> anyhow::Result<Shown> {
    let broken = || format!("context {name:?} is broken");
    let certificate = Certificate::from_pem(&entry.cert, "its certificate").with_context(broken)?;
    let authority = Certificate::from_pem(&entry.ca, "its authority").with_context(broken)?;
    let details = certificate.details();
    Ok(Shown {
        name: name.to_owned(),
        current: file.current.as_deref() == Some(name),
        endpoints: entry.endpoints.clone(),
        nodes: entry.nodes.clone(),
        user: details.name.clone(),
        roles: details.organizations.clone(),
        expires: moment(details.not_after),
        authority: authority.fingerprint().to_string(),
    })
}

fn print<T: Serialize>(format: Format, value: &T, table: impl FnOnce() -> Table) -> anyhow::Result<ExitCode> {
    match format {
        Format::Table => ui::write(table().draw().as_bytes())?,
        format => ui::value(format, value)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(all: &[Shown]) -> Table {
    let mut table = Table::default();
    table.headings(&["CURRENT", "NAME", "ENDPOINTS", "NODES", "USER", "ROLE", "EXPIRES"]);
    for context in all {
        context.show(&mut table);
    }
    table
}

impl Show for Shown {
    fn show(&self, table: &mut Table) {
        table.row([
            if self.current { "*".into() } else { String::new() },
            self.name.clone(),
            self.endpoints.join(" "),
            self.nodes.join(" "),
            self.user.clone(),
            self.roles.join(" "),
            self.expires.clone(),
        ]);
    }
}
