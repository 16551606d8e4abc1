//! One member of etcd.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::rpc::alarm_request::AlarmAction;
use crate::rpc::cluster_client::ClusterClient;
use crate::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::rpc::kv_client::KvClient;
use crate::rpc::lease_client::LeaseClient;
use crate::rpc::maintenance_client::MaintenanceClient;
use crate::rpc::request_op::Request;
use crate::rpc::watch_client::WatchClient;
use crate::rpc::{
    AlarmMember, AlarmRequest, Compare, DefragmentRequest, Member, MemberAddRequest, MemberListRequest,
    MemberPromoteRequest, MemberRemoveRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse, TxnRequest,
};
use crate::{CallError, Credentials};

/// The port of etcd's clients.
pub const PORT: u16 = 2379;
/// A name that every member of the cluster serves under.
///
/// What counts is that the authority of the cluster's etcd vouches for it. It signs nothing but members and clients of
/// this etcd, so any of them may answer: also behind a virtual address, which no member serves under.
const NAME: &str = "localhost";
/// A key that nobody writes: a read of it tells whether a quorum answers.
const SOME_KEY: &str = "\0";
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(4);
/// How long an answer may take: longer than etcd itself waits for a quorum on a slow disk.
const ANSWERING: Duration = Duration::from_secs(15);
/// How long a defragmentation may take: etcd copies all of its data, on a card.
const DEFRAGMENTING: Duration = Duration::from_secs(300);

/// A member of etcd, called over mutual TLS. It connects with the first call, and again when the connection is lost.
#[derive(Debug, Clone)]
pub struct Etcd {
    channel: Channel,
    at: String,
}

/// What etcd answered, and who.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The cluster and the member.
    pub header: ResponseHeader,
    /// What it answered.
    pub value: T,
}

