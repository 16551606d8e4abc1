//! What an authority may sign, and which purposes a certificate needs: both ends enforce it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::{Client, Fingerprint, Issued, NodeClock, PrivateKey, Serving};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};

mod support;

use support::meet;

/// A certificate with its key, as other tools would make it.
struct Made {
    params: CertificateParams,
    pem: String,
    key: KeyPair,
}

fn params(name: &str, ca: Option<BasicConstraints>, purposes: &[Purpose]) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("the test makes it right");
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(3600)).into();
    params.extended_key_usages = purposes.to_vec();
    if let Some(constraints) = ca {
        params.is_ca = IsCa::Ca(constraints);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    params
}

fn root(constraints: BasicConstraints) -> Made {
    let (key, params) = (
        KeyPair::generate_for(&PKCS_ED25519).expect("the test makes it right"),
        params("root", Some(constraints), &[]),
    );
    let pem = params.self_signed(&key).expect("the test makes it right").pem();
    Made { params, pem, key }
}

fn signed(by: &Made, params: CertificateParams) -> Made {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("the test makes it right");
    let issuer = Issuer::from_params(&by.params, &by.key);
    let pem = params
        .signed_by(&key, &issuer)
        .expect("the test makes it right")
        .pem();
    Made { params, pem, key }
}

fn issued(made: &Made) -> Issued {
    Issued {
        certificate: pki::Certificate::from_pem(&made.pem, "the test").expect("the test makes it right"),
        pem: made.pem.clone(),
        key: PrivateKey::from_pem(&made.key.serialize_pem(), "the test").expect("the test makes it right"),
    }
}

/// Tries a client's chain against a node of the authority, and returns the outcome of the handshake.
fn as_client(root: &Made, leaf: &Made, chain: &str) -> Result<(), String> {
    let node = signed(root, params("node1", None, &[Purpose::ServerAuth]));
    let clock = Arc::new(NodeClock::trusting());
    let serving = Serving::mutual(&root.pem, &issued(&node), clock).expect("the test makes it right");
    let client = Client::mutual(
        &root.pem,
        &format!("{}{chain}", leaf.pem),
        &leaf.key.serialize_pem(),
    );
    meet(
        &serving.config,
        &client.expect("the test makes it right"),
        "node1",
    )
}

/// Tries a node's chain against a client of the authority, with a server that would serve anything.
fn as_node(root: &Made, leaf: &Made, chain: &str) -> Result<(), String> {
    let user = signed(root, params("ann", None, &[Purpose::ClientAuth]));
    let client =
        Client::mutual(&root.pem, &user.pem, &user.key.serialize_pem()).expect("the test makes it right");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = pki::Certificate::all_from_pem(&format!("{}{chain}", leaf.pem), "the test")
        .expect("the test makes it right");
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the test makes it right")
        .with_no_client_auth()
        .with_single_cert(
            certificates.iter().map(|made| made.der().clone()).collect(),
            rustls::pki_types::PrivatePkcs8KeyDer::from(leaf.key.serialize_der()).into(),
        )
        .expect("the test makes it right");
    config.alpn_protocols = vec![b"h2".to_vec()];
    meet(&Arc::new(config), &client, "node1")
}

#[test]
fn path_length_constraints_are_enforced() {
    let forever = BasicConstraints::Unconstrained;
    let table = [
        (BasicConstraints::Constrained(0), 0, true),
        (BasicConstraints::Constrained(0), 1, false),
        (BasicConstraints::Constrained(1), 1, true),
        (BasicConstraints::Constrained(1), 2, false),
        (forever, 2, true),
    ];
    for (constraints, between, fine) in table {
        let root = root(constraints);
        let (mut above, mut chain) = (None, String::new());
        for depth in 0..between {
            let name = format!("between{depth}");
            let next = signed(
                above.as_ref().unwrap_or(&root),
                params(&name, Some(BasicConstraints::Unconstrained), &[]),
            );
            chain.insert_str(0, &next.pem);
            above = Some(next);
        }
        let above = above.as_ref().unwrap_or(&root);
        let user = signed(above, params("ann", None, &[Purpose::ClientAuth]));
        let met = as_client(&root, &user, &chain);
        assert_eq!(met.is_ok(), fine, "client, {constraints:?}, {between}: {met:?}");
        let node = signed(above, params("node1", None, &[Purpose::ServerAuth]));
        let met = as_node(&root, &node, &chain);
        assert_eq!(met.is_ok(), fine, "node, {constraints:?}, {between}: {met:?}");
    }
}

#[test]
fn a_certificate_needs_its_purpose() {
    let root = root(BasicConstraints::Constrained(0));
    let table: [(&[Purpose], bool, bool); 5] = [
        (&[], false, false),
        (&[Purpose::ClientAuth], true, false),
        (&[Purpose::ServerAuth], false, true),
        (&[Purpose::ClientAuth, Purpose::ServerAuth], true, true),
        (&[Purpose::CodeSigning], false, false),
    ];
    for (purposes, client, server) in table {
        let leaf = signed(&root, params("node1", None, purposes));
        let met = as_client(&root, &leaf, "");
        assert_eq!(met.is_ok(), client, "client, {purposes:?}: {met:?}");
        let met = as_node(&root, &leaf, "");
        assert_eq!(met.is_ok(), server, "node, {purposes:?}: {met:?}");
    }
}

#[test]
fn each_of_several_authorities_has_its_own_constraints() {
    let (strict, wide) = (
        root(BasicConstraints::Constrained(0)),
        root(BasicConstraints::Constrained(1)),
    );
    let between = |root| {
        signed(
            root,
            params("between", Some(BasicConstraints::Unconstrained), &[]),
        )
    };
    for (signer, fine) in [(&strict, false), (&wide, true)] {
        let below = between(signer);
        let user = signed(&below, params("ann", None, &[Purpose::ClientAuth]));
        let node = signed(&wide, params("node1", None, &[Purpose::ServerAuth]));
        let both = format!("{}{}", strict.pem, wide.pem);
        let clock = Arc::new(NodeClock::trusting());
        let serving = Serving::mutual(&both, &issued(&node), clock).expect("the test makes it right");
        assert_eq!(
            serving.fingerprint,
            Fingerprint::of(issued(&node).certificate.der())
        );
        let chain = format!("{}{}", user.pem, below.pem);
        let client =
            Client::mutual(&both, &chain, &user.key.serialize_pem()).expect("the test makes it right");
        let met = meet(&serving.config, &client, "node1");
        assert_eq!(met.is_ok(), fine, "{met:?}");
    }
}
