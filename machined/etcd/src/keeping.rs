//! Keeps a member among the others while it runs: promotes it, and tells what is wrong.

use std::net::IpAddr;
use std::time::Duration;

use etcd_client::rpc::{AlarmMember, Member};
use etcd_client::{CallError, Credentials, Etcd, Refusal};
use state::kinds::{EtcdStart, EtcdStatus, EtcdVoter, NODE, ServiceHealth, ServiceStatus};
use state::{Action, ControllerError, Store};

use crate::controller::{EtcdMembershipController, NAME, Node, Outcome, SERVICE, SOON, credentials};
use crate::peers::{address_of, candidates};
use crate::places::{Data, Note};
use crate::survey::{Seen, Survey, ask_of, no_quorum, survey};
use crate::verdicts::verdicts;

/// The key under which the cluster's identity stands in etcd.
pub(crate) const KEY: &str = "bedplate/cluster";
/// What a node waits for whose etcd is not that of the others: nobody else may throw its data away.
const OTHERS: &str = "a person's decision: etcd's data here are of another etcd than that of the other control planes; to join those, run `bedplate reset --scope data`";
/// How often a voting member is looked at.
const CALM: Duration = Duration::from_secs(30);

impl EtcdMembershipController {
    /// Looks after a member that was started, and returns the same start again: another one would mean other arguments, and
    /// to stop what runs.
    pub(crate) async fn keep(
        &mut self,
        store: &Store,
        node: &Node,
        start: EtcdStart,
    ) -> Result<Outcome, ControllerError> {
        if self.places.has_left() {
            return self.arrive_later("etcd to end, which the node leaves");
        }
        if self.places.note().is_some_and(|note| note.removed) {
            return self.arrive_later("etcd to end, whose data are put aside");
        }
        // Added, but it has not started: the list that it starts with may be an old one by now.
        if matches!(&start, EtcdStart::Joins(peers) if !peers.is_empty())
            && self.places.data()? == Data::Empty
        {
            return self.join(store, node).await;
        }
        let going_on = |waits_for: Option<String>, again| {
            let again = Action::After(again);
            Ok(Outcome {
                start: start.clone(),
                waits_for,
                again,
            })
        };
        let credentials = match credentials(store) {
            Ok(credentials) => credentials,
            Err(why) => return going_on(Some(why), SOON),
        };
        let own = Etcd::connect(&credentials, self.ports.client(node.address));
        match own.members().await {
            Ok(answer) => {
                let learner = answer
                    .value
                    .iter()
                    .any(|member| member.id == answer.header.member_id && member.is_learner);
                if learner {
                    return going_on(self.promote(store, node, &credentials).await?, SOON);
                }
                self.remember(node, &answer.value)?;
                let claimed = self.claim(&own, node).await;
                let seen = ask_of(&credentials, self.ports, &answer.value).await;
                store.put(NAME, NODE, status(answer.header.member_id, &seen))?;
                // A member that does not tell its alarms has other troubles, which are told.
                let alarms = own.alarms().await.unwrap_or_default();
                let well = self.tell_members(store, &seen, &alarms)?;
                going_on(claimed.err(), if well { CALM } else { SOON })
            }
            Err(error) if error.refusal() == Some(Refusal::IsLearner) => {
                going_on(self.promote(store, node, &credentials).await?, SOON)
            }
            Err(error) if error.refusal().is_some() => {
                let why = match self.others_were_recovered(store, node, &credentials).await {
                    Some(why) => why,
                    None => self.why_not(store, &own, &credentials, &error).await?,
                };
                going_on(Some(why), SOON)
            }
            Err(_) => {
                self.look_whether_removed(store, node, &credentials, start.clone())
                    .await
            }
        }
    }

    /// Asks the others to make this learner a voting member. Returns what it waits for.
    async fn promote(
        &mut self,
        store: &Store,
        node: &Node,
        credentials: &Credentials,
    ) -> Result<Option<String>, ControllerError> {
        let Some(own) = self.places.identity() else {
            return Ok(Some("etcd to begin its log".to_owned()));
        };
        let note = self.places.note().unwrap_or_default();
        let asked = candidates(store, &node.member, &note.others).await;
        let (members, via) = match survey(credentials, self.ports, &asked).await {
            Survey::Members { members, via, .. } => (members, via),
            Survey::NoQuorum(members) => return Ok(Some(no_quorum(&members))),
            Survey::Silent(_) => {
                return Ok(Some(
                    "another member of etcd to answer, so that this one is promoted".to_owned(),
                ));
            }
        };
        if !members
            .iter()
            .any(|member| member.id == own.member && member.learner)
        {
            return Ok(None);
        }
        Ok(match via.promote(own.member).await {
            Ok(all) => {
                self.remember(node, &all)?;
                self.events.info("etcd", "the node is a voting member of etcd");
                None
            }
            Err(error) => Some(match error.refusal() {
                Some(Refusal::LearnerNotReady) => {
                    "its data to catch up with those of etcd's leader, before it is promoted".to_owned()
                }
                _ => format!("its promotion: {error}"),
            }),
        })
    }

    /// Keeps on the disk where the others are, so that they are found again; and that the node has started.
    fn remember(&self, node: &Node, members: &[Member]) -> Result<(), ControllerError> {
        let urls = members.iter().flat_map(|member| &member.peer_ur_ls);
        let mut others: Vec<IpAddr> = urls.filter_map(|url| address_of(url)).collect();
        others.retain(|address| *address != node.address);
        others.sort();
        let note = Note {
            cluster: node.cluster.clone(),
            member: None,
            others,
            removed: false,
        };
        Ok(self.places.set_note(&note)?)
    }

