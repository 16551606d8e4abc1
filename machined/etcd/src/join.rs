//! How a control plane without data comes to the others. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use state::kinds::EtcdPeer;

use crate::survey::{Seen, silent_ones};

/// How long a member of the node's own name has to be silent before it counts as gone.
pub(crate) const GONE: Duration = Duration::from_secs(30);
/// How long a learner has to be silent before it is removed, so that it does not keep others out forever. Its node adds
/// itself again when it is back.
pub(crate) const STUCK: Duration = Duration::from_secs(180);

/// The node that wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Me<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address.
    pub address: IpAddr,
    /// The member as which the others added it, if it has not started since.
    pub added: Option<u64>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The others have added the node: etcd can start.
    Start(Vec<EtcdPeer>),
    /// The node is to be added.
    Add,
    /// This member is to be removed first.
    Remove {
        /// Its identity.
        id: u64,
        /// Why, for the log.
        why: String,
    },
    /// Nothing yet: what the node waits for.
    Wait(String),
}

/// Decides what is next, from the members that a quorum agrees on. `silent` says for how long each was silent.
pub(crate) fn next(me: &Me<'_>, members: &[Seen], silent: &BTreeMap<u64, Duration>) -> Next {
    let silent_for = |member: &Seen| match member.answers {
        true => Duration::ZERO,
        false => silent.get(&member.id).copied().unwrap_or_default(),
    };
    if let Some(own) = members
        .iter()
        .find(|member| member.addresses.contains(&me.address))
    {
        // Whoever started there once has said things that it no longer remembers: it must not come back as the same member.
        return match me.added == Some(own.id) && own.name.is_empty() {
            true => Next::Start(peers(me, members)),
            false => Next::Remove {
                id: own.id,
                why: format!("{} has lost its data, and joins again", own.who()),
            },
        };
    }
    if let Some(former) = members.iter().find(|member| member.name == me.name) {
        let who = former.who();
        return match (former.answers, silent_for(former) >= GONE) {
            (true, _) => Next::Wait(format!(
                "another control plane has the same name, and answers: {who}; set machine.hostname of one of them"
            )),
            (false, false) => Next::Wait(format!(
                "{who} to be gone for {} s: this node takes the place of a member of the same name",
                GONE.as_secs()
            )),
            (false, true) => Next::Remove {
                id: former.id,
                why: format!("{who} is gone, and a new node of the same name joins"),
            },
        };
    }
    match members.iter().find(|member| member.learner) {
        Some(learner) if silent_for(learner) >= STUCK => Next::Remove {
            id: learner.id,
            why: format!(
                "{} was added, does not answer, and keeps others out",
                learner.who()
            ),
        },
        Some(learner) => Next::Wait(one_at_a_time(&learner.who())),
        None => Next::Add,
    }
}

/// Says that another node joins first.
pub(crate) fn one_at_a_time(who: &str) -> String {
    format!("{who} to be promoted: etcd takes one new member at a time")
}

/// Says why a member cannot be added or removed while others are away.
pub(crate) fn unhealthy(members: &[Seen]) -> String {
    match silent_ones(members) {
        Some(who) => format!(
            "etcd takes a new member only when all others are healthy, and {who} does not answer; start it, or give it up with `bedplate etcd remove-member`"
        ),
        None => "etcd's members to know each other for some seconds: it takes a new one only then".to_owned(),
    }
}