impl Etcd {
    /// Returns where the node's own etcd answers.
    pub fn own() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, PORT).into()
    }

    /// Returns the member at an address. Nothing is sent yet. Must be called inside the async runtime.
    pub fn connect(credentials: &Credentials, at: SocketAddr) -> Self {
        let connector = TlsConnector::from(credentials.client.config.clone());
        let dial = tower::service_fn(move |_: http::Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        let channel = Endpoint::from_static("http://localhost")
            .connect_timeout(CONNECTING)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect_with_connector_lazy(dial);
        let at = at.to_string();
        Self { channel, at }
    }

    /// Returns the address of the member.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Returns the client of keys.
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    /// Returns the client of leases.
    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// Returns the client of watches.
    pub fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// Lists the members, by agreement of a quorum.
    ///
    /// # Errors
    ///
    /// [`CallError`], as for all calls; [`Refusal::NoQuorum`](crate::Refusal::NoQuorum) where none agrees.
    pub async fn members(&self) -> Result<Answer<Vec<Member>>, CallError> {
        // Before 3.5 etcd lists members as it knows them, whatever is asked: only a read of a key needs a quorum there.
        self.get(SOME_KEY).await?;
        let request = MemberListRequest { linearizable: true };
        let mut client = self.cluster();
        let answer = self.call(client.member_list(request), ANSWERING).await?;
        Ok(answered(answer.header, answer.members))
    }

    /// Lists the members as this one knows them, also without a quorum. It may be wrong by now.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn members_as_known(&self) -> Result<Answer<Vec<Member>>, CallError> {
        let mut client = self.cluster();
        let request = MemberListRequest { linearizable: false };
        let answer = self.call(client.member_list(request), ANSWERING).await?;
        Ok(answered(answer.header, answer.members))
    }

    /// Adds a learner with an address for other members, and returns it with all members.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn add_learner(&self, peer_url: &str) -> Result<(Member, Vec<Member>), CallError> {
        let request = MemberAddRequest {
            peer_ur_ls: vec![peer_url.to_owned()],
            is_learner: true,
        };
        let mut client = self.cluster();
        let answer = self.call(client.member_add(request), ANSWERING).await?;
        Ok((answer.member.unwrap_or_default(), answer.members))
    }

    /// Removes a member.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn remove(&self, id: u64) -> Result<Vec<Member>, CallError> {
        let mut client = self.cluster();
        let request = MemberRemoveRequest { id };
        Ok(self.call(client.member_remove(request), ANSWERING).await?.members)
    }

    /// Makes a learner a voting member.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn promote(&self, id: u64) -> Result<Vec<Member>, CallError> {
        let mut client = self.cluster();
        let request = MemberPromoteRequest { id };
        Ok(self
            .call(client.member_promote(request), ANSWERING)
            .await?
            .members)
    }

    /// Returns how this member is. It answers also without a quorum.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn status(&self) -> Result<StatusResponse, CallError> {
        self.call(self.maintenance().status(StatusRequest {}), CONNECTING)
            .await
    }

    /// Lists the alarms of all members.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn alarms(&self) -> Result<Vec<AlarmMember>, CallError> {
        self.alarm(AlarmAction::Get, AlarmMember::default()).await
    }

    /// Ends an alarm of a member; until then etcd takes no writes.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn disarm(&self, alarm: AlarmMember) -> Result<Vec<AlarmMember>, CallError> {
        self.alarm(AlarmAction::Deactivate, alarm).await
    }

    async fn alarm(&self, action: AlarmAction, of: AlarmMember) -> Result<Vec<AlarmMember>, CallError> {
        let request = AlarmRequest {
            action: action.into(),
            member_id: of.member_id,
            alarm: of.alarm,
        };
        Ok(self
            .call(self.maintenance().alarm(request), ANSWERING)
            .await?
            .alarms)
    }

    /// Gives back to the disk what this member no longer needs. It answers nothing else meanwhile.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn defragment(&self) -> Result<(), CallError> {
        let mut client = self.maintenance();
        let call = client.defragment(DefragmentRequest {});
        self.call(call, DEFRAGMENTING).await.map(|_| ())
    }

    /// Makes another member the leader. Only the leader does it.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn move_leader(&self, target_id: u64) -> Result<(), CallError> {
        let mut client = self.maintenance();
        let call = client.move_leader(MoveLeaderRequest { target_id });
        self.call(call, ANSWERING).await.map(|_| ())
    }

    /// Begins a snapshot of all data: a database, and the SHA-256 of it in the last 32 bytes.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn snapshot(&self) -> Result<Streaming<SnapshotResponse>, CallError> {
        let mut client = self.maintenance();
        self.call(client.snapshot(SnapshotRequest {}), ANSWERING).await
    }

    /// Reads a key; none where there is no such key.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CallError> {
        let request = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let mut client = self.kv();
        let found = self.call(client.range(request), ANSWERING).await?.kvs;
        Ok(found.into_iter().next().map(|pair| pair.value))
    }

    /// Writes a key, and returns the revision at which a quorum has it.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<i64, CallError> {
        let request = PutRequest {
            key: key.into(),
            value: value.into(),
            lease: 0,
        };
        let mut client = self.kv();
        let answer = self.call(client.put(request), ANSWERING).await?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Writes a key unless there is such a key. Returns whether it was written.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn create(&self, key: &str, value: &[u8]) -> Result<bool, CallError> {
        let absent = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: key.into(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        };
        let put = PutRequest {
            key: key.into(),
            value: value.into(),
            lease: 0,
        };
        let request = TxnRequest {
            compare: vec![absent],
            success: vec![RequestOp {
                request: Some(Request::RequestPut(put)),
            }],
            failure: Vec::new(),
        };
        let mut client = self.kv();
        Ok(self.call(client.txn(request), ANSWERING).await?.succeeded)
    }

    /// Reads what became of a call of this member.
    pub fn problem(&self, status: &Status) -> CallError {
        CallError::of(&self.at, status)
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
        patience: Duration,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(patience, call).await {
            Ok(answer) => Ok(answer.map_err(|status| self.problem(&status))?.into_inner()),
            Err(_) => Err(CallError::Unreachable {
                at: self.at.clone(),
                why: format!("no answer within {} s", patience.as_secs()),
            }),
        }
    }
}

fn answered<T>(header: Option<ResponseHeader>, value: T) -> Answer<T> {
    let header = header.unwrap_or_default();
    Answer { header, value }
}
