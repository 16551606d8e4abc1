//! Changes one after the other, and waits for each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use pki::Fingerprint;
use tokio::time::{Instant, sleep};

use super::Change;
use super::authorities::{New, of_config, party_of_config, party_of_context};
use super::observe::{Observed, apply, missing, observe};
use super::plan::{self, Party, Phase, Step, Which};
use crate::address::Address;
use crate::commands::kubeconfig::Kubeconfig;
use crate::config::{self, ClientConfig, Context};
use crate::explain::Problem;
use crate::options::Global;
use crate::session::Session;
use crate::tunnel::Through;
use crate::ui::{self, Format};

/// How long it waits between two looks at a node.
const PAUSE: Duration = Duration::from_secs(1);
/// What the client itself is called.
const CLIENT: &str = "client config";

/// What is to be done.
pub(super) struct Start {
    pub only: Vec<Which>,
    pub secrets: PathBuf,
    pub kubeconfig: Option<PathBuf>,
    /// The last phase.
    pub last: Phase,
    pub settle: Duration,
    pub wait: Duration,
}

/// A rotation under way.
pub(super) struct Driver {
    start: Start,
    client: Client,
    /// The nodes: those that sign come first.
    nodes: Vec<(Address, Observed)>,
    new: New,
    /// Set when the new authorities are in their file.
    kept: bool,
    identities: BTreeMap<Which, Fingerprint>,
}

/// The client config, and the context in it.
struct Client {
    path: PathBuf,
    name: String,
    timeout: Duration,
    /// The endpoints that nodes are called through, if they are.
    through: Option<Vec<Address>>,
}

impl Client {
    fn load(&self) -> anyhow::Result<(ClientConfig, Context)> {
        let file = config::load(&self.path)?;
        let file = file.with_context(|| format!("{} does not exist", self.path.display()))?;
        let context = file
            .context(&self.name)
            .with_context(|| format!("in {}", self.path.display()))?
            .clone();
        Ok((file, context))
    }

    /// Returns a session with nodes. It trusts the new authority before the client config says so: an earlier run may have
    /// been interrupted on another machine.
    fn session(&self, new: Option<&New>, nodes: Vec<Address>) -> anyhow::Result<Session> {
        let (_, mut context) = self.load()?;
        if let Some(authority) = new.and_then(|new| new.authority(Which::Machine)) {
            context.ca.push('\n');
            context.ca.push_str(authority.certificate_pem());
        }
        let mut session = Session::of_context(context, nodes, self.timeout, Format::Table);
        session.through = self.through.clone().map(Through::new);
        Ok(session)
    }
}