    /// Writes the cluster's identity into etcd, once, so that no node of another cluster with the same secrets joins. What is
    /// there may be another's, as after a recovery from a snapshot of another cluster.
    ///
    /// # Errors
    ///
    /// What the node waits for where it is.
    async fn claim(&mut self, own: &Etcd, node: &Node) -> Result<(), String> {
        if self.claimed {
            return Ok(());
        }
        let found = match own.create(KEY, node.cluster.as_bytes()).await {
            Ok(true) => Ok(None),
            Ok(false) => own.get(KEY).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(found)) if found != node.cluster.as_bytes() => Err(format!(
                "a person's decision: etcd's data are those of another cluster ({}, not {}); give all nodes machine configs with the secrets of that one, or run `bedplate reset --scope data`",
                String::from_utf8_lossy(&found),
                node.cluster
            )),
            Ok(_) => {
                self.claimed = true;
                Ok(())
            }
            Err(error) => {
                tracing::warn!("cannot write the cluster's identity: {error}");
                Ok(())
            }
        }
    }

    /// Says why etcd does not do its work, by name.
    async fn why_not(
        &mut self,
        store: &Store,
        own: &Etcd,
        credentials: &Credentials,
        error: &CallError,
    ) -> Result<String, ControllerError> {
        let Ok(known) = own.members_as_known().await else {
            return Ok(error.to_string());
        };
        let seen = ask_of(credentials, self.ports, &known.value).await;
        self.tell_members(store, &seen, &[])?;
        Ok(no_quorum(&seen))
    }

    /// Writes how each member is. Returns whether all are well.
    fn tell_members(
        &mut self,
        store: &Store,
        seen: &[Seen],
        alarms: &[AlarmMember],
    ) -> Result<bool, ControllerError> {
        let learning = self.count_learning(seen);
        let told = verdicts(seen, alarms, &learning);
        let well = told
            .iter()
            .all(|(_, status)| status.problem.is_none() && !status.learner);
        store.replace(NAME, told)?;
        Ok(well)
    }

    /// Tells that the others have an etcd of their own, as after a recovery from a snapshot while this node was away.
    async fn others_were_recovered(
        &self,
        store: &Store,
        node: &Node,
        credentials: &Credentials,
    ) -> Option<String> {
        let own = self.places.identity()?;
        let note = self.places.note().unwrap_or_default();
        let asked = candidates(store, &node.member, &note.others).await;
        let found = survey(credentials, self.ports, &asked).await;
        matches!(found, Survey::Members { cluster, .. } if cluster != own.cluster).then(|| OTHERS.to_owned())
    }

    /// Looks whether the others have removed this member, whose etcd does not answer: it would never start again.
    async fn look_whether_removed(
        &mut self,
        store: &Store,
        node: &Node,
        credentials: &Credentials,
        start: EtcdStart,
    ) -> Result<Outcome, ControllerError> {
        let going_on = Outcome {
            start,
            waits_for: None,
            again: Action::After(SOON),
        };
        let service: Option<ServiceStatus> = store.get(SERVICE);
        let well = service.is_none_or(|status| status.health == ServiceHealth::Healthy);
        let (false, Some(own)) = (well, self.places.identity()) else {
            return Ok(going_on);
        };
        let mut note = self.places.note().unwrap_or_default();
        let asked = candidates(store, &node.member, &note.others).await;
        let Survey::Members { members, cluster, .. } = survey(credentials, self.ports, &asked).await else {
            return Ok(going_on);
        };
        if cluster != own.cluster {
            return Ok(Outcome {
                waits_for: Some(OTHERS.to_owned()),
                ..going_on
            });
        }
        if members.iter().any(|member| member.id == own.member) {
            return Ok(going_on);
        }
        note.removed = true;
        self.places.set_note(&note)?;
        self.events.warning(
            "etcd",
            "the others have removed this member; its data are put aside, and it joins again",
        );
        self.arrive_later("etcd to end, which the others have removed")
    }

    fn arrive_later(&self, waits_for: &str) -> Result<Outcome, ControllerError> {
        Ok(Outcome::waits(waits_for, Action::After(SOON)))
    }
}

/// Says which other voting members there are.
fn status(own: u64, seen: &[Seen]) -> EtcdStatus {
    let others = seen.iter().filter(|member| member.id != own && !member.learner);
    EtcdStatus {
        others: others
            .map(|member| EtcdVoter {
                name: member.name.clone(),
                answers: member.answers,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_that_loses_the_quorum_is_objected_to_by_name() {
        let member = |id: u64, learner, answers| Seen {
            id,
            name: format!("node{id}"),
            addresses: Vec::new(),
            learner,
            answers,
            leader: None,
        };
        let objection = |seen: &[Seen]| status(1, seen).quorum_objection();
        let own = member(1, false, true);
        assert_eq!(
            objection(std::slice::from_ref(&own)),
            None,
            "a single node has to restart"
        );
        let well = [own.clone(), member(2, false, true), member(3, false, true)];
        assert_eq!(objection(&well), None);
        let learning = [own.clone(), member(2, true, false)];
        assert_eq!(objection(&learning), None, "who does not vote does not count");
        let away = [own.clone(), member(2, false, true), member(3, false, false)];
        assert_eq!(
            objection(&away).as_deref(),
            Some("etcd would lose its quorum: node3 does not answer")
        );
        let two = objection(&[own, member(2, false, true)]).unwrap();
        assert!(two.starts_with("etcd has 2 voting members"), "{two}");
    }
}