/// Lists members as the etcd of `me` is to be started with them. Those that never started have no name yet: the node itself,
/// and maybe others, for whom any will do.
pub(crate) fn peers(me: &Me<'_>, members: &[Seen]) -> Vec<EtcdPeer> {
    let peer = |member: &Seen| {
        Some(EtcdPeer {
            name: match member.name.as_str() {
                _ if member.addresses.contains(&me.address) => me.name.to_owned(),
                "" => format!("member-{:x}", member.id),
                name => name.to_owned(),
            },
            address: *member.addresses.first()?,
        })
    };
    members.iter().filter_map(peer).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(id: u64, name: &str) -> Seen {
        Seen {
            id,
            name: name.into(),
            addresses: vec![IpAddr::from([10, 0, 0, id as u8])],
            learner: false,
            answers: true,
            leader: None,
        }
    }

    fn me(address: u8) -> Me<'static> {
        Me {
            name: "node3",
            address: IpAddr::from([10, 0, 0, address]),
            added: None,
        }
    }

    fn silent(id: u64, seconds: u64) -> BTreeMap<u64, Duration> {
        BTreeMap::from([(id, Duration::from_secs(seconds))])
    }

    fn waits(next: Next) -> String {
        match next {
            Next::Wait(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_node_is_added_and_starts() {
        let two = [seen(1, "node1"), seen(2, "node2")];
        assert_eq!(next(&me(3), &two, &BTreeMap::new()), Next::Add);
        let added = Me {
            added: Some(3),
            ..me(3)
        };
        let mut learner = seen(3, "");
        learner.learner = true;
        let three = [seen(1, "node1"), learner, seen(2, "")];
        let Next::Start(peers) = next(&added, &three, &BTreeMap::new()) else {
            panic!("it does not start")
        };
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(names, ["node1", "node3", "member-2"]);
    }

    #[test]
    fn a_wiped_node_never_comes_back_as_the_same_member() {
        for name in ["node3", "", "other"] {
            let members = [seen(1, "node1"), seen(3, name)];
            let found = next(&me(3), &members, &BTreeMap::new());
            assert!(matches!(found, Next::Remove { id: 3, .. }), "{name}: {found:?}");
        }
        // It has the note, but the member has started since.
        let added = Me {
            added: Some(3),
            ..me(3)
        };
        let found = next(&added, &[seen(3, "node3")], &BTreeMap::new());
        assert!(matches!(found, Next::Remove { id: 3, .. }), "{found:?}");
    }

    #[test]
    fn a_member_of_the_same_name_is_replaced_only_when_it_is_gone() {
        let mut former = seen(2, "node3");
        let why = waits(next(&me(9), &[seen(1, "node1"), former.clone()], &silent(2, 999)));
        assert!(why.contains("answers: node3 at 10.0.0.2"), "{why}");
        former.answers = false;
        let members = [seen(1, "node1"), former];
        assert!(waits(next(&me(9), &members, &silent(2, 29))).starts_with("node3 at 10.0.0.2 to be gone"));
        assert!(matches!(
            next(&me(9), &members, &silent(2, 30)),
            Next::Remove { id: 2, .. }
        ));
    }

    #[test]
    fn a_learner_that_never_comes_does_not_keep_others_out() {
        let mut learner = seen(2, "");
        learner.learner = true;
        let members = [seen(1, "node1"), learner.clone()];
        let why = waits(next(&me(3), &members, &BTreeMap::new()));
        assert!(
            why.contains("at 10.0.0.2, which has not started yet, to be promoted"),
            "{why}"
        );
        learner.answers = false;
        let members = [seen(1, "node1"), learner];
        assert!(waits(next(&me(3), &members, &silent(2, 179))).contains("one new member at a time"));
        assert!(matches!(
            next(&me(3), &members, &silent(2, 180)),
            Next::Remove { id: 2, .. }
        ));
    }

    fn any_member() -> impl Strategy<Value = Seen> {
        let name = prop_oneof![Just(""), Just("node1"), Just("node2"), Just("node3")];
        (1..6_u64, 1..6_u8, name, any::<bool>(), any::<bool>()).prop_map(
            |(id, address, name, learner, answers)| Seen {
                id,
                name: name.into(),
                addresses: vec![IpAddr::from([10, 0, 0, address])],
                learner,
                answers,
                leader: None,
            },
        )
    }

    proptest! {
        #[test]
        fn nobody_who_answers_elsewhere_is_removed_and_nobody_is_doubled(
            members in proptest::collection::vec(any_member(), 0..5),
            added in proptest::option::of(1..6_u64),
            seconds in proptest::collection::btree_map(1..6_u64, 0..400_u64, 0..5),
        ) {
            let silent = seconds.into_iter().map(|(id, seconds)| (id, Duration::from_secs(seconds))).collect();
            let me = Me { added, ..me(3) };
            match next(&me, &members, &silent) {
                Next::Remove { id, .. } => {
                    let removed = members.iter().find(|member| member.id == id).unwrap();
                    let own_place = members.iter().any(|member| member.id == id && member.addresses.contains(&me.address));
                    let gone = members.iter().any(|member| member.id == id && !member.answers && silent.get(&id).is_some_and(|silent| *silent >= GONE));
                    prop_assert!(own_place || gone, "{removed:?}");
                }
                Next::Add => {
                    prop_assert!(!members.iter().any(|member| member.addresses.contains(&me.address)));
                    prop_assert!(!members.iter().any(|member| member.name == me.name || member.learner));
                }
                Next::Start(peers) => {
                    prop_assert_eq!(peers.len(), members.len());
                    prop_assert!(peers.iter().any(|peer| peer.address == me.address));
                    prop_assert!(added.is_some());
                }
                Next::Wait(_) => {}
            }
        }
    }
}
