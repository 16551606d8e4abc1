//! Asks those that may be members of etcd.

use std::net::{IpAddr, SocketAddr};

use etcd_client::rpc::Member;
use etcd_client::{CallError, Credentials, Etcd, Refusal};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use crate::peers::{Ports, address_of};

/// What was heard of the cluster's etcd.
#[derive(Debug, Clone)]
pub(crate) enum Survey {
    /// Nobody answered: why, for each that was asked.
    Silent(Vec<CallError>),
    /// Somebody is there, but a quorum is not.
    NoQuorum(Vec<Seen>),
    /// A quorum agrees on these members.
    Members {
        /// The members.
        members: Vec<Seen>,
        /// etcd's own count of the cluster.
        cluster: u64,
        /// The member that answered, and can be asked for changes.
        via: Etcd,
    },
}

/// A member, as the others list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its identity.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where others reach it.
    pub addresses: Vec<IpAddr>,
    /// Set while it does not vote.
    pub learner: bool,
    /// Set when it answered.
    pub answers: bool,
    /// The leader that it follows, or itself; none where it knows none, or does not answer.
    pub leader: Option<u64>,
}

impl Seen {
    /// Reads what another member says of it.
    pub fn of(member: &Member) -> Self {
        Self {
            id: member.id,
            name: member.name.clone(),
            addresses: member
                .peer_ur_ls
                .iter()
                .filter_map(|url| address_of(url))
                .collect(),
            learner: member.is_learner,
            answers: false,
            leader: None,
        }
    }

    /// Names it, for people.
    pub fn who(&self) -> String {
        let at = self
            .addresses
            .first()
            .map(|address| format!(" at {address}"))
            .unwrap_or_default();
        match self.name.as_str() {
            "" => format!("member {:x}{at}, which has not started yet,", self.id),
            name => format!("{name}{at}"),
        }
    }
}

/// Asks all candidates at once, and takes the first answer that a quorum agrees on.
pub(crate) async fn survey(credentials: &Credentials, ports: Ports, candidates: &[IpAddr]) -> Survey {
    let mut asked: FuturesUnordered<_> = candidates
        .iter()
        .map(|address| {
            let etcd = Etcd::connect(credentials, ports.client(*address));
            async move { (etcd.members().await, etcd) }
        })
        .collect();
    let (mut silent, mut without) = (Vec::new(), None);
    while let Some((answer, via)) = asked.next().await {
        match answer {
            Ok(answer) => {
                return Survey::Members {
                    members: ask_of(credentials, ports, &answer.value).await,
                    cluster: answer.header.cluster_id,
                    via,
                };
            }
            Err(error) => {
                if matches!(error.refusal(), Some(Refusal::NoQuorum)) {
                    without = Some(via);
                }
                silent.push(error);
            }
        }
    }
    let Some(via) = without else {
        return Survey::Silent(silent);
    };
    let known = via
        .members_as_known()
        .await
        .map(|answer| answer.value)
        .unwrap_or_default();
    Survey::NoQuorum(ask_of(credentials, ports, &known).await)
}

/// Finds out which of these members answer.
pub(crate) async fn ask_of(credentials: &Credentials, ports: Ports, listed: &[Member]) -> Vec<Seen> {
    let mut members: Vec<Seen> = listed.iter().map(Seen::of).collect();
    let asked = members.iter().map(|member| {
        let at: Option<SocketAddr> = member.addresses.first().map(|address| ports.client(*address));
        let etcd = at.map(|at| Etcd::connect(credentials, at));
        async move {
            match etcd {
                Some(etcd) => etcd.status().await.ok(),
                None => None,
            }
        }
    });
    let answers = join_all(asked).await;
    for (member, answer) in members.iter_mut().zip(answers) {
        member.answers = answer.is_some();
        member.leader = answer.map(|status| status.leader).filter(|leader| *leader != 0);
    }
    members
}

/// Names those that do not answer, for people; none where all do.
pub(crate) fn silent_ones(members: &[Seen]) -> Option<String> {
    let silent: Vec<String> = members
        .iter()
        .filter(|member| !member.answers)
        .map(Seen::who)
        .collect();
    (!silent.is_empty()).then(|| silent.join(" and "))
}

/// Says that there is no quorum, and who is missing.
pub(crate) fn no_quorum(members: &[Seen]) -> String {
    let silent = members.iter().filter(|member| !member.answers).count();
    let missing = match (silent_ones(members), silent) {
        (None, _) => "no leader is elected yet".to_owned(),
        (Some(one), 1) => format!("{one} does not answer; start it"),
        (Some(several), _) => format!("{several} do not answer; start enough of them"),
    };
    format!("etcd has no quorum: {missing}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_missing_are_named() {
        let seen = |name: &str, host, answers| Seen {
            id: host,
            name: name.to_owned(),
            addresses: vec![format!("10.0.0.{host}").parse().unwrap()],
            learner: false,
            answers,
            leader: None,
        };
        let mut members = [seen("a", 1, true), seen("b", 2, true), seen("c", 3, true)];
        assert_eq!(
            no_quorum(&members),
            "etcd has no quorum: no leader is elected yet"
        );
        members[1].answers = false;
        assert_eq!(
            no_quorum(&members),
            "etcd has no quorum: b at 10.0.0.2 does not answer; start it"
        );
        members[2].answers = false;
        assert_eq!(
            no_quorum(&members),
            "etcd has no quorum: b at 10.0.0.2 and c at 10.0.0.3 do not answer; start enough of them"
        );
    }
}
