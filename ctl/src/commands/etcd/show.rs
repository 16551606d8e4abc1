//! Tables of what etcd answers.

use std::time::{Duration, SystemTime};

use api::v1alpha1::{
    EtcdAlarm, EtcdAlarmsResponse, EtcdDisarmResponse, EtcdForfeitLeadershipResponse, EtcdMember,
    EtcdMembersResponse, EtcdRemoveMemberResponse, EtcdSnapshotsResponse, EtcdStatusResponse,
};

use crate::ui::{Show, Table, bytes, duration, moment_ms, note};

impl Show for EtcdMembersResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["ID", "NAME", "PEER URLS", "VOTES", "ANSWERS"]);
        for member in &self.members {
            table.row(row(member));
        }
    }
}

impl Show for EtcdRemoveMemberResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["ID", "NAME", "PEER URLS", "VOTES", "ANSWERS"]);
        if let Some(member) = &self.member {
            table.row(row(member));
        }
    }

    fn detail(&self) -> Option<String> {
        let member = self.member.as_ref()?;
        Some(format!("member {} {}: removed\n", member.name, member.id))
    }
}

fn row(member: &EtcdMember) -> [String; 5] {
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    [
        member.id.clone(),
        member.name.clone(),
        member.peer_urls.join(","),
        word(!member.learner),
        word(member.healthy),
    ]
}

impl Show for EtcdStatusResponse {
    fn show(&self, table: &mut Table) {
        let role = match () {
            () if self.member_id.is_empty() => "not running",
            () if self.learner => "learner",
            () if self.member_id == self.leader_id => "leader",
            () if self.leader_id.is_empty() => "no leader",
            () => "follower",
        };
        let errors = self
            .errors
            .iter()
            .chain(Some(&self.waits_for).filter(|why| !why.is_empty()));
        let problems: Vec<&str> = errors.map(String::as_str).collect();
        table
            .headings(&[
                "ID", "ROLE", "VERSION", "SIZE", "IN USE", "TERM", "INDEX", "PROBLEMS",
            ])
            .row([
                self.member_id.clone(),
                role.to_owned(),
                self.version.clone(),
                bytes(self.db_size_bytes),
                bytes(self.db_in_use_bytes),
                self.raft_term.to_string(),
                format!("{}/{}", self.raft_applied_index, self.raft_index),
                problems.join("; "),
            ]);
    }
}

impl Show for EtcdSnapshotsResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["NAME", "TAKEN", "AGE", "SIZE", "REVISION"]);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or_default();
        for kept in &self.snapshots {
            let age = u64::try_from(now.saturating_sub(kept.taken_unix)).unwrap_or_default();
            table.row([
                kept.name.clone(),
                moment_ms(kept.taken_unix.saturating_mul(1000)),
                duration(Duration::from_secs(age)),
                bytes(kept.size_bytes),
                kept.revision.to_string(),
            ]);
        }
        if !self.problem.is_empty() {
            note(&self.problem);
        }
    }
}

impl Show for EtcdForfeitLeadershipResponse {
    fn show(&self, table: &mut Table) {
        table.headings(&["NEW LEADER"]).row([self.leader.clone()]);
    }

    fn detail(&self) -> Option<String> {
        Some(match self.leader.as_str() {
            "" => "etcd: the node is not the leader\n".to_owned(),
            name => format!("etcd: {name} leads\n"),
        })
    }
}

impl Show for EtcdAlarmsResponse {
    fn show(&self, table: &mut Table) {
        alarms(&self.alarms, table);
    }
}

impl Show for EtcdDisarmResponse {
    fn show(&self, table: &mut Table) {
        alarms(&self.alarms, table);
    }
}

fn alarms(alarms: &[EtcdAlarm], table: &mut Table) {
    table.headings(&["MEMBER", "ALARM"]);
    for alarm in alarms {
        table.row([alarm.member_id.clone(), alarm.alarm.clone()]);
    }
}
