//! What both ends demand of a chain beyond webpki.
//!
//! webpki takes an authority that is trusted as a mere name and key: how long a chain it allows is not looked at. And
//! it lets a certificate that names no purpose serve for every one.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, RootCertStore};

use crate::{Certificate, Details, Error, Purposes};

/// One authority that is trusted, and whoever checks chains up to it.
#[derive(Debug)]
pub(crate) struct Anchor<V> {
    /// How many authorities it lets stand between itself and a certificate.
    longest: usize,
    verifier: V,
}

impl<V> Anchor<V> {
    /// Makes the checker of each authority.
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

    /// Returns the part of a chain that the authority allows, in the order of the handshake: each certificate there
    /// is followed by its issuer. What is not handed to webpki cannot become a link of the chain.
    fn allowed<'a, 'b>(&self, intermediates: &'a [CertificateDer<'b>]) -> &'a [CertificateDer<'b>] {
        &intermediates[..intermediates.len().min(self.longest)]
    }
}

/// Asks the checker of each authority, until one vouches. The last refusal counts.
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

/// Refuses a certificate that does not say itself that it is for this.
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
