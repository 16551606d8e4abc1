//! Targets and credentials of one run: the command line and the client config combined.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use pki::{Certificate, Client, Fingerprint};

use crate::address::{Address, BadAddress};
use crate::config::{self, Context};
use crate::options::Global;
use crate::tunnel::Through;
use crate::ui::{self, Format};

/// One run of a command that calls nodes.
#[derive(Debug)]
pub struct Session {
    /// The nodes to call.
    pub targets: Targets,
    /// The output format.
    pub format: Format,
    /// Time that a node has to answer.
    pub timeout: Duration,
    /// The endpoints that the nodes are called through; none if they are called directly.
    pub through: Option<Through>,
    trust: Trust,
}

/// The nodes to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All of these.
    All(Vec<Address>),
    /// The first of these that answers.
    FirstOf(Vec<Address>),
}

/// Which node certificates to trust, and which client certificate to present.
#[derive(Debug)]
enum Trust {
    Context(Context),
    /// A worker that has not joined: identified by its fingerprint, and it requires a client certificate.
    ContextPinned(Context, Fingerprint),
    Pinned(Fingerprint),
    Anybody,
}

/// Time before the expiry of the client certificate from which on a warning is printed.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86400);

impl Session {
    /// Combines the command line and the client config.
    pub fn open(global: &Global) -> anyhow::Result<Self> {
        let alone = global.insecure || global.fingerprint.is_some();
        let context = find_context(global, alone)?;
        if context.is_none() && !alone {
            return Err(no_context(global));
        }
        let targets = targets(global, context.as_ref())?;
        let through = through(global, context.as_ref(), alone)?;
        let trust = match (global.insecure, global.fingerprint) {
            (true, _) => Trust::Anybody,
            (false, Some(fingerprint)) => match context {
                Some(context) => Trust::ContextPinned(context, fingerprint),
                None => Trust::Pinned(fingerprint),
            },
            (false, None) => Trust::Context(context.ok_or_else(|| no_context(global))?),
        };
        if let Trust::Context(context) = &trust {
            check_dates(context, SystemTime::now())?;
        }
        Ok(Self {
            targets,
            format: global.output,
            timeout: global.timeout,
            through,
            trust,
        })
    }

    /// Calls these nodes with a context that is in no client config yet.
    pub fn of_context(context: Context, nodes: Vec<Address>, timeout: Duration, format: Format) -> Self {
        Session {
            targets: Targets::All(nodes),
            format,
            timeout,
            through: None,
            trust: Trust::Context(context),
        }
    }

    /// Waits at least so long for an answer, whatever the usual time is: for calls whose answer takes its time on a node that
    /// is well.
    pub fn patient(self, least: Duration) -> Self {
        Session {
            timeout: self.timeout.max(least),
            ..self
        }
    }

    /// Returns the TLS settings for one connection.
    pub fn client(&self) -> Result<Client, pki::Error> {
        match &self.trust {
            Trust::Context(context) => Client::mutual(&context.ca, &context.cert, &context.key),
            Trust::ContextPinned(context, fingerprint) => {
                Client::mutual_pinned(*fingerprint, &context.cert, &context.key)
            }
            Trust::Pinned(fingerprint) => Client::pinned(*fingerprint),
            Trust::Anybody => Client::unverified(),
        }
    }

    /// Checks that the command calls one node, because of `why`.
    ///
    /// # Errors
    ///
    /// Several nodes, named.
    pub fn one_node(&self, why: &str) -> anyhow::Result<()> {
        match &self.targets {
            Targets::All(list) if list.len() > 1 => {
                anyhow::bail!("{why}, not {}: name one with --nodes", self.names())
            }
            Targets::All(_) | Targets::FirstOf(_) => Ok(()),
        }
    }

    /// Returns the nodes, or the endpoints.
    pub fn addresses(&self) -> &[Address] {
        let (Targets::All(list) | Targets::FirstOf(list)) = &self.targets;
        list
    }

    /// Names the nodes, for the confirmation of a destructive command.
    pub fn names(&self) -> String {
        let (Targets::All(list) | Targets::FirstOf(list)) = &self.targets;
        let names: Vec<String> = list.iter().map(ToString::to_string).collect();
        match self.targets {
            Targets::All(_) => names.join(", "),
            Targets::FirstOf(_) => names.join(" or "),
        }
    }
}

