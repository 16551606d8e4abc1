//! The lease in etcd.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_client::rpc::{
    Compare, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, WatchCreateRequest, WatchRequest, request_op, watch_request,
};
use etcd_client::{CallError, Credentials, Etcd, NotReady};
use futures::StreamExt as _;
use state::Store;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Response, Status};

use crate::turn::Lease;

/// How long a lease is asked for, in seconds. etcd grants more where its own elections take longer, as on slow disks.
const LIFE: i64 = 5;
/// How long etcd may take for an answer: it is asked again a second later.
const PATIENCE: Duration = Duration::from_secs(2);

/// What etcd did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The node cannot speak to etcd yet.
    #[error("the node cannot speak to etcd yet")]
    NotReady(#[from] NotReady),
    /// etcd refused, or cannot be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// etcd did not answer.
    #[error("etcd did not answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Who has the address, and how to get it.
#[async_trait]
pub(crate) trait Election: Send + Sync {
    /// Returns the node that has the address; none where none has. It may be some seconds old.
    async fn holder(&self) -> Result<Option<String>, Error>;

    /// Takes the address for a node. Returns none if another one has it.
    async fn take(&self, node: &str) -> Result<Option<Lease>, Error>;

    /// Renews a lease. Returns none if it is over.
    async fn renew(&self, lease: Lease) -> Result<Option<Lease>, Error>;

    /// Gives a lease back: another node can have the address at once.
    async fn release(&self, lease: Lease) -> Result<(), Error>;

    /// Rings whenever another node takes the address or gives it up, for as long as the handle lives. It may miss some.
    fn watch(&self, bell: Arc<Notify>) -> AbortOnDropHandle<()>;
}

/// The election in the node's own etcd.
pub(crate) struct EtcdElection {
    etcd: Etcd,
    key: String,
}

impl EtcdElection {
    /// Speaks to the node's own etcd, about an address.
    pub(crate) fn new(store: &Store, address: IpAddr) -> Result<Self, Error> {
        let etcd = Etcd::connect(&Credentials::of_store(store)?, Etcd::own());
        Ok(Self::at(etcd, address))
    }

    /// Speaks to this etcd.
    pub(crate) fn at(etcd: Etcd, address: IpAddr) -> Self {
        let key = format!("bedplate/virtual-ip/{address}");
        Self { etcd, key }
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>> + Send,
    ) -> Result<T, Error> {
        match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.etcd.problem(&status).into()),
            Err(_) => Err(Error::Late),
        }
    }

    async fn revoke(&self, id: i64) -> Result<(), Error> {
        let mut client = self.etcd.lease();
        self.call(client.lease_revoke(LeaseRevokeRequest { id })).await?;
        Ok(())
    }
}

#[async_trait]
impl Election for EtcdElection {
    async fn holder(&self) -> Result<Option<String>, Error> {
        let request = RangeRequest {
            key: self.key.clone().into(),
            // What the node's own etcd knows: it is asked every second, and the transaction is what counts.
            serializable: true,
            ..RangeRequest::default()
        };
        let mut client = self.etcd.kv();
        let found = self.call(client.range(request)).await?.kvs.into_iter().next();
        Ok(found.map(|pair| String::from_utf8_lossy(&pair.value).into_owned()))
    }

    async fn take(&self, node: &str) -> Result<Option<Lease>, Error> {
        let (asked, mut leases) = (Instant::now(), self.etcd.lease());
        let request = LeaseGrantRequest { ttl: LIFE, id: 0 };
        let granted = self.call(leases.lease_grant(request)).await?;
        let absent = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: self.key.clone().into(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        };
        let put = PutRequest {
            key: self.key.clone().into(),
            value: node.into(),
            lease: granted.id,
        };
        let request = TxnRequest {
            compare: vec![absent],
            success: vec![RequestOp {
                request: Some(request_op::Request::RequestPut(put)),
            }],
            failure: Vec::new(),
        };
        let mut client = self.etcd.kv();
        let taken = self.call(client.txn(request)).await;
        if !matches!(&taken, Ok(answer) if answer.succeeded) {
            // It may have been taken, and the answer lost: then nobody would have it until the lease ends.
            let _ends_by_itself = self.revoke(granted.id).await;
        }
        Ok(taken?.succeeded.then(|| Lease {
            id: granted.id,
            life: seconds(granted.ttl),
            asked,
        }))
    }

    async fn renew(&self, lease: Lease) -> Result<Option<Lease>, Error> {
        let (asked, mut client) = (Instant::now(), self.etcd.lease());
        let request = futures::stream::iter([LeaseKeepAliveRequest { id: lease.id }]);
        let answered = timeout(PATIENCE, async {
            let mut answers = client.lease_keep_alive(request).await?.into_inner();
            answers.message().await
        });
        let answer = match answered.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => return Err(self.etcd.problem(&status).into()),
            Err(_) => return Err(Error::Late),
        };
        // None, or nothing left of it: it is over.
        let left = answer.map(|answer| answer.ttl).filter(|ttl| *ttl > 0);
        Ok(left.map(|ttl| Lease {
            life: seconds(ttl),
            asked,
            ..lease
        }))
    }

    async fn release(&self, lease: Lease) -> Result<(), Error> {
        self.revoke(lease.id).await
    }

    fn watch(&self, bell: Arc<Notify>) -> AbortOnDropHandle<()> {
        let (etcd, key) = (self.etcd.clone(), self.key.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                // It ends with the connection: the address is looked at every second all the same.
                if let Err(status) = ring(&etcd, &key, &bell).await {
                    tracing::debug!("virtual-ip: {}", etcd.problem(&status));
                }
                tokio::time::sleep(PATIENCE).await;
            }
        }))
    }
}

/// Rings at each change of a key, until the watch ends.
async fn ring(etcd: &Etcd, key: &str, bell: &Notify) -> Result<(), Status> {
    let create = WatchCreateRequest {
        key: key.into(),
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
    };
    // A stream that ends would end the watch.
    let requests = futures::stream::iter([request]).chain(futures::stream::pending());
    let mut answers = etcd.watch().watch(requests).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        if answer.canceled {
            return Ok(());
        }
        if !answer.events.is_empty() {
            bell.notify_one();
        }
    }
    Ok(())
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.try_into().unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests;
