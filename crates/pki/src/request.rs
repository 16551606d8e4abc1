//! Requests for certificates (PKCS #10): a key that stays where it is, and what its holder asks for.
//!
//! Requests come over the network from anybody, so they are read strictly: what we do not make ourselves is refused.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, GeneralName};
use x509_parser::x509::X509Name;

use crate::authority::alternative_names;
use crate::certificate::alternative_name;
use crate::{Error, Fingerprint, KeyKind, PrivateKey, Subject};

/// The largest request, in bytes. Ours have some three hundred.
pub const MAX_BYTES: usize = 4096;
/// The most names in a request.
pub const MAX_NAMES: usize = 32;

/// A request for a certificate whose holder has the key in it. Nobody has decided yet whether to grant what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// The common name that it asks for.
    pub name: String,
    /// The organization that it asks for.
    pub organization: Option<String>,
    /// The DNS names and addresses that it asks for, each once.
    pub alternative_names: Vec<String>,
    key: rcgen::PublicKey,
}

/// Why a request cannot be used. Completes a sentence that starts with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableRequest {
    /// It is too large.
    #[error("has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It cannot be read.
    #[error("is not a certificate request in DER (PKCS #10)")]
    Unreadable,
    /// Its key does not fit.
    #[error("has a key that is neither Ed25519 nor ECDSA with P-256")]
    Key,
    /// Whoever sent it does not have the key.
    #[error("is not signed with the key that it is for")]
    Signature,
    /// Its subject has something else than a common name and an organization, or one of them twice.
    #[error("has a subject of more than one common name and one organization")]
    Subject,
    /// It asks for something that nobody grants.
    #[error("asks for more than DNS names and addresses, each once and {MAX_NAMES} at most")]
    Extension,
}

impl SigningRequest {
    /// Reads a request from DER, and verifies that its sender has the key.
    ///
    /// # Errors
    ///
    /// What is unusable about it.
    pub fn from_der(der: &[u8]) -> Result<Self, UnusableRequest> {
        if der.len() > MAX_BYTES {
            return Err(UnusableRequest::TooLarge);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| UnusableRequest::Unreadable)?;
        let info = &request.certification_request_info;
        if !rest.is_empty() || info.version.0 != 0 {
            return Err(UnusableRequest::Unreadable);
        }
        let algorithm = &info.subject_pki.algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let signed_with = match KeyKind::of(&algorithm.algorithm.to_id_string()) {
            KeyKind::Ed25519 if algorithm.parameters.is_none() => ED25519,
            KeyKind::Ecdsa if curve.is_some_and(|curve| curve.to_id_string() == P256) => ECDSA_WITH_SHA256,
            _ => return Err(UnusableRequest::Key),
        };
        // The signature covers what is asked for. Around it, the readers let several encodings pass.
        if der != framed(info.raw, signed_with, &request.signature_value.data) {
            return Err(UnusableRequest::Unreadable);
        }
        let (name, organization) = subject(&info.subject)?;
        let alternative_names = names(&request)?;
        let der = CertificateSigningRequestDer::from(der);
        // It reads the same bytes again, and verifies the signature. Only the key is taken from it.
        let verified =
            CertificateSigningRequestParams::from_der(&der).map_err(|_| UnusableRequest::Signature)?;
        let key = verified.public_key;
        if key.der_bytes() != &*info.subject_pki.subject_public_key.data {
            return Err(UnusableRequest::Key);
        }
        Ok(Self {
            name,
            organization,
            alternative_names,
            key,
        })
    }

    /// Makes a request in DER for a key of one's own. It says nothing about purposes: whoever signs decides on them.
    ///
    /// # Errors
    ///
    /// Names that cannot stand in a certificate.
    pub fn make(subject: &Subject<'_>, key: &PrivateKey) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.name);
        if let Some(organization) = subject.organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        params.subject_alt_names = alternative_names(subject.alternative_names)?;
        let made = params.serialize_request(key.pair());
        let made = made.map_err(|source| Error::Make {
            what: "a certificate request",
            source,
        })?;
        Ok(made.der().to_vec())
    }

