//! Certificates and their content.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::{Error, Fingerprint, Flaw, KeyKind, PrivateKey};

/// A certificate: its bytes and their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    details: Details,
}

/// The content of a certificate. Reading it proves nothing: only TLS checks who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Common name of the subject.
    pub name: String,
    /// Organizations of the subject, which are the roles.
    pub organizations: Vec<String>,
    /// Common name of the issuer.
    pub issuer: String,
    /// The start of its validity.
    pub not_before: SystemTime,
    /// The end of its validity.
    pub not_after: SystemTime,
    /// DNS names and addresses it is valid for.
    pub alternative_names: Vec<String>,
    /// Set when it belongs to an authority, and may sign others.
    pub is_authority: bool,
    /// Set when it claims to be an authority's: one whose key must not sign is unsuitable.
    pub(crate) claims_authority: bool,
    /// The most authorities allowed between this one and a certificate; `None` when it has no limit.
    pub path_len: Option<u32>,
    /// Its purposes in a handshake.
    pub purposes: Purposes,
    /// Set when the subject is its own issuer.
    pub self_issued: bool,
    /// The kind of its key.
    pub key_kind: KeyKind,
    /// The public key.
    pub(crate) public: Vec<u8>,
}

/// The purposes of a certificate in a handshake. Without any it is useless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purposes {
    /// To authenticate a client.
    pub client: bool,
    /// To authenticate a node or server.
    pub server: bool,
}

impl Certificate {
    /// Reads the first certificate of a PEM text. `what` names it in errors.
    pub fn from_pem(pem: &str, what: &'static str) -> Result<Self, Error> {
        let all = Self::all_from_pem(pem, what)?;
        let flaw = Flaw::NoCertificate;
        all.into_iter().next().ok_or(Error::Flaw { what, flaw })
    }

    /// Reads every certificate of a PEM text; there is at least one.
    pub fn all_from_pem(pem: &str, what: &'static str) -> Result<Vec<Self>, Error> {
        Self::blocks(pem).map_err(|flaw| Error::Flaw { what, flaw })
    }

    /// Reads every certificate of a PEM text, or returns the flaw of the first bad one.
    pub(crate) fn blocks(pem: &str) -> Result<Vec<Self>, Flaw> {
        let mut all = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|error| match error {
                pem::Error::MissingSectionEnd { .. } => Flaw::CutShort,
                _ => Flaw::Unreadable,
            })?;
            all.push(Self::read(der)?);
        }
        match all.is_empty() {
            false => Ok(all),
            true if pem.contains("-----BEGIN TRUSTED CERTIFICATE-----") => Err(Flaw::Trusted),
            true => Err(Flaw::NoCertificate),
        }
    }

    /// Reads a certificate's bytes. `what` names it in errors.
    pub fn from_der(der: CertificateDer<'static>, what: &'static str) -> Result<Self, Error> {
        Self::read(der).map_err(|flaw| Error::Flaw { what, flaw })
    }

    fn read(der: CertificateDer<'static>) -> Result<Self, Flaw> {
        match Details::read(&der) {
            Some(details) => Ok(Self { der, details }),
            None if is_cut(&der) => Err(Flaw::CutShort),
            None => Err(Flaw::Unreadable),
        }
    }

    /// Returns its content.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// Returns its bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Tells whether it is for this key.
    pub fn is_for(&self, key: &PrivateKey) -> bool {
        self.details.public == key.public()
    }

    /// Returns it in PEM.
    pub fn to_pem(&self) -> String {
        let text = Base64::encode_string(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// Tells whether this authority has signed a certificate, which is PEM with those between the two.
    pub fn has_signed(&self, certificate: &str) -> bool {
        Self::blocks(certificate).is_ok_and(|chain| crate::trust::vouches(std::slice::from_ref(self), &chain))
    }

    /// Returns its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }
}

impl Details {
    /// Reads the content of a certificate; none if it is malformed.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let subject = certificate.subject();
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().ok()?;
        let constraints = certificate.basic_constraints().ok()?.map(|found| found.value);
        // Without the extension a key may be used for anything; with it, only for what it lists.
        let may_sign = certificate
            .key_usage()
            .ok()?
            .is_none_or(|usage| usage.value.key_cert_sign());
        let purposes = certificate.extended_key_usage().ok()?.map(|usage| Purposes {
            client: usage.value.client_auth,
            server: usage.value.server_auth,
        });
        let names = names.map(|names| {
            names
                .value
                .general_names
                .iter()
                .filter_map(alternative_name)
                .collect()
        });
        Some(Self {
            name: subject.iter_common_name().find_map(text).unwrap_or_default(),
            organizations: subject.iter_organization().filter_map(text).collect(),
            issuer: certificate
                .issuer()
                .iter_common_name()
                .find_map(text)
                .unwrap_or_default(),
            not_before: moment(validity.not_before.timestamp())?,
            not_after: moment(validity.not_after.timestamp())?,
            alternative_names: names.unwrap_or_default(),
            claims_authority: constraints.is_some_and(|constraints| constraints.ca),
            is_authority: constraints.is_some_and(|constraints| constraints.ca) && may_sign,
            path_len: constraints.and_then(|constraints| constraints.path_len_constraint),
            purposes: purposes.unwrap_or_default(),
            self_issued: subject.as_raw() == certificate.issuer().as_raw(),
            key_kind: KeyKind::of(&certificate.public_key().algorithm.algorithm.to_id_string()),
            public: certificate.public_key().subject_public_key.data.to_vec(),
        })
    }
}

/// Returns true if a DER value is longer than the bytes there are. Certificates need two or three bytes for their length.
fn is_cut(der: &[u8]) -> bool {
    let length = match der {
        [0x30, 0x81, a, ..] => 3 + usize::from(*a),
        [0x30, 0x82, a, b, ..] => 4 + usize::from(*a) * 256 + usize::from(*b),
        [0x30, a, ..] if *a < 0x80 => 2 + usize::from(*a),
        [0x30, ..] | [] => return true,
        _ => return false,
    };
    der.len() < length
}

pub(crate) fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn moment(seconds: i64) -> Option<SystemTime> {
    let length = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(length)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_knows_what_it_has_signed() {
        let now = SystemTime::now();
        let [own, other] = ["a", "b"].map(|name| crate::Authority::generate(name, now).unwrap());
        let again = Certificate::from_pem(&own.certificate().to_pem(), "the test").unwrap();
        assert_eq!(&again, own.certificate());
        let signed = own
            .issue_client(
                "ann",
                "x",
                crate::Validity::starting(now, Duration::from_secs(60)),
            )
            .unwrap();
        assert!(again.has_signed(&signed.pem) && !other.certificate().has_signed(&signed.pem));
        assert!(!again.has_signed("nothing"));
    }

    #[test]
    fn each_flaw_is_distinguished() {
        let error = Certificate::from_pem("nothing", "machine.ca.cert").unwrap_err();
        assert_eq!(error.to_string(), "machine.ca.cert holds no PEM certificate");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Certificate::from_pem(broken, "machine.ca.cert").unwrap_err();
        assert_eq!(
            error.to_string(),
            "machine.ca.cert holds a certificate that cannot be read; copy it again"
        );
        let whole = crate::authority::maintenance(&[]).unwrap().certificate;
        for kept in [1, 2, 3, 4, 100, whole.der().len() - 1] {
            let cut = CertificateDer::from(whole.der()[..kept].to_vec());
            assert_eq!(
                Certificate::read(cut).unwrap_err(),
                Flaw::CutShort,
                "{kept} bytes"
            );
        }
    }
}