impl Driver {
    /// Finds the nodes of the cluster, and what each accepts. Changes nothing.
    pub(super) async fn begin(global: &Global, start: Start) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !global.insecure && global.fingerprint.is_none(),
            "the authorities are rotated by a client that the cluster knows: leave out --insecure and --fingerprint"
        );
        let path = config::path(global.config.as_deref())?;
        let session = Session::open(global)?;
        let file = config::load(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
        let name = global.context.clone().or(file.current);
        let client = Client {
            name: name.context("no context is the current one; name one with --context")?,
            path,
            timeout: global.timeout,
            through: session
                .through
                .as_ref()
                .map(|through| through.endpoints().to_vec()),
        };
        let found = New::load(&start.secrets)?;
        let given = global.nodes.is_empty() && client.load()?.1.nodes.is_empty();
        let session = client.session(found.as_ref(), session.addresses().to_vec())?;
        let nodes = match given {
            true => discover(&session).await?,
            false => ask(&session, session.addresses()).await?,
        };
        let mut nodes = nodes;
        nodes.sort_by_key(turn);
        let seen: Vec<&Observed> = nodes.iter().map(|(_, node)| node).collect();
        check_all_are_there(&seen)?;
        let first = seen.first().filter(|node| node.signs());
        let first = first
            .context("none of the nodes is a control plane; name all nodes of the cluster with --nodes")?;
        let has = |which: &&Which| of_config(&first.config, **which).is_some();
        let which: Vec<Which> = start.only.iter().filter(has).copied().collect();
        let kept = found.is_some();
        let new = match found {
            Some(new) => new,
            None => New::generate(&first.config, &which, SystemTime::now())?,
        };
        new.check(&start.secrets, &first.config)?;
        Ok(Self {
            identities: new.identities(&which),
            start,
            client,
            nodes,
            new,
            kept,
        })
    }

    /// Returns the authorities and the nodes, for the confirmation.
    pub(super) fn names(&self) -> (String, String) {
        let which: Vec<&str> = self.identities.keys().map(|which| which.name()).collect();
        let nodes: Vec<&str> = self.nodes.iter().map(|(_, node)| node.name.as_str()).collect();
        (which.join(", "), nodes.join(", "))
    }

    /// Writes the file of the new authorities, if it is not there: before any node knows them.
    pub(super) fn keep_secrets(&mut self) -> anyhow::Result<()> {
        if !self.kept {
            self.new.save(&self.start.secrets)?;
            self.kept = true;
        }
        Ok(())
    }

    fn parties(&self) -> anyhow::Result<Vec<Party<Fingerprint>>> {
        let (_, context) = self.client.load()?;
        let client = party_of_context(&context).with_context(|| {
            format!(
                "the context {:?} in {} cannot be changed; recreate it with `bedplate gen client --secrets {}`",
                self.client.name,
                self.client.path.display(),
                self.start.secrets.display()
            )
        })?;
        let nodes = self.nodes.iter().map(|(_, node)| party_of_config(&node.config));
        std::iter::once(Ok(client)).chain(nodes).collect()
    }

    fn name(&self, party: usize) -> &str {
        match party.checked_sub(1) {
            Some(node) => &self.nodes[node].1.name,
            None => CLIENT,
        }
    }

    /// Returns the changes that are left.
    pub(super) fn left(&self) -> anyhow::Result<Vec<Change>> {
        let steps = plan::all(&self.parties()?, &self.identities, self.start.last);
        let change = |step: Step| Change {
            party: self.name(step.party).to_owned(),
            changes: step.changes,
        };
        Ok(steps.into_iter().map(change).collect())
    }

    /// Tells whether no phase is left, whatever this run was to do.
    pub(super) fn is_complete(&self) -> anyhow::Result<bool> {
        Ok(plan::next(&self.parties()?, &self.identities, Phase::Drop).is_none())
    }

    /// Makes all changes. Each begins when all nodes have followed the one before it.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        let mut renewed = BTreeSet::new();
        for number in 0.. {
            for node in 0..self.nodes.len() {
                self.follow(node, None).await?;
            }
            self.nodes.sort_by_key(turn);
            let parties = self.parties()?;
            let Some(step) = plan::next(&parties, &self.identities, self.start.last) else {
                break;
            };
            if let Some(phase) = step.changes.get(&Which::Kubernetes)
                && *phase != Phase::Accept
                && renewed.insert(*phase)
            {
                self.before(*phase, &parties).await?;
            }
            // A node that lost its power may have lost its last step, which is then repeated.
            let count = number + plan::all(&parties, &self.identities, self.start.last).len();
            let what: Vec<String> = step
                .changes
                .iter()
                .map(|(which, phase)| format!("{} {}", phase.name(), which.name()))
                .collect();
            ui::note(&format!(
                "[{}/{count}] {}: {}",
                number + 1,
                self.name(step.party),
                what.join(", ")
            ));
            match step.party.checked_sub(1) {
                None => self.change_client(&step)?,
                Some(node) => self.change_node(node, &step).await?,
            }
        }
        self.renew_kubeconfig().await
    }

    /// Brings along who is no node, before the new authority of Kubernetes signs, and before the old one is gone.
    async fn before(&self, phase: Phase, parties: &[Party<Fingerprint>]) -> anyhow::Result<()> {
        self.renew_kubeconfig().await?;
        let new = self.identities.get(&Which::Kubernetes);
        let signs = |party: &Party<Fingerprint>| {
            party
                .accepts
                .get(&Which::Kubernetes)
                .and_then(|accepted| accepted.first())
                == new
        };
        if phase == Phase::Issue && !parties.iter().any(signs) && !self.start.settle.is_zero() {
            ui::note(&format!(
                "waiting for {} until pods know the new authority of Kubernetes",
                ui::duration(self.start.settle)
            ));
            sleep(self.start.settle).await;
        }
        Ok(())
    }

    async fn renew_kubeconfig(&self) -> anyhow::Result<()> {
        let Some(path) = &self.start.kubeconfig else {
            return Ok(());
        };
        let nodes = self.nodes.iter().filter(|(_, node)| node.signs());
        let session = self.client.session(
            Some(&self.new),
            nodes.map(|(address, _)| address.clone()).collect(),
        )?;
        Kubeconfig::renewing(path.clone()).run(session).await?;
        Ok(())
    }

    fn change_client(&self, step: &Step) -> anyhow::Result<()> {
        let (mut file, mut context) = self.client.load()?;
        for phase in step.changes.values() {
            self.new.change_context(&mut context, *phase, SystemTime::now())?;
        }
        file.contexts.insert(self.client.name.clone(), context);
        config::save(&self.client.path, &file)
    }

    async fn change_node(&mut self, node: usize, step: &Step) -> anyhow::Result<()> {
        let (address, before) = &self.nodes[node];
        let mut config = before.config.clone();
        self.new.change_config(&mut config, &step.changes)?;
        let session = self.client.session(Some(&self.new), vec![address.clone()])?;
        if let Err(problem) = apply(&session, address, &config).await {
            // Whether it took the config shows when it answers again.
            if !problem.unreachable {
                anyhow::bail!("{problem}");
            }
            ui::note(&problem.to_string());
        }
        self.follow(node, Some(())).await
    }

    /// Waits until a node has followed its config, whichever it has. `changed` is set when it was just changed.
    async fn follow(&mut self, node: usize, changed: Option<()>) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.start.wait;
        let address = self.nodes[node].0.clone();
        let mut said = String::new();
        loop {
            let session = self.client.session(Some(&self.new), vec![address.clone()])?;
            let reason = match observe(&session, &address).await {
                Ok(now) => {
                    let before = changed.map(|()| &self.nodes[node].1);
                    match missing(&now, before) {
                        None => {
                            self.nodes[node].1 = now;
                            return Ok(());
                        }
                        Some(reason) => reason,
                    }
                }
                Err(problem) if problem.unreachable => first_line(&problem),
                Err(problem) if Instant::now() > deadline => anyhow::bail!("{problem}"),
                Err(problem) => first_line(&problem),
            };
            let name = &self.nodes[node].1.name;
            anyhow::ensure!(
                Instant::now() < deadline,
                "{name} has not followed within {}: {reason}",
                ui::duration(self.start.wait)
            );
            if said != reason {
                ui::note(&format!("{name}: {reason}"));
                said = reason;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Returns when a node has its turn: those that sign before those that ask them. The leader of etcd is the last of them, as
/// requests can fail when another one takes over: so that happens once in a phase, not again and again.
fn turn((_, node): &(Address, Observed)) -> (bool, bool) {
    (!node.signs(), node.leads)
}

fn first_line(problem: &Problem) -> String {
    problem.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Asks these nodes; every one must answer.
async fn ask(session: &Session, addresses: &[Address]) -> anyhow::Result<Vec<(Address, Observed)>> {
    let mut nodes = Vec::new();
    for address in addresses {
        let node = observe(session, address).await.map_err(|problem| {
            anyhow::anyhow!("{problem}\n  hint: every node must be there before authorities are rotated")
        })?;
        nodes.push((address.clone(), node));
    }
    Ok(nodes)
}

/// Finds the nodes of the cluster by asking the first endpoint that answers.
async fn discover(session: &Session) -> anyhow::Result<Vec<(Address, Observed)>> {
    let mut last = None;
    for address in session.addresses() {
        match observe(session, address).await {
            Ok(node) => {
                let known = node.cluster.values().filter_map(|addresses| addresses.first());
                let all: Result<Vec<Address>, _> = known.map(|address| address.parse()).collect();
                return match all.context("the cluster knows a node by an address that is none")? {
                    none if none.is_empty() => Ok(vec![(address.clone(), node)]),
                    all => ask(session, &all).await,
                };
            }
            Err(problem) => last = Some(problem),
        }
    }
    Err(match last {
        Some(problem) => anyhow::anyhow!("{problem}"),
        None => anyhow::anyhow!("no nodes to call: use --nodes, or add endpoints or nodes to the context"),
    })
}

/// Checks that no node of the cluster is left out: it would lose the others. Pure.
fn check_all_are_there(nodes: &[&Observed]) -> anyhow::Result<()> {
    let given: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    anyhow::ensure!(
        given.len() == nodes.len(),
        "a node is named twice; name each node of the cluster once"
    );
    let known = nodes.iter().flat_map(|node| node.cluster.keys());
    let left_out: BTreeSet<&str> = known
        .map(String::as_str)
        .filter(|name| !given.contains(name))
        .collect();
    anyhow::ensure!(
        left_out.is_empty(),
        "the cluster has other nodes, which would be cut off: {}; add them with --nodes, or remove one that is gone for good with `kubectl delete node`",
        left_out.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}
