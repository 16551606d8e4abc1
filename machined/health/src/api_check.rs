//! Asks the node's own API whether it serves: with a certificate that is in service, by a handshake over loopback.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pki::{Client, Fingerprint};
use quantity::human_time;
use state::kinds::{ApiStatus, BootStatus, CertificateStatus, NODE, TimeStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::clock::Clock;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How often an API that serves is asked.
const AGAIN: Duration = Duration::from_secs(20);
/// How often one that does not.
const SOON: Duration = Duration::from_secs(1);
/// How long a handshake may take on a busy board.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often in a row an API that served must fail before that is reported: it may be busy with others.
const FAILURES: u32 = 3;

/// Sole owner of [`ApiStatus`].
pub struct ApiCheck {
    address: SocketAddr,
    clock: Box<dyn Clock>,
    failures: u32,
}

impl ApiCheck {
    /// Makes the controller for an API that listens on this address of the loopback interface.
    pub fn new(address: SocketAddr, clock: Box<dyn Clock>) -> Self {
        ApiCheck {
            address,
            clock,
            failures: FAILURES,
        }
    }

    async fn ask(&self, store: &Store) -> Result<String, String> {
        let status: Option<CertificateStatus> = store.get(state::kinds::certificate::ID);
        let status = status.ok_or("the API has no certificate to serve with")?;
        // A clock that follows nobody is no judge of dates.
        let synchronised = store
            .get::<TimeStatus>(state::kinds::NODE)
            .is_some_and(|time| time.synchronised);
        if synchronised {
            dated(&status, self.clock.now())?;
        }
        shake_hands(self.address, &status.fingerprint).await?;
        Ok(status.fingerprint)
    }
}

/// Checks that a certificate is valid at this moment.
fn dated(status: &CertificateStatus, now: SystemTime) -> Result<(), String> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if now < status.not_before {
        return Err("the API's certificate is not valid yet by the node's clock".to_owned());
    }
    if now > status.not_after {
        return Err("the API's certificate is no longer valid by the node's clock".to_owned());
    }
    Ok(())
}

/// Shakes hands with whoever listens there, and checks that it proves to have the certificate with this fingerprint.
async fn shake_hands(address: SocketAddr, fingerprint: &str) -> Result<(), String> {
    let fingerprint: Fingerprint = fingerprint
        .parse()
        .map_err(|error| format!("the API's certificate has no fingerprint: {}", chain(&error)))?;
    let client = Client::pinned(fingerprint).map_err(|error| chain(&error))?;
    let hands = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("the API does not answer: {error}"))?;
        let connector = TlsConnector::from(client.config.clone());
        connector
            .connect(ServerName::IpAddress(address.ip().into()), stream)
            .await
            .map_err(|error| format!("the API refuses a handshake: {error}"))?;
        Ok(())
    };
    match timeout(PATIENCE, hands).await {
        Ok(done) => done,
        Err(_) => Err(format!("the API does not answer within {}", human_time(PATIENCE))),
    }
}

#[async_trait]
impl Controller for ApiCheck {
    fn name(&self) -> &'static str {
        "api-check"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[BootStatus::KIND, CertificateStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ApiStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let before: ApiStatus = store.get(NODE).unwrap_or_default();
        let (status, again) = match self.ask(store).await {
            Ok(fingerprint) => {
                self.failures = 0;
                let fingerprint = Some(fingerprint);
                (
                    ApiStatus {
                        problem: None,
                        fingerprint,
                    },
                    AGAIN,
                )
            }
            Err(problem) => {
                self.failures = self.failures.saturating_add(1);
                let problem = if self.failures >= FAILURES {
                    Some(problem)
                } else {
                    None
                };
                (ApiStatus { problem, ..before }, SOON)
            }
        };
        store.put(self.name(), NODE, status)?;
        Ok(Action::After(again))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pki::{NodeClock, Secrets, ServerTls, Serving, Validity, authority};
    use sys::clock::RecordingClock;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const START: u64 = 1_800_000_000;

    fn moment(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    struct Bench {
        store: Store,
        check: ApiCheck,
        tls: Arc<ServerTls>,
        address: SocketAddr,
    }

    impl Bench {
        /// Listens as the API does, and serves handshakes with what `tls` has at that moment.
        async fn start() -> Bench {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let tls = Arc::new(ServerTls::new());
            let served = tls.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // As with the real one, without a certificate there is nothing to say.
                    let Some(serving) = served.current() else { continue };
                    let acceptor = TlsAcceptor::from(serving.config.clone());
                    tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
                }
            });
            let clock = Box::new(RecordingClock::at(moment(START)));
            Bench {
                store: Store::new(),
                check: ApiCheck::new(address, clock),
                tls,
                address,
            }
        }

