//! Brings a control plane without data to the others.

use etcd_client::{CallError, Etcd, Refusal};
use state::kinds::EtcdStart;
use state::{Action, ControllerError, Store};

use crate::controller::{EtcdMembershipController, Node, Outcome, SOON, credentials};
use crate::join::{Me, Next, next, one_at_a_time, peers, unhealthy};
use crate::keeping::KEY;
use crate::peers::candidates;
use crate::places::{Data, Note};
use crate::survey::{Seen, Survey, no_quorum, survey};

/// What a person has to do before anything else.
const BOOTSTRAP: &str = "the cluster to be bootstrapped: run `bedplate bootstrap` once, on one control plane";
/// How many of those that do not answer are named.
const NAMED: usize = 3;

impl EtcdMembershipController {
    /// Asks the others once, and does what is next.
    pub(crate) async fn join(&mut self, store: &Store, node: &Node) -> Result<Outcome, ControllerError> {
        let waits = |why: String| Ok(Outcome::waits(why, Action::After(SOON)));
        let credentials = match credentials(store) {
            Ok(credentials) => credentials,
            Err(why) => return waits(why),
        };
        let note = self.places.note().unwrap_or_default();
        let asked = candidates(store, &node.member, &note.others).await;
        let (members, via) = match survey(&credentials, self.ports, &asked).await {
            Survey::Silent(why) => return waits(nobody(&why)),
            Survey::NoQuorum(members) => return waits(no_quorum(&members)),
            Survey::Members { members, via, .. } => (members, via),
        };
        if let Some(why) = another_cluster(&via, &node.cluster).await {
            return waits(why);
        }
        let silent = self.count_silence(&members);
        let me = Me {
            name: &node.member.node,
            address: node.address,
            added: note.member,
        };
        let decided = next(&me, &members, &silent);
        // Looked at after the others were asked: what they say of a member that has started since would be misunderstood.
        if self.places.data()? != Data::Empty {
            return Ok(Outcome::starts(EtcdStart::Joins(peers(&me, &members))));
        }
        match decided {
            Next::Wait(why) => waits(why),
            Next::Start(peers) => Ok(Outcome::starts(EtcdStart::Joins(peers))),
            Next::Remove { id, why } => match via.remove(id).await {
                Ok(_) => {
                    self.events
                        .warning("etcd", format!("{why}: the former member is removed"));
                    waits(why)
                }
                Err(error) => waits(refusal(&error, &members)),
            },
            Next::Add => match via.add_learner(&self.ports.peer_url(node.address)).await {
                Ok((added, all)) => {
                    let note = Note {
                        cluster: node.cluster.clone(),
                        member: Some(added.id),
                        others: asked,
                        removed: false,
                    };
                    self.places.set_note(&note)?;
                    self.events
                        .info("etcd", format!("added to the members of etcd by {}", via.at()));
                    let all: Vec<Seen> = all.iter().map(Seen::of).collect();
                    Ok(Outcome::starts(EtcdStart::Joins(peers(&me, &all))))
                }
                Err(error) => waits(refusal(&error, &members)),
            },
        }
    }
}

/// Tells that a member that was found belongs to another cluster, which happens when clusters share their secrets.
async fn another_cluster(via: &Etcd, cluster: &str) -> Option<String> {
    let found = via.get(KEY).await.ok()??;
    (found != cluster.as_bytes()).then(|| {
        format!(
            "a member of its own cluster ({cluster}): etcd on {} belongs to another one ({})",
            via.at(),
            String::from_utf8_lossy(&found)
        )
    })
}

/// Says that nobody answers.
fn nobody(why: &[CallError]) -> String {
    let named: Vec<String> = why.iter().take(NAMED).map(ToString::to_string).collect();
    match named.is_empty() {
        true => BOOTSTRAP.to_owned(),
        false => format!("{BOOTSTRAP}; or the others to answer: {}", named.join("; ")),
    }
}

/// Says why the others do not take the node.
fn refusal(error: &CallError, members: &[Seen]) -> String {
    match error.refusal() {
        Some(Refusal::Unhealthy) => unhealthy(members),
        Some(Refusal::TooManyLearners) => one_at_a_time("another control plane"),
        _ => error.to_string(),
    }
}
