//! Handlers of the requests that the guard has allowed. One file for each service.

mod container;
mod etcd;
mod file;
mod firmware;
mod health;
mod image;
mod kubernetes;
mod log;
mod machine;
mod packet;
mod peer;
mod pushed;
mod resource;
mod service;
mod stats;
mod upgrade;
mod workload;

use std::pin::Pin;
use std::sync::Arc;

use backend::Backend;
use backend::Caller;
use futures::Stream;
use state::Store;
use tonic::{Request, Status};

use super::files::FilePolicy;
use super::host::Host;
use super::tunnel::Tunnels;

/// The implementation of every service. Clones share everything.
#[derive(Clone)]
pub struct Handlers {
    store: Store,
    backend: Backend,
    host: Host,
    files: Arc<FilePolicy>,
    tunnels: Tunnels,
}

/// A stream of responses that may end with an error.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Handlers {
    /// Returns handlers that read from these sources.
    pub fn new(store: Store, backend: Backend, host: Host, files: FilePolicy, tunnels: Tunnels) -> Self {
        Self {
            store,
            backend,
            host,
            files: Arc::new(files),
            tunnels,
        }
    }
}

/// Returns the caller, which the guard has inserted.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::internal("the request did not pass the guard"))
}

/// Reads a number of lines to start with, where 0 means all.
fn tail(count: u32) -> Option<usize> {
    (count > 0).then(|| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Runs work that may wait for a disk, off the threads of the async runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| Status::internal(format!("the request failed: {error}")))
}
