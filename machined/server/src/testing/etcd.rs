//! The fake node's etcd: a cluster of one.

use api::v1alpha1::{
    EtcdAlarm, EtcdMember, EtcdMembersResponse, EtcdRecovered, EtcdSnapshotsResponse, EtcdStatusResponse,
    KeptEtcdSnapshot,
};
use async_trait::async_trait;
use backend::{BackendError, Etcd, SnapshotPieces, SnapshotSource};
use futures::stream;

use super::FakeNode;

#[async_trait]
impl Etcd for FakeNode {
    async fn bootstrap(&self) -> Result<(), BackendError> {
        self.note("bootstrap".into());
        Ok(())
    }

    async fn recover(&self, snapshot: SnapshotSource, replace: bool) -> Result<EtcdRecovered, BackendError> {
        let mut snapshot = match snapshot {
            SnapshotSource::Pushed(snapshot) => snapshot,
            SnapshotSource::Kept(name) => {
                self.note(format!("recover from {name}, replace: {replace}"));
                return Ok(EtcdRecovered {
                    sha256: "cd".repeat(32),
                    size_bytes: 20 << 20,
                });
            }
        };
        if snapshot.length() == 0 {
            return Err(BackendError::Refused("this is no snapshot of etcd".to_owned()));
        }
        let read = tokio::task::spawn_blocking(move || {
            let (length, mut offset, mut last) = (snapshot.length(), 0, 0);
            while offset < length {
                let want = (length - offset).min(api::MAX_DATA as u64) as u32;
                last = snapshot.read(offset, want)?.last().copied().unwrap_or(0);
                offset += u64::from(want);
            }
            Ok::<_, backend::PushError>((length, last))
        });
        let (size_bytes, last) = read
            .await
            .map_err(|error| BackendError::Internal(error.to_string()))?
            .map_err(|error| BackendError::Unavailable(error.to_string()))?;
        self.note(format!("recover from {size_bytes} bytes, the last is {last}"));
        Ok(EtcdRecovered {
            sha256: "ab".repeat(32),
            size_bytes,
        })
    }

    async fn members(&self) -> Result<EtcdMembersResponse, BackendError> {
        let members = vec![EtcdMember {
            id: "8e9e05c52164694d".into(),
            name: self.hostname.clone(),
            peer_urls: vec!["https://192.0.2.7:2380".into()],
            learner: false,
            healthy: true,
        }];
        Ok(EtcdMembersResponse {
            members,
            quorum: true,
        })
    }

    async fn status(&self) -> Result<EtcdStatusResponse, BackendError> {
        Ok(EtcdStatusResponse {
            member_id: "8e9e05c52164694d".into(),
            leader_id: "8e9e05c52164694d".into(),
            version: "3.5.16".into(),
            db_size_bytes: 20 << 20,
            db_in_use_bytes: 12 << 20,
            ..EtcdStatusResponse::default()
        })
    }

    async fn snapshots(&self) -> Result<EtcdSnapshotsResponse, BackendError> {
        let kept = |name: &str, taken_unix, revision| KeptEtcdSnapshot {
            name: name.into(),
            taken_unix,
            size_bytes: 20 << 20,
            revision,
        };
        Ok(EtcdSnapshotsResponse {
            snapshots: vec![
                kept("20261127T181500Z-r4711.db", 1_795_803_300, 4711),
                kept("20261127T061500Z-r4000.db", 1_795_760_100, 4000),
            ],
            problem: String::new(),
        })
    }

    async fn snapshot(&self, kept: Option<&str>) -> Result<SnapshotPieces, BackendError> {
        if let Some(name) = kept {
            self.note(format!("snapshot {name}"));
        }
        // SHA-256 of the two before it.
        const HASH: [u8; 32] = [
            0x13, 0x07, 0x99, 0x0e, 0x6b, 0xa5, 0xca, 0x14, 0x5e, 0xb3, 0x5e, 0x99, 0x18, 0x2a, 0x9b, 0xec,
            0x46, 0x53, 0x1b, 0xc5, 0x4d, 0xdf, 0x65, 0x6a, 0x60, 0x2c, 0x78, 0x0f, 0xa0, 0x24, 0x0d, 0xee,
        ];
        let pieces = [b"some ".to_vec(), b"data".to_vec(), HASH.to_vec()];
        Ok(Box::pin(stream::iter(pieces.map(Ok))))
    }

    async fn remove_member(&self, member: &str) -> Result<EtcdMember, BackendError> {
        self.note(format!("remove member {member}"));
        Ok(EtcdMember {
            name: member.into(),
            ..EtcdMember::default()
        })
    }

    async fn leave(&self) -> Result<(), BackendError> {
        self.note("leave".into());
        Ok(())
    }

    async fn forfeit_leadership(&self) -> Result<Option<String>, BackendError> {
        self.note("forfeit leadership".into());
        Ok(Some("node2".into()))
    }

    async fn defragment(&self) -> Result<(), BackendError> {
        self.note("defragment".into());
        Ok(())
    }

    async fn alarms(&self) -> Result<Vec<EtcdAlarm>, BackendError> {
        Ok(vec![EtcdAlarm {
            member_id: "8e9e05c52164694d".into(),
            alarm: "no-space".into(),
        }])
    }

    async fn disarm(&self) -> Result<Vec<EtcdAlarm>, BackendError> {
        self.note("disarm".into());
        self.alarms().await
    }
}