/// Finds the context to use. A missing one is an error only if it was named, and if the call cannot be made `alone`, without
/// a context.
fn find_context(global: &Global, alone: bool) -> anyhow::Result<Option<Context>> {
    let path = config::path(global.config.as_deref())?;
    let Some(file) = config::load(&path)? else {
        return match (&global.config, &global.context) {
            _ if alone => Ok(None),
            (None, None) => Ok(None),
            (Some(_), _) => anyhow::bail!("{} does not exist", path.display()),
            (None, Some(name)) => {
                anyhow::bail!("no context {name:?}: {} does not exist", path.display())
            }
        };
    };
    match global.context.as_deref().or(file.current.as_deref()) {
        Some(name) => {
            let found = file
                .context(name)
                .with_context(|| format!("in {}", path.display()))?;
            Ok(Some(found.clone()))
        }
        None => Ok(None),
    }
}

fn no_context(global: &Global) -> anyhow::Error {
    let path = config::path(global.config.as_deref());
    let path = path.map_or_else(
        |_| "the client config".to_owned(),
        |path| path.display().to_string(),
    );
    anyhow::anyhow!(
        "no current context in {path}\n  \
         hint: generate a cluster with `bedplate gen config` and add it with `bedplate context merge client.yaml`; \
         use --fingerprint or --insecure for a node in maintenance mode"
    )
}

fn parse(list: &[String]) -> Result<Vec<Address>, BadAddress> {
    list.iter().map(|text| text.parse()).collect()
}

/// Returns what the nodes are called through: the endpoints named beside them, or those of a context that says so.
fn through(global: &Global, context: Option<&Context>, alone: bool) -> anyhow::Result<Option<Through>> {
    if !global.endpoint.is_empty() {
        if global.nodes.is_empty() {
            return Ok(None);
        }
        if alone {
            anyhow::bail!(
                "a node of --fingerprint or --insecure is called directly: an endpoint leads only to nodes that its \
                 cluster vouches for; leave --endpoint out"
            );
        }
        return Ok(Some(Through::new(parse(&global.endpoint)?)));
    }
    let context = context.filter(|context| context.through_endpoints && !alone);
    let Some(context) = context.filter(|context| !(global.nodes.is_empty() && context.nodes.is_empty()))
    else {
        return Ok(None);
    };
    if context.endpoints.is_empty() {
        anyhow::bail!(
            "the context calls nodes through its endpoints, and has none; set them with `bedplate context endpoints`"
        );
    }
    Ok(Some(Through::new(parse(&context.endpoints)?)))
}

fn targets(global: &Global, context: Option<&Context>) -> anyhow::Result<Targets> {
    let of_context = |list: fn(&Context) -> &Vec<String>| context.map(list).filter(|list| !list.is_empty());
    if !global.nodes.is_empty() {
        return Ok(Targets::All(parse(&global.nodes)?));
    }
    if !global.endpoint.is_empty() {
        return Ok(Targets::FirstOf(parse(&global.endpoint)?));
    }
    if let Some(nodes) = of_context(|context| &context.nodes) {
        return Ok(Targets::All(parse(nodes)?));
    }
    if let Some(endpoints) = of_context(|context| &context.endpoints) {
        return Ok(Targets::FirstOf(parse(endpoints)?));
    }
    anyhow::bail!("no nodes to call: use --nodes, or add endpoints or nodes to the context")
}

/// Checks the client's own certificate before anything is tried.
fn check_dates(context: &Context, now: SystemTime) -> anyhow::Result<()> {
    let certificate = Certificate::from_pem(&context.cert, "the context's certificate")?;
    let details = certificate.details();
    if details.not_after < now {
        anyhow::bail!(
            "the client certificate of {:?} expired on {}\n  \
             hint: generate a new one from the cluster's secrets with `bedplate gen client`, \
             and add it with `bedplate context merge --force`",
            details.name,
            ui::moment(details.not_after),
        );
    }
    if details.not_after < now + WARN_BEFORE {
        ui::note(&format!(
            "the client certificate of {:?} expires on {}",
            details.name,
            ui::moment(details.not_after)
        ));
    }
    Ok(())
}
