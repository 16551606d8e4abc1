//! All certificates and keys that a person can provide: flaws are reported with their place, and valid ones are accepted.

mod bundles;

use std::time::{Duration, SystemTime};

use machine_config::v1alpha1::Role;
use pki::authority::{AUTHORITY_LIFE, CLIENT_LIFE};
use pki::{Authority, Moment, Validity, check, check_config};
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{
    BasicConstraints, CertificateParams, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};

const DAY: Duration = Duration::from_secs(86_400);
const RSA: (&str, &str) = (
    include_str!("../testdata/rsa.pem"),
    include_str!("../testdata/rsa.key"),
);

fn now() -> SystemTime {
    SystemTime::now()
}

fn authority(made: SystemTime) -> Authority {
    Authority::generate("home", made).expect("the test makes it right")
}

fn leaf(of: &Authority) -> (String, String) {
    let made = of
        .issue_client("ann", "bedplate:admin", Validity::starting(now(), CLIENT_LIFE))
        .expect("the test makes it right");
    (made.pem, made.key.to_pem().to_string())
}

/// An authority as other tools make them.
fn foreign(change: impl Fn(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the test makes it right");
    let mut params = CertificateParams::new(vec!["home".to_owned()]).expect("the test makes it right");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    (
        params.self_signed(&key).expect("the test makes it right").pem(),
        key.serialize_pem(),
    )
}

/// Keeps the first half of the lines inside a PEM block.
fn cut(pem: &str) -> String {
    let lines: Vec<&str> = pem.lines().collect();
    let inside = &lines[1..lines.len() - 1];
    let half = inside[..inside.len() / 2].join("\n");
    format!("{}\n{half}\n{}\n", lines[0], lines[lines.len() - 1])
}

fn config(role: Role, cert: &str, key: Option<&str>, upgrades: Option<&str>) -> String {
    let block = |text: &str, indent: usize| {
        let lines = text.lines().map(|line| format!("{:indent$}{line}\n", ""));
        lines.collect::<String>()
    };
    let mut text = format!(
        "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  role: {role}\n  ca:\n    cert: |\n{}",
        block(cert, 6)
    );
    if let Some(key) = key {
        text.push_str(&format!("    key: |\n{}", block(key, 6)));
    }
    if let Some(bundle) = upgrades {
        text.push_str(&format!("  upgrades:\n    ca: |\n{}", block(bundle, 6)));
    }
    if role == Role::Worker {
        text.push_str("  token: 0123456789abcdef.secret\ncluster: {endpoint: \"https://10.0.0.2:6443\"}\n");
    }
    text
}

/// Reads a config as CLI, flash tool and node do, and returns its faults.
fn faults(text: &str, moment: Moment) -> Vec<String> {
    let told = |faults: machine_config::Faults| faults.list().iter().map(ToString::to_string).collect();
    match machine_config::parse(text) {
        Ok(config) => check_config(text, &config, moment).map_or_else(told, |()| Vec::new()),
        Err(faults) => told(faults),
    }
}

#[test]
fn an_authority_that_would_lock_its_owner_out_is_refused() {
    let home = authority(now());
    let (cert, key) = (home.certificate_pem(), home.key_pem().to_string());
    let away = authority(now());
    let (leaf_cert, leaf_key) = leaf(&home);
    let old = authority(now() - AUTHORITY_LIFE - DAY);
    let future = authority(now() + 400 * DAY);
    let (ec_cert, ec_key) = foreign(|_| {});
    let (unfit, unfit_key) = foreign(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let trusted = cert.replace(" CERTIFICATE", " TRUSTED CERTIFICATE");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let commented = format!("home's authority\n    Not After: never mind\n{cert}\nand that is all\n");
    let bag = format!("Bag Attributes\n    localKeyID: 01\n{key}");
    let two = format!("{cert}{}", away.certificate_pem());
    let two_and_old = format!("{cert}{}", old.certificate_pem());
    let two_and_leaf = format!("{cert}{leaf_cert}");
    let open = cert
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let with_key = format!("{cert}{key}");
    let old_key = old.key_pem().to_string();
    let future_key = future.key_pem().to_string();
    let away_key = away.key_pem().to_string();
    let garbled = cert.replacen("MI", "NI", 1);
    let (half, half_key) = (cut(cert), cut(&key.replace("MC", "MC\n")));
    let table: Vec<(&str, &str, &str, &str)> = vec![
        ("right", cert, &key, ""),
        ("text around the certificate", &commented, &key, ""),
        ("text around the key", cert, &bag, ""),
        ("a second one, to change over to", &two, &key, ""),
        ("an old one beside it", &two_and_old, &key, ""),
        (
            "a leaf beside it",
            &two_and_leaf,
            &key,
            "machine.ca.cert: is not one of a certificate authority",
        ),
        (
            "another key",
            cert,
            &away_key,
            "machine.ca.key: belongs to another certificate",
        ),
        (
            "a leaf",
            &leaf_cert,
            &leaf_key,
            "machine.ca.cert: is not one of a certificate authority",
        ),
        (
            "not for signing",
            &unfit,
            &unfit_key,
            "machine.ca.cert: may not sign certificates",
        ),
        (
            "RSA",
            RSA.0,
            RSA.1,
            "machine.ca.cert: has a key of kind RSA, and all keys of Bedplate are Ed25519",
        ),
        (
            "ECDSA",
            &ec_cert,
            &ec_key,
            "machine.ca.cert: has a key of kind ECDSA, and all keys of Bedplate",
        ),
        (
            "cut in half",
            &half,
            &key,
            "machine.ca.cert: holds a certificate that is cut short; copy all",
        ),
        (
            "without an end",
            &open,
            &key,
            "machine.ca.cert: is not a certificate; it is cut short: the line -----END",
        ),
        (
            "garbled",
            &garbled,
            &key,
            "machine.ca.cert: holds a certificate that cannot be read",
        ),
        (
            "expired",
            old.certificate_pem(),
            &old_key,
            "machine.ca.cert: expired on 20",
        ),
        (
            "not yet valid",
            future.certificate_pem(),
            &future_key,
            "machine.ca.cert: is valid only from 20",
        ),
        (
            "OpenSSL's own form",
            &trusted,
            &key,
            "machine.ca.cert: is not a certificate; it is a TRUSTED CERTIFICATE",
        ),
        (
            "the key in the wrong place",
            &with_key,
            &key,
            "machine.ca.cert: is not a certificate; it also holds a private",
        ),
        (
            "an encrypted key",
            cert,
            &encrypted,
            "machine.ca.key: is not a private key; it is encrypted",
        ),
        (
            "half a key",
            cert,
            &half_key,
            "machine.ca.key: is not a private key in PEM",
        ),
    ];
    for (what, cert, key, expected) in table {
        let text = config(Role::Standalone, cert, Some(key), None);
        let found = faults(&text, Moment::of_host(now()));
        match expected {
            "" => assert_eq!(found, [""; 0], "{what}"),
            _ => {
                assert!(
                    found.len() == 1 && found[0].starts_with(expected),
                    "{what}: {found:?}"
                );
                let line = if expected.starts_with("machine.ca.key") {
                    text.lines()
                        .position(|line| line.starts_with("    key:"))
                        .expect("the test makes it right")
                        + 1
                } else {
                    6
                };
                assert!(found[0].ends_with(&format!("(line {line})")), "{what}: {found:?}");
                assert!(!found[0].contains("MC4C"), "no key is shown");
            }
        }
    }
}

#[test]
fn an_authority_whose_constraints_exclude_the_node_is_found_by_the_rehearsal() {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let text = config(Role::Standalone, &pem, Some(&key.serialize_pem()), None);
    let found = faults(&text, Moment::of_host(now()));
    assert!(
        found.len() == 1
            && found[0].starts_with(
                "machine.ca: the node's API could not start with it: the authority signs certificates that nodes"
            ),
        "{found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_certificates_and_keys_never_panic(
        flips in proptest::collection::vec((any::<Index>(), "[A-Za-z0-9+/]"), 1..5),
        in_key in any::<bool>(),
    ) {
        let home = authority(now());
        let (mut cert, mut key) = (home.certificate_pem().to_owned(), home.key_pem().to_string());
        let text = if in_key { &mut key } else { &mut cert };
        let (start, end) = (text.find('\n').expect("lines") + 1, text.rfind("-----END").expect("an end"));
        for (index, letter) in flips {
            let at = start + index.index(end - start);
            if text.as_bytes()[at].is_ascii_alphanumeric() {
                text.replace_range(at..=at, &letter);
            }
        }
        let _ = faults(&config(Role::Standalone, &cert, Some(&key), Some(&cert)), Moment::of_host(now()));
        let _ = check::client(&cert, &cert, &key, Moment::of_host(now()));
    }
}

#[test]
fn a_node_without_a_clock_refuses_no_future_date() {
    let future = authority(now() + 400 * DAY);
    let text = config(
        Role::Standalone,
        future.certificate_pem(),
        Some(&future.key_pem()),
        None,
    );
    let floor = Moment {
        at: now() - 1000 * DAY,
        certain: false,
    };
    assert_eq!(faults(&text, floor), [""; 0]);
    let expired = Moment {
        at: now() + 9000 * DAY,
        certain: false,
    };
    assert!(
        faults(&text, expired)[0].contains("expired on"),
        "what has passed has passed"
    );
}

#[test]
fn a_worker_is_checked_without_a_key() {
    let home = authority(now());
    let fine = config(Role::Worker, home.certificate_pem(), None, None);
    assert_eq!(faults(&fine, Moment::of_host(now())), [""; 0]);
    let cut = config(Role::Worker, &cut(home.certificate_pem()), None, None);
    assert!(
        faults(&cut, Moment::of_host(now()))[0]
            .starts_with("machine.ca.cert: holds a certificate that is cut")
    );
}

#[test]
fn a_client_and_its_authority_belong_together() {
    let (home, away) = (authority(now()), authority(now()));
    let (cert, key) = leaf(&home);
    let expired = home
        .issue_client("ann", "x", Validity::starting(now() - 400 * DAY, CLIENT_LIFE))
        .expect("the test makes it right");
    let node = home
        .issue_server("node1", &[], Validity::starting(now(), DAY))
        .expect("the test makes it right");
    let (other_cert, other_key) = leaf(&away);
    let (expired_key, node_key) = (expired.key.to_pem(), node.key.to_pem());
    let ca = home.certificate_pem();
    let (half_ca, half) = (cut(ca), cut(&cert));
    let table: Vec<(&str, &str, &str, &str, &[&str])> = vec![
        ("right", ca, &cert, &key, &[]),
        (
            "another key",
            ca,
            &cert,
            &other_key,
            &["key belongs to another certificate"],
        ),
        (
            "another authority's",
            ca,
            &other_cert,
            &other_key,
            &["cert was not signed by the given authority"],
        ),
        ("expired", ca, &expired.pem, &expired_key, &["cert expired on 20"]),
        ("a node's", ca, &node.pem, &node_key, &["cert is not for clients"]),
        (
            "a leaf as authority",
            &cert,
            &cert,
            &key,
            &["ca is not one of a certificate authority", "cert was not"],
        ),
        (
            "all cut",
            &half_ca,
            &half,
            "x",
            &["ca holds a certificate that is cut", "cert holds", "key is not"],
        ),
    ];
    for (what, ca, cert, key, expected) in table {
        let found = check::client(ca, cert, key, Moment::of_host(now()));
        let found: Vec<String> = found
            .iter()
            .map(|(field, flaw)| format!("{field} {flaw}"))
            .collect();
        assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{what}: {found}");
        }
    }
}
