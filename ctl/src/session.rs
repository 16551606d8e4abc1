//! Whom to ask, and as whom: the command line and the client's file put together.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use pki::{Certificate, Client, Fingerprint};

use crate::address::Address;
use crate::config::{self, Context};
use crate::options::Global;
use crate::ui::{self, Format};

/// One run of a command that talks to nodes.
#[derive(Debug)]
pub struct Session {
    /// Whom to ask.
    pub targets: Targets,
    /// How to show answers.
    pub format: Format,
    /// How long a node may take.
    pub timeout: Duration,
    trust: Trust,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every one of these.
    All(Vec<Address>),
    /// The first of these that answers.
    FirstOf(Vec<Address>),
}

/// Whom to believe, and as whom to come.
#[derive(Debug)]
enum Trust {
    Context(Context),
    /// A worker that has not joined: known by its fingerprint, and it wants a certificate.
    ContextPinned(Context, Fingerprint),
    Pinned(Fingerprint),
    Anybody,
}

/// Warns this long before the client's certificate ends.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86400);

impl Session {
    /// Puts the command line and the client's file together.
    pub fn open(global: &Global) -> anyhow::Result<Self> {
        let alone = global.insecure || global.fingerprint.is_some();
        let context = find_context(global, alone)?;
        if context.is_none() && !alone {
            return Err(no_context(global));
        }
        let targets = targets(global, context.as_ref())?;
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
            trust,
        })
    }

    /// Makes the TLS settings for one connection.
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

    /// Names whom a destructive command will hit.
    pub fn names(&self) -> String {
        let (Targets::All(list) | Targets::FirstOf(list)) = &self.targets;
        let names: Vec<String> = list.iter().map(ToString::to_string).collect();
        match self.targets {
            Targets::All(_) => names.join(", "),
            Targets::FirstOf(_) => names.join(" or "),
        }
    }
}

/// Finds the context to use. That it is missing is an error only where one was named, and not even then when it can be
/// done `alone`, without one.
fn find_context(global: &Global, alone: bool) -> anyhow::Result<Option<Context>> {
    let path = config::path(global.config.as_deref())?;
    let Some(file) = config::load(&path)? else {
        return match (&global.config, &global.context) {
            _ if alone => Ok(None),
            (None, None) => Ok(None),
            (Some(_), _) => anyhow::bail!("there is no file {}", path.display()),
            (None, Some(name)) => {
                anyhow::bail!("there is no context {name:?}: {} is missing", path.display())
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
        |_| "the client's file".to_owned(),
        |path| path.display().to_string(),
    );
    anyhow::anyhow!(
        "no context is chosen in {path}\n  \
         hint: `bedplate gen config` makes a cluster's files, `bedplate context merge client.yaml` takes one in; \
         a node in maintenance mode is reached by --fingerprint or --insecure"
    )
}

fn targets(global: &Global, context: Option<&Context>) -> anyhow::Result<Targets> {
    let parse = |list: &[String]| {
        list.iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Address>, _>>()
    };
    let of_context = |list: fn(&Context) -> &Vec<String>| context.map(list).filter(|list| !list.is_empty());
    if !global.endpoint.is_empty() {
        return Ok(Targets::FirstOf(parse(&global.endpoint)?));
    }
    if !global.nodes.is_empty() {
        return Ok(Targets::All(parse(&global.nodes)?));
    }
    if let Some(nodes) = of_context(|context| &context.nodes) {
        return Ok(Targets::All(parse(nodes)?));
    }
    if let Some(endpoints) = of_context(|context| &context.endpoints) {
        return Ok(Targets::FirstOf(parse(endpoints)?));
    }
    anyhow::bail!("no node is given: name some by --nodes, or put endpoints or nodes into the context")
}

/// Says so before anything is tried when the client's own certificate is of no use.
fn check_dates(context: &Context, now: SystemTime) -> anyhow::Result<()> {
    let certificate = Certificate::from_pem(&context.cert, "the context's certificate")?;
    let details = certificate.details();
    if details.not_after < now {
        anyhow::bail!(
            "the client certificate of {:?} expired on {}\n  \
             hint: make a new one with `bedplate gen client` from the cluster's secrets, \
             and take it in with `bedplate context merge --force`",
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
