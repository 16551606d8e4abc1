//! The ledger of the whole cluster: in etcd, so that a name that one control plane gave is given by no other.
//!
//! Each name is a key. A claim reads all of them, decides, and writes on the condition that the name is as it was read.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_client::rpc::request_op::Request;
use etcd_client::rpc::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use etcd_client::{CallError, Credentials, Etcd, NotReady};
use machine_config::MachineConfig;
use state::Store;
use state::kinds::NODE;

use crate::ledger::{Claim, Entries, Entry, FileLedger, Ledger, Refused, decide, make_room};

/// What stands before each name.
const PREFIX: &str = "/bedplate/names/";
/// The first key behind all of them: the prefix with its last byte raised by one.
const END: &str = "/bedplate/names0";
/// How long a claim may take: less than a worker waits for its answer.
const ANSWERING: Duration = Duration::from_secs(10);
/// How often a claim is tried while others write.
const TRIES: usize = 4;

/// Why the cluster's ledger does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node has no certificate for etcd yet.
    #[error("cannot ask the cluster's etcd who holds the name")]
    NotReady(#[from] NotReady),
    /// etcd does not answer, or not yet.
    #[error("cannot ask the cluster's etcd who holds the name")]
    Call(#[from] CallError),
    /// It takes too long.
    #[error("the cluster's etcd does not say in time who holds the name")]
    NoAnswer,
    /// Others write all the time.
    #[error("too many nodes join at once; this one is asked again")]
    Busy,
}

/// Keeps the entries in the etcd of the cluster.
#[derive(Debug, Clone)]
pub struct EtcdLedger {
    etcd: Etcd,
}

impl EtcdLedger {
    /// Asks the member of etcd at an address.
    pub fn new(credentials: &Credentials, at: SocketAddr) -> Self {
        Self {
            etcd: Etcd::connect(credentials, at),
        }
    }

    /// Reads all entries, and the revision at which that of `name` was written last: 0 where there is none.
    async fn read(&self, name: &str) -> Result<(Entries, i64), CallError> {
        let request = RangeRequest {
            key: PREFIX.into(),
            range_end: END.into(),
            ..RangeRequest::default()
        };
        let mut kv = self.etcd.kv();
        let found = kv.range(request).await;
        let found = found.map_err(|status| self.etcd.problem(&status))?.into_inner();
        let (mut entries, mut revision) = (Entries::new(), 0);
        for pair in found.kvs {
            let Some(other) = pair.key.strip_prefix(PREFIX.as_bytes()) else {
                continue;
            };
            let other = String::from_utf8_lossy(other).into_owned();
            if other == name {
                revision = pair.mod_revision;
            }
            match serde_json::from_slice::<Entry>(&pair.value) {
                Ok(entry) => {
                    entries.insert(other, entry);
                }
                // The next claim of that name writes over it.
                Err(error) => tracing::error!("the holder of the name {other} cannot be read: {error}"),
            }
        }
        Ok((entries, revision))
    }

    /// Writes an entry and removes others, unless that of the name was written since `revision`. Returns whether it was.
    async fn write(
        &self,
        name: &str,
        entry: &Entry,
        gone: &[String],
        revision: i64,
    ) -> Result<bool, Refused> {
        let key = |name: &str| format!("{PREFIX}{name}").into_bytes();
        let value = serde_json::to_vec(entry).map_err(|error| Refused::Io(error.into()))?;
        let put = Request::RequestPut(PutRequest {
            key: key(name),
            value,
            lease: 0,
        });
        let remove = |name: &String| {
            Request::RequestDeleteRange(DeleteRangeRequest {
                key: key(name),
                range_end: Vec::new(),
            })
        };
        let request = |request| RequestOp {
            request: Some(request),
        };
        let transaction = TxnRequest {
            compare: vec![Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key(name),
                target_union: Some(TargetUnion::ModRevision(revision)),
            }],
            success: std::iter::once(put)
                .chain(gone.iter().map(remove))
                .map(request)
                .collect(),
            failure: Vec::new(),
        };
        let mut kv = self.etcd.kv();
        let answered = kv.txn(transaction).await;
        let answered = answered.map_err(|status| Error::Call(self.etcd.problem(&status)))?;
        Ok(answered.into_inner().succeeded)
    }

    async fn keep(&self, claim: &Claim) -> Result<(), Refused> {
        for _ in 0..TRIES {
            let (mut entries, revision) = self.read(&claim.name).await.map_err(Error::Call)?;
            let Some(entry) = decide(&entries, claim)? else {
                return Ok(());
            };
            let gone = match entries.contains_key(&claim.name) {
                true => Vec::new(),
                false => make_room(&mut entries, claim.now)?,
            };
            if self.write(&claim.name, &entry, &gone, revision).await? {
                return Ok(());
            }
        }
        Err(Error::Busy.into())
    }
}

#[async_trait]
impl Ledger for EtcdLedger {
    async fn claim(&self, claim: Claim) -> Result<(), Refused> {
        match tokio::time::timeout(ANSWERING, self.keep(&claim)).await {
            Ok(kept) => kept,
            Err(_) => Err(Error::NoAnswer.into()),
        }
    }
}

/// The ledger of a control plane: in the cluster's etcd where it runs Kubernetes, and in a file where not.
#[derive(Clone)]
pub struct NodeLedger {
    store: Store,
    file: FileLedger,
    etcd: SocketAddr,
}

impl NodeLedger {
    /// Makes that of a node, whose etcd answers at an address.
    pub fn new(store: Store, file: FileLedger, etcd: SocketAddr) -> Self {
        Self { store, file, etcd }
    }
}

#[async_trait]
impl Ledger for NodeLedger {
    async fn claim(&self, claim: Claim) -> Result<(), Refused> {
        let config: Option<MachineConfig> = self.store.get(NODE);
        if config.is_none_or(|config| config.cluster.secrets.is_none()) {
            return self.file.claim(claim).await;
        }
        let credentials = Credentials::of_store(&self.store).map_err(Error::NotReady)?;
        EtcdLedger::new(&credentials, self.etcd).claim(claim).await
    }
}
