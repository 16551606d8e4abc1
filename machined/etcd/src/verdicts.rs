//! What is wrong with each member of etcd. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::rpc::{AlarmMember, AlarmType};
use state::kinds::EtcdMemberStatus;

use crate::join::STUCK;
use crate::survey::Seen;

/// Says of each member how it is, by the name of its node. `learning` says for how long each was a learner.
pub(crate) fn verdicts(
    members: &[Seen],
    alarms: &[AlarmMember],
    learning: &BTreeMap<u64, Duration>,
) -> Vec<(String, EtcdMemberStatus)> {
    let leader = most_followed(members);
    let verdict = |member: &Seen| {
        let status = EtcdMemberStatus {
            leader: leader == Some(member.id),
            learner: member.learner,
            problem: problem(member, leader, alarms, learning.get(&member.id).copied()),
        };
        let name = match member.name.as_str() {
            "" => format!("member-{:x}", member.id),
            name => name.to_owned(),
        };
        (name, status)
    };
    members.iter().map(verdict).collect()
}

/// Returns the leader that most members follow; none where nobody knows one.
fn most_followed(members: &[Seen]) -> Option<u64> {
    let mut followers = BTreeMap::<u64, usize>::new();
    for leader in members.iter().filter_map(|member| member.leader) {
        *followers.entry(leader).or_default() += 1;
    }
    followers
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(leader, _)| leader)
}

fn problem(
    member: &Seen,
    leader: Option<u64>,
    alarms: &[AlarmMember],
    learning: Option<Duration>,
) -> Option<String> {
    let alarm = alarms
        .iter()
        .filter(|alarm| alarm.member_id == member.id)
        .find_map(|alarm| match alarm.alarm() {
            AlarmType::None => None,
            AlarmType::Nospace => Some(
                "its database is full, and etcd takes no writes; run `bedplate etcd defrag` on each control plane, then `bedplate etcd alarms --disarm`",
            ),
            AlarmType::Corrupt => Some(
                "its data differ from those of the others; run `bedplate reset --scope data` on it, and it joins again",
            ),
        });
    match (member.answers, member.leader) {
        (false, _) if member.name.is_empty() => Some("it was added, and has not started yet".to_owned()),
        (false, _) => Some("it does not answer".to_owned()),
        _ if alarm.is_some() => alarm.map(str::to_owned),
        (true, None) => Some("it has no leader".to_owned()),
        (true, own) if own != leader => Some("it follows another leader than the others".to_owned()),
        _ => learning.filter(|learning| *learning >= STUCK).map(|learning| {
            format!(
                "it has been a learner for {} s, as it does not catch up with the data of the leader",
                learning.as_secs()
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u64, leader: Option<u64>) -> Seen {
        Seen {
            id,
            name: format!("node{id}"),
            addresses: Vec::new(),
            learner: false,
            answers: true,
            leader,
        }
    }

    fn problems(members: &[Seen], alarms: &[AlarmMember], learning: &[(u64, u64)]) -> Vec<String> {
        let learning = learning
            .iter()
            .map(|(id, seconds)| (*id, Duration::from_secs(*seconds)))
            .collect();
        let all = verdicts(members, alarms, &learning);
        all.into_iter()
            .map(|(name, status)| format!("{name}: {}", status.problem.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn healthy_members_have_one_leader() {
        let members = [seen(1, Some(2)), seen(2, Some(2)), seen(3, Some(2))];
        let all = verdicts(&members, &[], &BTreeMap::new());
        assert!(all.iter().all(|(_, status)| status.problem.is_none()), "{all:?}");
        let leaders: Vec<bool> = all.iter().map(|(_, status)| status.leader).collect();
        assert_eq!(leaders, [false, true, false]);
    }

    #[test]
    fn each_fault_names_its_member() {
        let mut silent = seen(3, None);
        silent.answers = false;
        let mut fresh = silent.clone();
        fresh.name = String::new();
        let members = [seen(1, Some(1)), seen(2, Some(1)), silent];
        assert_eq!(problems(&members, &[], &[])[2], "node3: it does not answer");
        let members = [seen(1, Some(1)), fresh];
        assert_eq!(
            problems(&members, &[], &[])[1],
            "member-3: it was added, and has not started yet"
        );
        let members = [seen(1, None), seen(2, None)];
        assert_eq!(
            problems(&members, &[], &[]),
            ["node1: it has no leader", "node2: it has no leader"]
        );
        let members = [seen(1, Some(1)), seen(2, Some(1)), seen(3, Some(3))];
        assert_eq!(
            problems(&members, &[], &[])[2],
            "node3: it follows another leader than the others"
        );
        let mut learner = seen(2, Some(1));
        learner.learner = true;
        let members = [seen(1, Some(1)), learner];
        assert_eq!(problems(&members, &[], &[(2, 179)])[1], "node2: ");
        assert!(problems(&members, &[], &[(2, 180)])[1].contains("a learner for 180 s"));
        let alarm = |alarm: AlarmType| AlarmMember {
            member_id: 2,
            alarm: alarm.into(),
        };
        let members = [seen(1, Some(1)), seen(2, Some(1))];
        let full = problems(&members, &[alarm(AlarmType::Nospace)], &[]);
        assert!(
            full[0] == "node1: " && full[1].contains("takes no writes"),
            "{full:?}"
        );
        assert!(problems(&members, &[alarm(AlarmType::Corrupt)], &[])[1].contains("differ from those"));
    }
}
