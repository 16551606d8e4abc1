//! The client of a running node.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use machine_config::MachineConfig;
use state::kinds::{ClusterMember, ComponentCertificate};
use state::{Resource as _, Store};

use crate::connect::{Credentials, Error, connect};

/// The certificate by which the API server knows the node's agent.
const CERTIFICATE: &str = "bedplate/kubernetes";
/// The certificate by which it knows the node's kubelet.
const KUBELET: &str = "kubelet/kubelet-client";

/// The kinds that a client is made from: the inputs of a controller that needs one.
pub const INPUTS: [&str; 3] = [
    ClusterMember::KIND,
    ComponentCertificate::KIND,
    MachineConfig::KIND,
];

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The node is no member of a cluster, or not yet.
    #[error("the node is not a member of a cluster yet")]
    Member,
    /// The machine config has no authority of a cluster.
    #[error("the machine config has no cluster.ca")]
    Authority,
    /// The node has no certificate for the API server yet.
    #[error("the node has no certificate for the API server yet")]
    Certificate,
    /// What there is does not make a client.
    #[error("there is no client of the API server")]
    Unusable(#[from] Error),
}

/// A client, and which one: a task that watches compares it with the one that it began with.
#[derive(Clone)]
pub struct Connection {
    /// The client. Clones share its connections.
    pub client: Client,
    /// Counts the clients that were made since the start.
    pub generation: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.generation)
    }
}

/// The node's client of the Kubernetes API, with the identity of its agent or of its kubelet. Clones share it.
#[derive(Clone)]
pub struct Clients {
    store: Store,
    /// The name of the certificate that it shows.
    certificate: &'static str,
    made: Arc<Mutex<Made>>,
}

/// The client that was made last.
#[derive(Default)]
struct Made {
    generation: u64,
    last: Option<(Credentials, Client)>,
}

impl Clients {
    /// Makes the node's client from what this store holds.
    pub fn new(store: Store) -> Self {
        Self::showing(CERTIFICATE, store)
    }

    /// Makes a client that is the node's kubelet for the API server: it may change its own node and evict pods from it, on
    /// control planes and workers alike, and nothing else.
    pub fn of_kubelet(store: Store) -> Self {
        Self::showing(KUBELET, store)
    }

    fn showing(certificate: &'static str, store: Store) -> Self {
        Self {
            store,
            certificate,
            made: Arc::default(),
        }
    }

    /// Returns the client; the same one until its [inputs](INPUTS) change. Must be called inside of a Tokio runtime.
    ///
    /// # Errors
    ///
    /// What is missing, or cannot be used.
    pub fn get(&self) -> Result<Connection, Missing> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = credentials(&self.store, self.certificate).inspect_err(|_| made.last = None)?;
        let client = match &made.last {
            Some((with, client)) if *with == credentials => client.clone(),
            _ => {
                made.last = None;
                let client = connect(&credentials)?;
                made.generation += 1;
                made.last = Some((credentials, client.clone()));
                client
            }
        };
        Ok(Connection {
            client,
            generation: made.generation,
        })
    }

    /// Waits for a client that is not the one of this generation: for the first one, if none is given. For tasks that watch;
    /// a controller names the [inputs](INPUTS) and calls [`Clients::get`].
    ///
    /// Cancel safe.
    pub async fn after(&self, generation: Option<u64>) -> Connection {
        let mut watch = self.store.watch(&INPUTS);
        loop {
            if let Ok(connection) = self.get()
                && Some(connection.generation) != generation
            {
                return connection;
            }
            watch.changed().await;
        }
    }
}

/// Collects what a client is made from.
fn credentials(store: &Store, certificate: &str) -> Result<Credentials, Missing> {
    let member: ClusterMember = store.get("node").ok_or(Missing::Member)?;
    let config: MachineConfig = store.get("node").ok_or(Missing::Authority)?;
    let ca = config.cluster.ca.as_ref().ok_or(Missing::Authority)?;
    let own: ComponentCertificate = store.get(certificate).ok_or(Missing::Certificate)?;
    Ok(Credentials {
        api: member.api,
        authority: ca.cert.as_str().to_owned(),
        certificate: own.certificate,
        key: own.key,
    })
}

#[cfg(test)]
mod tests {
    use state::testkit;

    use super::*;
    use crate::testing::{OWNER as TEST, put_member};

    fn put(store: &Store, api: &str, certificate: &pki::Issued) {
        let pair = (certificate.pem.clone(), certificate.key.to_pem().to_string());
        let authority = testkit::authority().certificate_pem();
        put_member(
            store,
            ("node1", false),
            (api, authority),
            vec![(CERTIFICATE, pair)],
            |_| (),
        );
    }

    fn issued() -> pki::Issued {
        let subject = pki::Subject {
            name: "bedplate:node:node1",
            organization: None,
            alternative_names: &[],
            purposes: pki::Purposes {
                client: true,
                server: false,
            },
        };
        let validity =
            pki::Validity::starting(std::time::SystemTime::now(), std::time::Duration::from_secs(60));
        testkit::authority().issue_for(&subject, validity).unwrap()
    }

    #[tokio::test]
    async fn there_is_one_client_until_what_it_is_made_from_changes() {
        let store = Store::new();
        let clients = Clients::new(store.clone());
        assert!(matches!(clients.get().unwrap_err(), Missing::Member));
        let first = issued();
        put(&store, "https://192.0.2.7:6443", &first);
        let generation = |clients: &Clients| clients.get().unwrap().generation;
        assert_eq!((generation(&clients), generation(&clients.clone())), (1, 1));
        put(&store, "https://192.0.2.8:6443", &first);
        assert_eq!(generation(&clients), 2);

        let waiting = tokio::spawn({
            let clients = clients.clone();
            async move { clients.after(Some(2)).await.generation }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        put(&store, "https://192.0.2.8:6443", &issued());
        assert_eq!(waiting.await.unwrap(), 3);

        store.remove::<ComponentCertificate>(TEST, CERTIFICATE).unwrap();
        assert!(matches!(clients.get().unwrap_err(), Missing::Certificate));
        put(&store, "https://192.0.2.8:6443", &first);
        assert_eq!(generation(&clients), 4);
    }

    #[tokio::test]
    async fn what_makes_no_client_is_named() {
        let store = Store::new();
        let clients = Clients::new(store.clone());
        let mut wrong = issued();
        wrong.pem = "nothing".into();
        put(&store, "https://192.0.2.7:6443", &wrong);
        let error = clients.get().unwrap_err();
        assert!(matches!(error, Missing::Unusable(Error::Client(_))), "{error:?}");
        put(&store, "192.0.2.7 6443", &issued());
        assert!(matches!(
            clients.get().unwrap_err(),
            Missing::Unusable(Error::Address { .. })
        ));
    }
}
