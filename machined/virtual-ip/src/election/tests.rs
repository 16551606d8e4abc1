//! A real etcd, where there is one.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use pki::{Authority, NodeClock, Purposes, Subject};
use tempfile::TempDir;

use super::*;

/// A real etcd that trusts, and is trusted by, an authority of its own. It ends with the value.
pub(crate) struct RealEtcd {
    process: Child,
    _folder: TempDir,
    pub(crate) credentials: Credentials,
    pub(crate) at: SocketAddr,
}

impl RealEtcd {
    /// Starts one at an address. Returns none, and says so, where there is no etcd.
    pub(crate) fn start(at: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate_ecdsa("etcd", SystemTime::now()).unwrap();
        let names = ["localhost".to_owned(), at.ip().to_string()];
        let subject = Subject {
            name: "etcd",
            organization: None,
            alternative_names: &names,
            purposes: Purposes {
                client: true,
                server: true,
            },
        };
        let issued = authority
            .issue_for(&subject, NodeClock::trusting().plan(SystemTime::now()))
            .unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (ca, certificate) = (file("ca", authority.certificate_pem()), file("crt", &issued.pem));
        let key = file("key", &issued.key.to_pem());
        let (client, peer) = (
            format!("https://{at}"),
            format!("http://{}:{}", at.ip(), at.port() + 1),
        );
        let data = folder.path().join("data").display().to_string();
        let started = Command::new("etcd")
            .args([
                "--name=a",
                "--unsafe-no-fsync",
                "--client-cert-auth",
                "--log-level=error",
            ])
            .args([format!("--data-dir={data}"), format!("--trusted-ca-file={ca}")])
            .args([format!("--cert-file={certificate}"), format!("--key-file={key}")])
            .args([
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
            ])
            .args([
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=a={peer}"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no program etcd in the PATH");
                return None;
            }
            started => started.unwrap(),
        };
        let credentials = Credentials::new(authority.certificate_pem(), &issued.pem, &issued.key.to_pem());
        Some(Self {
            process,
            _folder: folder,
            credentials: credentials.unwrap(),
            at,
        })
    }

    /// Connects to it, about an address.
    pub(crate) fn election(&self, address: IpAddr) -> EtcdElection {
        EtcdElection::at(Etcd::connect(&self.credentials, self.at), address)
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        let _gone = (self.process.kill(), self.process.wait());
    }
}

/// Returns a free port whose successor is free, too.
fn free() -> SocketAddr {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        if first.port() < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", first.port() + 1)).is_ok() {
            return first;
        }
    }
}

#[tokio::test]
async fn etcd_gives_the_address_to_one_node_and_to_another_when_its_lease_is_over() {
    let Some(etcd) = RealEtcd::start(free()) else {
        return;
    };
    let address = "10.9.0.5".parse().unwrap();
    let (one, other) = (etcd.election(address), etcd.election(address));
    let started = Instant::now();
    while one.holder().await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "etcd does not start");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(one.holder().await.unwrap(), None);
    let first = one.take("node1").await.unwrap().unwrap();
    assert!(first.life >= Duration::from_secs(2), "{first:?}");
    assert_eq!(other.take("node2").await.unwrap(), None);
    assert_eq!(other.holder().await.unwrap().as_deref(), Some("node1"));
    let bell = Arc::new(Notify::new());
    let _watch = other.watch(bell.clone());
    let renewed = one.renew(first).await.unwrap().unwrap();
    assert!(renewed.id == first.id && renewed.asked > first.asked);

    // The watch may begin later than this one ends: others follow.
    let mut held = Some(renewed);
    loop {
        if let Some(lease) = held.take() {
            one.release(lease).await.unwrap();
        } else {
            held = one.take("node1").await.unwrap();
        }
        let rung = timeout(Duration::from_millis(200), bell.notified()).await;
        if rung.is_ok() && held.is_none() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nobody is told that the address is free"
        );
    }
    assert_eq!(one.renew(renewed).await.unwrap(), None, "it is over");
    let second = other.take("node2").await.unwrap().unwrap();

    // Nobody renews it.
    let waiting = Instant::now();
    while one.take("node1").await.unwrap().is_none() {
        assert!(waiting.elapsed() < second.life + Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(second.asked.elapsed() >= second.life, "not before its end");
    let elsewhere = etcd.election("10.9.0.6".parse().unwrap());
    assert!(
        elsewhere.take("node2").await.unwrap().is_some(),
        "each address is of its own"
    );
}