        fn publish(&self, fingerprint: &Fingerprint, from: u64, to: u64) {
            let status = CertificateStatus {
                mutual: true,
                signed: true,
                fingerprint: fingerprint.to_string(),
                names: vec![],
                not_before: from,
                not_after: to,
                remark: None,
                problem: None,
            };
            self.store
                .put("certificate", state::kinds::certificate::ID, status)
                .unwrap();
        }

        async fn problem(&mut self) -> Option<String> {
            self.check.reconcile(&self.store).await.unwrap();
            self.store.get::<ApiStatus>(NODE).unwrap().problem
        }
    }

    fn serving() -> (Fingerprint, Serving) {
        let secrets = Secrets::generate(moment(START)).unwrap();
        let validity = Validity {
            not_before: moment(START),
            not_after: moment(START + 1000),
        };
        let issued = secrets.authority.issue_server("node", &[], validity).unwrap();
        let authorities = secrets.authority.certificate_pem();
        let serving = Serving::mutual(authorities, &issued, Arc::new(NodeClock::new())).unwrap();
        (issued.certificate.fingerprint(), serving)
    }

    /// A node whose certificate cannot be made listens, and every handshake ends at once.
    #[tokio::test]
    async fn listening_is_not_serving() {
        let mut bench = Bench::start().await;
        let problem = bench.problem().await.unwrap();
        assert_eq!(problem, "the API has no certificate to serve with");

        // A resource that says so is not enough: nothing is in service.
        let (fingerprint, serving) = serving();
        bench.publish(&fingerprint, START, START + 1000);
        let problem = bench.problem().await.unwrap();
        assert!(problem.starts_with("the API refuses a handshake: "), "{problem}");

        bench.tls.set(Some(serving));
        assert_eq!(bench.problem().await, None);

        // One that is not the node's own is another's, or stale.
        let other = authority::maintenance(&[]).unwrap();
        bench.tls.set(Some(Serving::maintenance(&other).unwrap()));
        assert_eq!(bench.problem().await, None, "one failure may pass");
        assert_eq!(bench.problem().await, None);
        assert!(
            bench
                .problem()
                .await
                .unwrap()
                .starts_with("the API refuses a handshake: ")
        );
        assert_eq!(bench.check.address, bench.address);
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_valid_is_told_once_the_time_is_known() {
        let mut bench = Bench::start().await;
        let (fingerprint, serving) = serving();
        bench.tls.set(Some(serving));
        bench.publish(&fingerprint, START + 86_400, START + 2 * 86_400);
        assert_eq!(bench.problem().await, None, "nobody knows the time");
        let json = serde_json::json!({
            "synchronised": true, "source": "ntp", "server": null, "offsetNanos": 0,
            "lastSyncUnix": null, "servers": [], "serversFrom": "default", "reason": null,
        });
        let time: TimeStatus = serde_json::from_value(json).unwrap();
        bench.store.put("time", state::kinds::NODE, time).unwrap();
        for _ in 0..FAILURES {
            bench.problem().await;
        }
        let problem = bench.problem().await.unwrap();
        assert_eq!(
            problem,
            "the API's certificate is not valid yet by the node's clock"
        );
        bench.publish(&fingerprint, START - 100, START - 1);
        assert!(bench.problem().await.unwrap().contains("no longer valid"));
        bench.publish(&fingerprint, START - 100, START + 1);
        assert_eq!(bench.problem().await, None);
    }
}
