//! Encrypted addresses, with an authority of one's own.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Reply, Server, content};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use remote::{Cause, Error, Options, Remote};

const LEN: usize = 200_000;

/// Makes an authority, and a server's settings with a certificate of it for `localhost`.
pub(crate) fn authority() -> (String, Arc<rustls::ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&server_key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], server_key.into())
        .unwrap();
    (authority.pem(), Arc::new(config))
}

fn options(authority: Option<String>) -> Options {
    Options {
        authority,
        pause: Duration::from_millis(2),
        ..Options::default()
    }
}

#[test]
fn an_own_authority_is_trusted_when_named() {
    let (pem, tls) = authority();
    let server = Server::with(Some(tls), |request| {
        let reply = Reply::good(request, &content(LEN, 0), Some("\"v0\""));
        if request.number == 1 {
            reply.cut(50_000)
        } else {
            reply
        }
    });
    let mut remote = Remote::open(&server.url("/a"), options(Some(pem))).unwrap();
    remote.expect(std::iter::once(0..LEN as u64));
    let mut out = vec![0; LEN];
    remote.read_at(0, &mut out).unwrap();
    assert!(out == content(LEN, 0));
    assert_eq!(remote.traffic().bytes, LEN as u64);
}

#[test]
fn another_authority_is_refused_at_once() {
    let (_, tls) = authority();
    let server = Server::with(Some(tls), |_| Reply::empty("404 Not Found", ""));
    let (other, _) = authority();
    for pem in [None, Some(other)] {
        let error = Remote::open(&server.url("/a"), options(pem)).err().unwrap();
        let Error::Refused { source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("certificate"), "{source}");
        assert!(server.requests().is_empty());
    }
}

#[test]
fn encryption_is_not_lost_by_a_redirect() {
    let (pem, tls) = authority();
    let plain = Server::start(|request| Reply::good(request, &content(LEN, 0), None));
    let target = plain.url("/a");
    let server = Server::with(Some(tls), move |_| {
        Reply::empty("302 Found", &format!("Location: {target}\r\n"))
    });
    let error = Remote::open(&server.url("/a"), options(Some(pem))).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Refused {
                source: Cause::Downgrade,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(plain.requests().is_empty());
}

#[test]
fn what_is_no_certificate_is_said() {
    for pem in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let error = Remote::open("https://localhost:1/", options(Some(pem.to_owned())))
            .err()
            .unwrap();
        assert!(matches!(error, Error::Authority(_)), "{error:?}");
    }
}
