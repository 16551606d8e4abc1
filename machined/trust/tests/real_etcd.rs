//! The ledger in a real etcd, as two control planes use it at once.
//!
//! `ETCD` names the program, or it is in the PATH; without it the test is skipped, and says so.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use etcd_client::{Credentials, Etcd};
use pki::authority::SERVER_LIFE;
use pki::{Authority, Issued, Purposes, Subject, Validity};
use trust::ledger::{Claim, Entry, Ledger as _, Refused};
use trust::shared::{Error, EtcdLedger};

const DAY: u64 = 86_400;

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let given = std::env::var_os("ETCD").map(PathBuf::from);
    let folders = std::env::split_paths(&path).map(|folder| folder.join("etcd"));
    let found = given.into_iter().chain(folders).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("skipped: ETCD names no etcd, and there is none in the PATH");
    }
    found
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn issue(authority: &Authority, names: &[String]) -> Issued {
    let subject = Subject {
        name: "node",
        organization: None,
        alternative_names: names,
        purposes: Purposes {
            client: true,
            server: !names.is_empty(),
        },
    };
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    authority.issue_for(&subject, validity).unwrap()
}

/// An etcd of one member, over TLS.
struct Running {
    child: Child,
    address: SocketAddr,
    credentials: Credentials,
}

impl Running {
    fn start(program: &Path, folder: &Path) -> Self {
        let authority = Authority::generate_ecdsa("etcd", SystemTime::now()).unwrap();
        let own = issue(&authority, &["localhost", "127.0.0.1"].map(str::to_owned));
        let client = issue(&authority, &[]);
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let [ca, cert, key] = [
            file("ca.crt", authority.certificate_pem()),
            file("own.crt", &own.pem),
            file("own.key", &own.key.to_pem()),
        ];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (url, peer) = (
            format!("https://{address}"),
            format!("http://127.0.0.1:{}", free_port()),
        );
        let log = std::fs::File::create(folder.join("log")).unwrap();
        // Even a test that is killed leaves nothing behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(["--data-dir", &folder.join("data").display().to_string()])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--cert-file", &cert, "--key-file", &key])
            .args([
                "--trusted-ca-file",
                &ca,
                "--client-cert-auth",
                "--unsafe-no-fsync",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let credentials = Credentials::new(authority.certificate_pem(), &client.pem, &client.key.to_pem());
        Self {
            child,
            address,
            credentials: credentials.unwrap(),
        }
    }

    fn ledger(&self) -> EtcdLedger {
        EtcdLedger::new(&self.credentials, self.address)
    }

    /// Waits until it answers.
    async fn ready(&self) {
        let etcd = Etcd::connect(&self.credentials, self.address);
        for _ in 0..600 {
            if etcd.get("/").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("etcd does not answer");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn claim(name: &str, key: &str, address: &str, now: u64) -> Claim {
    Claim {
        name: name.to_owned(),
        entry: Entry {
            key: key.to_owned(),
            addresses: vec![address.parse().unwrap()],
            until: now + DAY,
        },
        proven: false,
        gone: Vec::new(),
        now,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_one_control_plane_gave_is_given_by_no_other() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Running::start(&program, folder.path());
    etcd.ready().await;
    let (first, second) = (etcd.ledger(), etcd.ledger());
    first.claim(claim("worker", "a", "192.0.2.7", DAY)).await.unwrap();
    let refused = second
        .claim(claim("worker", "b", "192.0.2.8", DAY + 9))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::Name { .. }), "{refused}");
    let refused = second
        .claim(claim("other", "b", "192.0.2.7", DAY + 9))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::Address { .. }), "{refused}");
    second
        .claim(claim("worker", "a", "192.0.2.9", DAY + 9))
        .await
        .unwrap();
    second
        .claim(claim("worker", "b", "192.0.2.8", 3 * DAY))
        .await
        .unwrap();
    let refused = first
        .claim(claim("worker", "a", "192.0.2.9", 3 * DAY))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Refused::Name { .. }),
        "it came back after a day, and another has its name: {refused}"
    );

    // Many want one name at once, at two control planes.
    let mut racers = Vec::new();
    for number in 0..16 {
        let ledger = [&first, &second][number % 2].clone();
        racers.push(tokio::spawn(async move {
            let (key, address) = (format!("key-{number}"), format!("198.51.100.{number}"));
            ledger
                .claim(claim("prize", &key, &address, 3 * DAY))
                .await
                .map(|()| key)
        }));
    }
    let mut winners = BTreeSet::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(key) => drop(winners.insert(key)),
            Err(refused) => assert!(matches!(refused, Refused::Name { .. }), "{refused}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");

    // Without etcd nobody is refused for good.
    etcd.child.kill().unwrap();
    etcd.child.wait().unwrap();
    let refused = etcd
        .ledger()
        .claim(claim("late", "c", "192.0.2.30", 3 * DAY))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::Shared(Error::Call(_))), "{refused}");
}
