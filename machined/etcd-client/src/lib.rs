//! A client of etcd with the node's own identity.
//!
//! [`Credentials`] reads from the store whom to trust and what to show: the cluster's authority of etcd, and the certificate
//! `bedplate/etcd`, which control planes have. [`Etcd`] is one member, called over mutual TLS. [`rpc`] has the messages and
//! the generated clients, for what [`Etcd`] has no method for: leases, transactions, watches.
//!
//! ```text
//! let etcd = Etcd::connect(&Credentials::of_store(&store)?, Etcd::own())?;
//! let lease = etcd.lease().lease_grant(LeaseGrantRequest { ttl: 10, id: 0 }).await?;
//! ```

mod credentials;
mod error;
mod etcd;

pub use credentials::{Credentials, NotReady};
pub use error::{CallError, Refusal};
pub use etcd::{Answer, Etcd, PORT};

/// etcd's messages and its generated clients.
#[allow(
    missing_docs,
    clippy::all,
    reason = "generated; etcd's own documentation describes them"
)]
pub mod rpc {
    tonic::include_proto!("etcdserverpb");
}
