//! Answers the API: asks etcd, and says what it answers in the API's messages.

use api::v1alpha1::{
    EtcdAlarm, EtcdMember, EtcdMembersResponse, EtcdRecovered, EtcdSnapshotsResponse, EtcdStatusResponse,
};
use async_trait::async_trait;
use backend::{BackendError, Etcd as Api, SnapshotPieces, SnapshotSource};
use etcd_client::rpc::{AlarmMember, AlarmType, Member};
use etcd_client::{CallError, Credentials, Etcd, Refusal};
use futures::{StreamExt as _, stream};
use state::chain;
use state::kinds::{EtcdMembership, NODE};

use crate::controller::{Node, control_plane};
use crate::handle::{EtcdHandle, refused};
use crate::survey::{Seen, ask_of};

/// The node's own etcd, to be asked.
struct Own {
    node: Node,
    credentials: Credentials,
    etcd: Etcd,
}

impl EtcdHandle {
    /// Returns the node's own etcd, running or not.
    fn own(&self) -> Result<Own, BackendError> {
        self.cluster()?;
        let node = control_plane(&self.store).ok_or_else(|| refused("this node is no control plane"))?;
        let credentials = Credentials::of_store(&self.store);
        let credentials = credentials.map_err(|error| BackendError::Unavailable(chain(&error)))?;
        let etcd = Etcd::connect(&credentials, self.ports.client(node.address));
        Ok(Own {
            node,
            credentials,
            etcd,
        })
    }

    /// Returns what the node's etcd waits for, or nothing.
    fn waits_for(&self) -> String {
        let membership: Option<EtcdMembership> = self.store.get(NODE);
        membership
            .and_then(|membership| membership.waits_for)
            .unwrap_or_default()
    }

    /// Says why etcd does not answer: by what the node waits for, if it waits.
    fn problem(&self, error: CallError) -> BackendError {
        match (error.refusal(), self.waits_for().as_str()) {
            (Some(Refusal::NoSuchMember), _) => BackendError::NotFound(error.to_string()),
            (Some(Refusal::Other), _) => BackendError::Refused(error.to_string()),
            (_, "") => BackendError::Unavailable(error.to_string()),
            (_, why) => BackendError::Unavailable(format!("{error}; the node waits for {why}")),
        }
    }

    /// Removes the node's own member for good, after another one leads. Returns false where it was the only one.
    async fn remove_own(&self, own: &Own) -> Result<bool, BackendError> {
        let answer = own.etcd.members().await.map_err(|error| self.problem(error))?;
        if answer.value.iter().filter(|member| !member.is_learner).count() < 2 {
            return Ok(false);
        }
        self.forfeit(own).await?;
        let removed = own.etcd.remove(answer.header.member_id).await;
        removed.map_err(|error| match error.refusal() {
            Some(Refusal::Unhealthy) => {
                refused("etcd would lose its quorum without this member, as others are not healthy; see `bedplate etcd members`")
            }
            _ => self.problem(error),
        })?;
        Ok(true)
    }

    /// Makes another voting member that answers the leader.
    async fn forfeit(&self, own: &Own) -> Result<Option<String>, BackendError> {
        let problem = |error| self.problem(error);
        let status = own.etcd.status().await.map_err(problem)?;
        let id = status.header.unwrap_or_default().member_id;
        if status.leader != id {
            return Ok(None);
        }
        let answer = own.etcd.members().await.map_err(problem)?;
        let seen = ask_of(&own.credentials, self.ports, &answer.value).await;
        let heir = seen
            .into_iter()
            .find(|member| member.id != id && !member.learner && member.answers);
        let Some(heir) = heir else {
            return Err(refused(
                "no other member of etcd is healthy, so none can lead; see `bedplate etcd members`",
            ));
        };
        own.etcd.move_leader(heir.id).await.map_err(problem)?;
        Ok(Some(heir.name))
    }

