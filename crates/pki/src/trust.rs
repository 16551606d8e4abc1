//! Checks of a chain at both ends that webpki does not make.
//!
//! webpki reduces a trusted authority to a name and a key: its path length constraint is ignored. And it lets a
//! certificate without purposes serve for every one.

use std::time::SystemTime;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore};

use crate::{Certificate, Details, Error, Purposes, provider};

/// A trusted authority, and the verifier of chains up to it.
#[derive(Debug)]
pub(crate) struct Anchor<V> {
    /// The most authorities allowed between itself and a certificate.
    longest: usize,
    verifier: V,
}

impl<V> Anchor<V> {
    /// Makes the verifier of each authority.
    pub fn each(
        authorities: &[Certificate],
        make: impl Fn(RootCertStore) -> Result<V, Error>,
    ) -> Result<Vec<Self>, Error> {
        let anchor = |authority: &Certificate| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone())?;
            let longest = authority.details().path_len.unwrap_or(u32::MAX);
            Ok(Self {
                longest: usize::try_from(longest).unwrap_or(usize::MAX),
                verifier: make(roots)?,
            })
        };
        authorities.iter().map(anchor).collect()
    }

    /// Returns the part of a chain that the authority allows, in the order of the handshake: each certificate is followed by
    /// its issuer. What is not passed to webpki cannot become part of the chain.
    fn allowed<'a, 'b>(&self, intermediates: &'a [CertificateDer<'b>]) -> &'a [CertificateDer<'b>] {
        &intermediates[..intermediates.len().min(self.longest)]
    }
}

/// Asks the verifier of each authority, until one accepts. The last refusal is returned.
pub(crate) fn first_that_vouches<'b, V, T>(
    anchors: &[Anchor<V>],
    intermediates: &[CertificateDer<'b>],
    verify: impl Fn(&V, &[CertificateDer<'b>]) -> Result<T, rustls::Error>,
) -> Result<T, rustls::Error> {
    let mut refusal = CertificateError::UnknownIssuer.into();
    for anchor in anchors {
        match verify(&anchor.verifier, anchor.allowed(intermediates)) {
            Ok(vouched) => return Ok(vouched),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Refuses a certificate without this purpose.
pub(crate) fn demand(
    certificate: &CertificateDer<'_>,
    meets: impl Fn(Purposes) -> bool,
) -> Result<(), rustls::Error> {
    match Details::read(certificate) {
        Some(details) if meets(details.purposes) => Ok(()),
        Some(_) => Err(CertificateError::InvalidPurpose.into()),
        None => Err(CertificateError::BadEncoding.into()),
    }
}

/// Returns true if a chain leads from one of the authorities to its first certificate, at a time when all of it is valid.
/// Applies the rules of a handshake, for the end that the certificate is for.
pub(crate) fn vouches(authorities: &[Certificate], chain: &[Certificate]) -> bool {
    let Some((leaf, rest)) = chain.split_first() else {
        return false;
    };
    let valid = chain.iter().map(|certificate| certificate.details().not_before);
    let moment = valid
        .max()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let moment = UnixTime::since_unix_epoch(moment.unwrap_or_default());
    let rest: Vec<_> = rest.iter().map(|certificate| certificate.der().clone()).collect();
    let anchors = Anchor::each(authorities, |roots| {
        Ok(
            WebPkiClientVerifier::builder_with_provider(roots.clone().into(), provider())
                .build()
                .map(|verifier| (roots, verifier))?,
        )
    });
    let Ok(anchors) = anchors else { return false };
    let algorithms = provider().signature_verification_algorithms;
    first_that_vouches(&anchors, &rest, |(roots, clients), rest| {
        if leaf.details().purposes.client {
            return clients.verify_client_cert(leaf.der(), rest, moment).map(drop);
        }
        let server = ParsedCertificate::try_from(leaf.der())?;
        verify_server_cert_signed_by_trust_anchor(&server, roots, rest, moment, algorithms.all)
    })
    .is_ok()
}