    /// Returns the fingerprint of the key: whoever asks again with the same key is the same.
    pub fn key_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&CertificateDer::from(self.key.subject_public_key_info()))
    }

    pub(crate) fn key(&self) -> &rcgen::PublicKey {
        &self.key
    }
}

/// Returns a signed request in DER: what it says, the algorithm of its signature, and the signature.
fn framed(said: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    const NO_UNUSED_BITS: &[u8] = &[0];
    let signature = value(BIT_STRING, &[NO_UNUSED_BITS, signature].concat());
    value(SEQUENCE, &[said, algorithm, &signature].concat())
}

/// Returns a value in DER with its tag and its length (X.690, 8.1.3 and 10.1).
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match digits {
        [] => der.push(0),
        [short @ ..0x80] => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

/// The algorithm of an Ed25519 signature, in DER (RFC 8410, 3).
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
/// The algorithm of an ECDSA signature with SHA-256, in DER (RFC 5758, 3.2).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// The curve P-256.
const P256: &str = "1.2.840.10045.3.1.7";
/// The common name and the organization in a subject.
const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";

fn subject(subject: &X509Name<'_>) -> Result<(String, Option<String>), UnusableRequest> {
    let (mut name, mut organization) = (None, None);
    for attribute in subject.iter_attributes() {
        let place = match attribute.attr_type().to_id_string().as_str() {
            COMMON_NAME => &mut name,
            ORGANIZATION => &mut organization,
            _ => return Err(UnusableRequest::Subject),
        };
        let text = attribute.as_str().map_err(|_| UnusableRequest::Subject)?;
        if place.replace(text.to_owned()).is_some() {
            return Err(UnusableRequest::Subject);
        }
    }
    Ok((name.ok_or(UnusableRequest::Subject)?, organization))
}

fn names(request: &X509CertificationRequest<'_>) -> Result<Vec<String>, UnusableRequest> {
    let attributes = request.certification_request_info.attributes();
    let extensions = match attributes {
        [] => return Ok(Vec::new()),
        [one] => match one.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(found) => &found.extensions,
            _ => return Err(UnusableRequest::Extension),
        },
        _ => return Err(UnusableRequest::Extension),
    };
    let found = match extensions.as_slice() {
        [] => return Ok(Vec::new()),
        [one] => match one.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => &names.general_names,
            _ => return Err(UnusableRequest::Extension),
        },
        _ => return Err(UnusableRequest::Extension),
    };
    let mut names = Vec::new();
    for name in found {
        // What reads as an address is one, whatever it was sent as: two readers must not see two things.
        let plain = match name {
            GeneralName::DNSName(name) => name.parse::<std::net::IpAddr>().is_err(),
            _ => true,
        };
        let name = alternative_name(name).filter(|_| plain);
        let name = name.ok_or(UnusableRequest::Extension)?;
        if names.contains(&name) {
            return Err(UnusableRequest::Extension);
        }
        names.push(name);
    }
    match names.len() <= MAX_NAMES {
        true => Ok(names),
        false => Err(UnusableRequest::Extension),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};

    use super::*;
    use crate::authority::SERVER_LIFE;
    use crate::{Authority, Purposes, Validity};

    fn subject<'a>(name: &'a str, organization: Option<&'a str>, names: &'a [String]) -> Subject<'a> {
        Subject {
            name,
            organization,
            alternative_names: names,
            purposes: Purposes::default(),
        }
    }

    #[test]
    fn what_is_made_is_read_and_signed_for_its_key() {
        let names = ["node1", "10.0.2.15", "fd00::7"].map(str::to_owned);
        let asked = subject("system:node:node1", Some("system:nodes"), &names);
        for key in [
            PrivateKey::generate().unwrap(),
            PrivateKey::generate_ecdsa().unwrap(),
        ] {
            let der = SigningRequest::make(&asked, &key).unwrap();
            let request = SigningRequest::from_der(&der).unwrap();
            assert_eq!(
                (request.name.as_str(), request.organization.as_deref()),
                ("system:node:node1", Some("system:nodes"))
            );
            assert_eq!(request.alternative_names, names);
            let authority = Authority::generate_ecdsa("Kubernetes", SystemTime::now()).unwrap();
            let granted = Subject {
                purposes: Purposes {
                    client: true,
                    server: false,
                },
                ..subject("somebody", None, &[])
            };
            let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
            let (made, pem) = authority.sign(&request, &granted, validity).unwrap();
            let details = made.details();
            assert_eq!(
                (details.name.as_str(), &details.public[..]),
                ("somebody", key.public())
            );
            assert!(details.organizations.is_empty() && details.alternative_names.is_empty());
            assert!(details.purposes.client && !details.purposes.server && !details.claims_authority);
            crate::Client::mutual(authority.certificate_pem(), &pem, &key.to_pem()).unwrap();
        }
    }

    #[test]
    fn what_nobody_grants_is_refused_before_anybody_decides() {
        let key = PrivateKey::generate().unwrap();
        type Change<'a> = &'a dyn Fn(&mut CertificateParams);
        let made = |change: Change<'_>| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, "a");
            change(&mut params);
            let der = params.serialize_request(key.pair()).unwrap().der().to_vec();
            SigningRequest::from_der(&der).map(drop)
        };
        assert_eq!(made(&|_| {}), Ok(()));
        let cases: [(Change<'_>, UnusableRequest); 6] = [
            (
                &|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
                UnusableRequest::Extension,
            ),
            (
                &|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign],
                UnusableRequest::Extension,
            ),
            (
                &|params| {
                    let twice = ["a".to_owned(), "a".to_owned()];
                    params.subject_alt_names = alternative_names(&twice).unwrap();
                },
                UnusableRequest::Extension,
            ),
            (
                &|params| {
                    let many: Vec<_> = (0..=MAX_NAMES).map(|number| format!("n{number}")).collect();
                    params.subject_alt_names = alternative_names(&many).unwrap();
                },
                UnusableRequest::Extension,
            ),
            (
                &|params| params.distinguished_name.push(DnType::LocalityName, "x"),
                UnusableRequest::Subject,
            ),
            (
                &|params| {
                    params
                        .distinguished_name
                        .remove(DnType::CommonName)
                        .then_some(())
                        .unwrap()
                },
                UnusableRequest::Subject,
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(made(change), Err(expected));
        }
        assert_eq!(
            SigningRequest::from_der(&[0; MAX_BYTES + 1]),
            Err(UnusableRequest::TooLarge)
        );
    }

    #[test]
    fn the_key_of_somebody_else_is_refused() {
        let (mine, theirs) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let der = SigningRequest::make(&subject("a", None, &[]), &mine).unwrap();
        let place = der
            .windows(32)
            .position(|window| window == mine.public())
            .unwrap();
        let mut stolen = der.clone();
        stolen[place..place + 32].copy_from_slice(theirs.public());
        assert_eq!(SigningRequest::from_der(&stolen), Err(UnusableRequest::Signature));
    }

    /// Nothing in a request is without its signature, and nothing around it can be written in two ways.
    #[test]
    fn a_request_with_any_changed_bit_is_refused() {
        let key = PrivateKey::generate().unwrap();
        let ours = SigningRequest::make(&subject("a", Some("b"), &[]), &key).unwrap();
        let ecdsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a");
        let theirs = params.serialize_request(&ecdsa).unwrap().der().to_vec();
        for der in [ours, theirs] {
            assert!(SigningRequest::from_der(&der).is_ok());
            for at in 0..der.len() * 8 {
                let mut changed = der.clone();
                changed[at / 8] ^= 1 << (at % 8);
                assert!(SigningRequest::from_der(&changed).is_err(), "bit {at}");
            }
        }
    }

    proptest! {
        /// Nor with any changed byte.
        #[test]
        fn a_request_with_any_changed_byte_is_refused(at: prop::sample::Index, bits in 1_u8..) {
            let key = PrivateKey::generate().unwrap();
            let mut der = SigningRequest::make(&subject("a", Some("b"), &[]), &key).unwrap();
            let at = at.index(der.len());
            der[at] ^= bits;
            prop_assert!(SigningRequest::from_der(&der).is_err());
        }
    }
}