    /// Leaves etcd before the node is reset, so that the others do not wait for it. A member that is the only one, or whose
    /// cluster has no quorum or is not there, has nobody to leave.
    ///
    /// # Errors
    ///
    /// What speaks against it: the others would lose their quorum.
    pub async fn leave_for_good(&self) -> Result<(), BackendError> {
        let Ok(own) = self.own() else { return Ok(()) };
        match self.remove_own(&own).await {
            Ok(true) => {
                self.events.info("etcd", "the node has left etcd");
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(BackendError::Refused(why)) => Err(BackendError::Refused(why)),
            Err(error) => {
                self.events.warning("etcd", format!("cannot leave etcd: {error}"));
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Api for EtcdHandle {
    async fn bootstrap(&self) -> Result<(), BackendError> {
        self.request_bootstrap().await
    }

    async fn recover(&self, snapshot: SnapshotSource, replace: bool) -> Result<EtcdRecovered, BackendError> {
        self.take_snapshot(snapshot, replace).await
    }

    async fn members(&self) -> Result<EtcdMembersResponse, BackendError> {
        let own = self.own()?;
        let (quorum, listed) = match own.etcd.members().await {
            Ok(answer) => (true, answer.value),
            Err(error) => {
                let known = own.etcd.members_as_known().await;
                (false, known.map_err(|_| self.problem(error))?.value)
            }
        };
        let seen = ask_of(&own.credentials, self.ports, &listed).await;
        let members = listed
            .iter()
            .zip(&seen)
            .map(|(member, seen)| shown(member, seen.answers));
        Ok(EtcdMembersResponse {
            members: members.collect(),
            quorum,
        })
    }

    async fn status(&self) -> Result<EtcdStatusResponse, BackendError> {
        let own = self.own()?;
        let waits_for = self.waits_for();
        let status = match own.etcd.status().await {
            Ok(status) => status,
            Err(_) if !waits_for.is_empty() => {
                return Ok(EtcdStatusResponse {
                    waits_for,
                    ..EtcdStatusResponse::default()
                });
            }
            Err(error) => return Err(self.problem(error)),
        };
        let bytes = |size| u64::try_from(size).unwrap_or_default();
        Ok(EtcdStatusResponse {
            member_id: hex(status.header.unwrap_or_default().member_id),
            leader_id: hex(status.leader),
            version: status.version,
            learner: status.is_learner,
            db_size_bytes: bytes(status.db_size),
            db_in_use_bytes: bytes(status.db_size_in_use),
            raft_term: status.raft_term,
            raft_index: status.raft_index,
            raft_applied_index: status.raft_applied_index,
            errors: status.errors,
            waits_for,
        })
    }

    async fn snapshots(&self) -> Result<EtcdSnapshotsResponse, BackendError> {
        self.cluster()?;
        self.list_kept().await
    }

    async fn snapshot(&self, kept: Option<&str>) -> Result<SnapshotPieces, BackendError> {
        if let Some(name) = kept {
            self.cluster()?;
            return self.read_kept(name).await;
        }
        let own = self.own()?;
        let pieces = own.etcd.snapshot().await.map_err(|error| self.problem(error))?;
        let named = stream::unfold((pieces, own.etcd), |(mut pieces, etcd)| async {
            let piece = pieces.next().await?;
            let piece = piece.map(|piece| piece.blob);
            let piece = piece.map_err(|status| BackendError::Unavailable(etcd.problem(&status).to_string()));
            Some((piece, (pieces, etcd)))
        });
        Ok(Box::pin(named))
    }

    async fn remove_member(&self, member: &str) -> Result<EtcdMember, BackendError> {
        let own = self.own()?;
        let answer = own.etcd.members().await.map_err(|error| self.problem(error))?;
        let found = answer
            .value
            .iter()
            .find(|found| found.name == member || hex(found.id) == member);
        let Some(found) = found.filter(|_| !member.is_empty()) else {
            let known: Vec<String> = answer.value.iter().map(|member| Seen::of(member).who()).collect();
            return Err(BackendError::NotFound(format!(
                "etcd has no member {member:?}; members: {}",
                known.join(", ")
            )));
        };
        if found.id == answer.header.member_id {
            return Err(refused(
                "this is the node's own member; run `bedplate etcd leave` on it",
            ));
        }
        match own.etcd.remove(found.id).await {
            Ok(_) => {
                self.events.warning(
                    "etcd",
                    format!("{} was removed on request", Seen::of(found).who()),
                );
                Ok(shown(found, false))
            }
            Err(error) if error.refusal() == Some(Refusal::Unhealthy) => Err(refused(
                "etcd would lose its quorum without that member, as others are not healthy; see `bedplate etcd members`",
            )),
            Err(error) => Err(self.problem(error)),
        }
    }

    async fn leave(&self) -> Result<(), BackendError> {
        let own = self.own()?;
        if !self.remove_own(&own).await? {
            return Err(refused(
                "this is the only voting member of etcd, and leaving would give up the cluster's data; to do that, run `bedplate reset --scope all`",
            ));
        }
        let mut note = self.places.note().unwrap_or_default();
        note.cluster = own.node.cluster;
        note.removed = true;
        let noted = self.places.set_left().and_then(|()| self.places.set_note(&note));
        noted.map_err(|error| BackendError::Internal(chain(&error)))?;
        self.events.info(
            "etcd",
            "the node has left etcd on request, until it is started again",
        );
        self.bell.notify_one();
        Ok(())
    }

    async fn forfeit_leadership(&self) -> Result<Option<String>, BackendError> {
        let own = self.own()?;
        self.forfeit(&own).await
    }

    async fn defragment(&self) -> Result<(), BackendError> {
        let own = self.own()?;
        own.etcd.defragment().await.map_err(|error| self.problem(error))
    }

    async fn alarms(&self) -> Result<Vec<EtcdAlarm>, BackendError> {
        let own = self.own()?;
        let alarms = own.etcd.alarms().await.map_err(|error| self.problem(error))?;
        Ok(alarms.iter().map(alarm).collect())
    }

    async fn disarm(&self) -> Result<Vec<EtcdAlarm>, BackendError> {
        let own = self.own()?;
        let alarms = own.etcd.alarms().await.map_err(|error| self.problem(error))?;
        for alarm in &alarms {
            own.etcd
                .disarm(*alarm)
                .await
                .map_err(|error| self.problem(error))?;
        }
        Ok(alarms.iter().map(alarm).collect())
    }
}

/// Writes an ID as etcd's own tools do; nothing for none.
fn hex(id: u64) -> String {
    match id {
        0 => String::new(),
        id => format!("{id:x}"),
    }
}

fn shown(member: &Member, answers: bool) -> EtcdMember {
    EtcdMember {
        id: hex(member.id),
        name: member.name.clone(),
        peer_urls: member.peer_ur_ls.clone(),
        learner: member.is_learner,
        healthy: answers,
    }
}

fn alarm(alarm: &AlarmMember) -> EtcdAlarm {
    let word = match alarm.alarm() {
        AlarmType::None => "none",
        AlarmType::Nospace => "no-space",
        AlarmType::Corrupt => "corrupt",
    };
    EtcdAlarm {
        member_id: hex(alarm.member_id),
        alarm: word.to_owned(),
    }
}
