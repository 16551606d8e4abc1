//! Handshakes in memory: who is accepted, and who is refused.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::authority::{self, CLIENT_LIFE, SERVER_LIFE};
use pki::{Authority, Client, Issued, NodeClock, Serving, Validity};

mod support;

/// Meets a node that serves with these settings.
fn meet(serving: &Serving, client: &Client, name: &str) -> Result<(), String> {
    support::meet(&serving.config, client, name)
}

const DAY: Duration = Duration::from_secs(86400);

fn node(authority: &Authority, names: &[&str]) -> Issued {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    authority
        .issue_server("node1", &names, validity)
        .expect("a node's certificate")
}

fn user(authority: &Authority, from: SystemTime) -> Client {
    let validity = Validity::starting(from, CLIENT_LIFE);
    let issued = authority
        .issue_client("ann", "bedplate:reader", validity)
        .expect("a user's certificate");
    Client::mutual(authority.certificate_pem(), &issued.pem, &issued.key.to_pem()).expect("client settings")
}

fn authority() -> Authority {
    Authority::generate("home", SystemTime::now() - 700 * DAY).expect("an authority")
}

fn mutual(authority: &Authority, issued: &Issued) -> Serving {
    let clock = Arc::new(NodeClock::trusting());
    Serving::mutual(authority.certificate_pem(), issued, clock).expect("server settings")
}

#[test]
fn a_user_of_the_cluster_is_accepted() {
    let home = authority();
    let serving = mutual(&home, &node(&home, &["node1", "127.0.0.1"]));
    let client = user(&home, SystemTime::now());
    meet(&serving, &client, "node1").expect("by name");
    meet(&serving, &client, "127.0.0.1").expect("by address");
    assert_eq!(
        client.seen().expect("a certificate").fingerprint(),
        serving.fingerprint
    );
}

#[test]
fn strangers_are_refused_on_both_sides() {
    let (home, away) = (authority(), authority());
    let serving = mutual(&home, &node(&home, &["node1"]));
    let cases = [
        (
            "a stranger's certificate",
            &serving,
            user_who_believes(&home, &away),
            "node1",
            "server: ",
        ),
        (
            "no certificate",
            &serving,
            Client::unverified().unwrap(),
            "node1",
            "server: ",
        ),
        (
            "an expired certificate",
            &serving,
            user(&home, SystemTime::now() - 400 * DAY),
            "node1",
            "server: ",
        ),
        (
            "a stranger's node",
            &mutual(&away, &node(&away, &["node1"])),
            user(&home, SystemTime::now()),
            "node1",
            "client: ",
        ),
        (
            "another node",
            &serving,
            user(&home, SystemTime::now()),
            "node2",
            "client: ",
        ),
    ];
    for (what, serving, client, name, side) in cases {
        let error = meet(serving, &client, name).expect_err(what);
        assert!(error.starts_with(side), "{what}: {error}");
    }
}

/// Shows a certificate of `of`, but believes `believes`.
fn user_who_believes(believes: &Authority, of: &Authority) -> Client {
    let validity = Validity::starting(SystemTime::now(), CLIENT_LIFE);
    let issued = of
        .issue_client("eve", "bedplate:admin", validity)
        .expect("a certificate");
    Client::mutual(believes.certificate_pem(), &issued.pem, &issued.key.to_pem()).expect("client settings")
}

#[test]
fn node_and_client_certificates_are_not_interchangeable() {
    let home = authority();
    let node1 = node(&home, &["node1"]);
    let serving = mutual(&home, &node1);
    let client = Client::mutual(home.certificate_pem(), &node1.pem, &node1.key.to_pem()).unwrap();
    assert!(
        meet(&serving, &client, "node1")
            .unwrap_err()
            .starts_with("server: ")
    );

    let validity = Validity::starting(SystemTime::now(), CLIENT_LIFE);
    let ann = home.issue_client("ann", "bedplate:admin", validity).unwrap();
    let error = meet(&mutual(&home, &ann), &user(&home, SystemTime::now()), "ann").unwrap_err();
    assert!(error.starts_with("client: "), "{error}");
}

