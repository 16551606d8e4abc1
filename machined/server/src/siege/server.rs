//! The server, in a process of its own: what it has in memory is nobody else's.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use api::Role;
use pki::{Authority, Client, Serving, authority};

use crate::testing::TestServer;
use crate::tests::{home, serving, user};

/// Tells the test that it is the server, and how it serves.
const SERVES: &str = "BEDPLATE_TEST_SERVES";
/// Authority of the server, certificate and key.
const AUTHORITY: &str = "BEDPLATE_TEST_AUTHORITY";

/// How a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// Anybody.
    Maintenance,
    /// Clients of its authority.
    Mutual,
}

/// A server in another process. It ends when dropped.
pub(super) struct Besieged {
    pub(super) address: SocketAddr,
    pub(super) home: Authority,
    process: Child,
    /// Kept open, for what the server may still say.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Besieged {
    pub(super) fn start(serves: Serves) -> Self {
        let home = home();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "siege::server::a_server_has_a_process_of_its_own_and_ends_with_its_test",
                "--exact",
                "--nocapture",
            ])
            .env(SERVES, format!("{serves:?}"))
            .env(
                AUTHORITY,
                format!("{}{}", home.certificate_pem(), home.key_pem().as_str()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = said.find_map(|line| {
            let line = line.unwrap();
            line.split_once("listens on ")
                .map(|(_, address)| address.parse().unwrap())
        });
        Self {
            address: address.expect("the server says where it listens"),
            home,
            process,
            _said: said,
        }
    }

    /// Returns a client with a certificate of the server's authority.
    pub(super) fn user(&self, role: Role) -> Client {
        user(&self.home, &self.home, role.organization())
    }

    /// Returns the bytes of memory that the server has now.
    pub(super) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = kib.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        // It has a pipe to read, and ends with it; should it not, it is ended.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's process is this test, told to serve.
#[test]
fn a_server_has_a_process_of_its_own_and_ends_with_its_test() {
    match std::env::var(SERVES) {
        Ok(serves) => serve_until_told(&serves),
        Err(_) => {
            let mut server = Besieged::start(Serves::Maintenance);
            assert!(server.resident() > 0);
            drop(server.process.stdin.take());
            assert!(server.process.wait().unwrap().success());
        }
    }
}

fn serve_until_told(serves: &str) {
    // As many threads as machined has.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()
        .unwrap();
    let serving = if serves == format!("{:?}", Serves::Mutual) {
        let pem = std::env::var(AUTHORITY).unwrap();
        let key = pem.find("-----BEGIN PRIVATE KEY").unwrap();
        serving(&Authority::from_pem(&pem[..key], &pem[key..], "the test's authority").unwrap())
    } else {
        Serving::maintenance(&authority::maintenance(&[]).unwrap()).unwrap()
    };
    let server = runtime.block_on(TestServer::start("node1", serving)).unwrap();
    stdio::line(format_args!("listens on {}", server.address)).unwrap();
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).unwrap();
}
