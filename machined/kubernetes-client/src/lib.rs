//! A client of the Kubernetes API with the node's own identity.
//!
//! [`Clients`] returns it to the parts of the agent: one for all of them, recreated when the certificate, the address of the
//! API server or the cluster's authority changes. [`connect`] makes one for programs that are given the same by other ways.
//! Never reads the environment, a kubeconfig or the certificates of the system.
//!
//! API servers from 1.20 on are spoken to. The types of `k8s-openapi` are those of the newest version: a field that an older
//! server does not know is never required, and what moved between versions of the API is asked for by the caller's version.

mod clients;
mod connect;
mod reason;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use clients::{Clients, Connection, INPUTS, Missing};
pub use connect::{Credentials, Error, connect};
pub use kube;
pub use reason::reason;

use std::time::Duration;

/// How long a request may take from the first byte sent to the last one received, unless it is a watch.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The API server did not answer a request in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", REQUEST_LIMIT.as_secs())]
pub struct NoAnswer;

/// Waits for a request that is no watch, at most [`REQUEST_LIMIT`].
///
/// # Errors
///
/// That of the request, or [`NoAnswer`] as its service's.
pub async fn limited<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(Box::new(NoAnswer))),
    }
}