#[test]
fn maintenance_mode_is_verified_by_its_fingerprint() {
    let made = authority::maintenance(&["localhost".into()]).unwrap();
    let serving = Serving::maintenance(&made).unwrap();
    let pinned = Client::pinned(serving.fingerprint).unwrap();
    meet(&serving, &pinned, "whatever").expect("the right node");
    meet(&serving, &Client::unverified().unwrap(), "whatever").expect("anybody");

    let other = Serving::maintenance(&authority::maintenance(&[]).unwrap()).unwrap();
    assert!(
        meet(&other, &pinned, "whatever")
            .unwrap_err()
            .starts_with("client: ")
    );
    let error = meet(&serving, &user(&authority(), SystemTime::now()), "localhost").unwrap_err();
    assert!(error.starts_with("client: "), "{error}");
}

#[test]
fn a_node_without_a_clock_trusts_a_signed_date() {
    let home = authority();
    let issued = node(&home, &["node1"]);
    let tomorrow = user(&home, SystemTime::now() + 30 * DAY);
    let strict = mutual(&home, &issued);
    assert!(
        meet(&strict, &tomorrow, "node1")
            .unwrap_err()
            .starts_with("server: ")
    );

    let clock = Arc::new(NodeClock::new());
    clock.raise_floor(SystemTime::now());
    let lost = Serving::mutual(home.certificate_pem(), &issued, clock.clone()).unwrap();
    meet(&lost, &tomorrow, "node1").expect("a later date proves itself");
    let expired = user(&home, SystemTime::now() - 400 * DAY);
    assert!(
        meet(&lost, &expired, "node1")
            .unwrap_err()
            .starts_with("server: ")
    );
}

#[test]
fn a_server_for_everybody_verifies_whoever_shows_a_certificate() {
    let (home, kubernetes, away) = (authority(), authority(), authority());
    let own = node(&home, &["plane"]);
    let clock = Arc::new(NodeClock::trusting());
    let serving = Serving::optional(kubernetes.certificate_pem(), &own, clock.clone()).unwrap();
    let joining = |signer: Option<&Authority>, from: SystemTime| {
        let issued = signer.map(|signer| {
            signer
                .issue_client("worker", "nodes", Validity::starting(from, SERVER_LIFE))
                .unwrap()
        });
        let key = issued.as_ref().map(|issued| issued.key.to_pem());
        let own = issued.as_ref().zip(key.as_ref());
        let own = own.map(|(issued, key)| (issued.pem.as_str(), key.as_str()));
        let client = Client::of_node(home.certificate_pem(), own, clock.clone()).unwrap();
        meet(&serving, &client, "plane")
    };
    let now = SystemTime::now();
    joining(None, now).expect("without a certificate");
    joining(Some(&kubernetes), now).expect("with one of the other authority");
    for (signer, from) in [(&away, now), (&home, now), (&kubernetes, now - 2 * DAY)] {
        let refused = joining(Some(signer), from).unwrap_err();
        assert!(refused.starts_with("server: "), "{refused}");
    }
}

#[test]
fn a_node_without_a_clock_takes_a_server_s_date_for_the_time() {
    let (home, away) = (authority(), authority());
    let serving = mutual(&home, &node(&home, &["plane"]));
    let issued = home
        .issue_client(
            "worker",
            "nodes",
            Validity::starting(SystemTime::now(), SERVER_LIFE),
        )
        .unwrap();
    let key = issued.key.to_pem();
    let client = |believes: &Authority, clock: NodeClock| {
        let own = Some((issued.pem.as_str(), key.as_str()));
        Client::of_node(believes.certificate_pem(), own, Arc::new(clock)).unwrap()
    };
    let clockless = NodeClock::new();
    clockless.raise_floor(SystemTime::now() - 600 * DAY);
    meet(&serving, &client(&home, clockless), "plane").expect("the server's date proves the time");
    let late = NodeClock::new();
    late.raise_floor(SystemTime::now() + 2 * DAY);
    assert!(
        meet(&serving, &client(&home, late), "plane").is_err(),
        "what has expired stays so"
    );
    assert!(meet(&serving, &client(&away, NodeClock::new()), "plane").is_err());
}
