//! The certificate authority of a cluster: issues certificates to nodes and users.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use zeroize::Zeroizing;

use crate::{Certificate, Error, Flaw, KeyKind, PrivateKey, Purposes, SigningRequest, random};

/// The lifetime of an authority.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86400);
/// The default lifetime of a user's certificate.
pub const CLIENT_LIFE: Duration = Duration::from_secs(365 * 86400);
/// The lifetime of a node's certificate.
pub const SERVER_LIFE: Duration = Duration::from_secs(86400);
/// How far certificates are backdated, for readers whose clock is behind.
pub const BACKDATED: Duration = Duration::from_secs(3600);

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Starts an hour before `now` and ends `life` after it.
    pub fn starting(now: SystemTime, life: Duration) -> Self {
        Self {
            not_before: now - BACKDATED,
            not_after: now + life,
        }
    }

    /// Limits the validity to that of the issuer. The end is never before the start, whatever the dates are: for an issuer
    /// that has expired, or is not valid yet, only its own end or start remains.
    pub fn within(self, signer: Validity) -> Self {
        let not_before = self.not_before.max(signer.not_before).min(signer.not_after);
        Self {
            not_before,
            not_after: self.not_after.min(signer.not_after).max(not_before),
        }
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// The same in PEM.
    pub pem: String,
    /// Its key.
    pub key: PrivateKey,
}

impl Issued {
    /// Reads a certificate and its key, which must match. One of `authorities` must have signed it. All are PEM; `what` names
    /// the certificate in errors.
    ///
    /// # Errors
    ///
    /// Texts that are no such certificate and key.
    pub fn from_pem(pem: &str, key: &str, authorities: &str, what: &'static str) -> Result<Self, Error> {
        let chain = Certificate::all_from_pem(pem, what)?;
        let key = PrivateKey::from_pem(key, what)?;
        let authorities = Certificate::all_from_pem(authorities, "the authority")?;
        let flaw = Flaw::NotSigned;
        if !crate::trust::vouches(&authorities, &chain) {
            return Err(Error::Flaw { what, flaw });
        }
        let certificate = chain.into_iter().next();
        let certificate = certificate.filter(|certificate| certificate.is_for(&key));
        Ok(Self {
            certificate: certificate.ok_or(Error::KeyMismatch(what))?,
            pem: pem.to_owned(),
            key,
        })
    }
}

/// Who a certificate is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its common name.
    pub name: &'a str,
    /// Its organization.
    pub organization: Option<&'a str>,
    /// DNS names and addresses that it serves under.
    pub alternative_names: &'a [String],
    /// Its purposes in a handshake.
    pub purposes: Purposes,
}

/// Issues certificates that a whole cluster trusts. Holds the authority's key.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    pem: String,
    key: PrivateKey,
}

impl Authority {
    /// Generates a new authority, valid for ten years.
    pub fn generate(name: &str, now: SystemTime) -> Result<Self, Error> {
        Self::with_key(PrivateKey::generate()?, name, now)
    }

    /// Generates a new authority whose keys, and those of the certificates it signs, are ECDSA: for programs without Ed25519.
    pub fn generate_ecdsa(name: &str, now: SystemTime) -> Result<Self, Error> {
        Self::with_key(PrivateKey::generate_ecdsa()?, name, now)
    }

    fn with_key(key: PrivateKey, name: &str, now: SystemTime) -> Result<Self, Error> {
        let mut params = params(name, None, Validity::starting(now, AUTHORITY_LIFE))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issued = self_signed(params, key, "an authority")?;
        let Issued {
            certificate,
            pem,
            key,
        } = issued;
        Ok(Self {
            certificate,
            pem,
            key,
        })
    }

    /// Generates an authority to take the place of this one: with its name, a new key of its kind, and ten years to live.
    pub fn successor(&self, now: SystemTime) -> Result<Self, Error> {
        Self::with_key(self.new_key()?, &self.certificate.details().name, now)
    }

    /// Generates a key of the authority's own kind.
    fn new_key(&self) -> Result<PrivateKey, Error> {
        match self.certificate.details().key_kind {
            KeyKind::Ed25519 => PrivateKey::generate(),
            KeyKind::Ecdsa | KeyKind::Rsa | KeyKind::Other => PrivateKey::generate_ecdsa(),
        }
    }

    /// Reads an authority; `what` names it in errors. The key must match the certificate.
    pub fn from_pem(certificate: &str, key: &str, what: &'static str) -> Result<Self, Error> {
        let parsed = Certificate::from_pem(certificate, what)?;
        let key = PrivateKey::from_pem(key, what)?;
        if !parsed.details().is_authority {
            let flaw = Flaw::NotAuthority;
            return Err(Error::Flaw { what, flaw });
        }
        if parsed.details().public != key.public() {
            return Err(Error::KeyMismatch(what));
        }
        Ok(Self {
            certificate: parsed,
            pem: certificate.to_owned(),
            key,
        })
    }

    /// Returns the authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the authority's validity.
    pub fn validity(&self) -> Validity {
        let details = self.certificate.details();
        Validity {
            not_before: details.not_before,
            not_after: details.not_after,
        }
    }

    /// Returns the authority's own certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Returns the authority's key in PEM, for the secrets file.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// Issues a user's certificate. `organization` carries the role.
    pub fn issue_client(&self, name: &str, organization: &str, validity: Validity) -> Result<Issued, Error> {
        let mut params = params(name, Some(organization), validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, "a client certificate")
    }

    /// Issues a node's certificate for DNS names and addresses. Names that a certificate cannot contain are an error.
    pub fn issue_server(&self, name: &str, names: &[String], validity: Validity) -> Result<Issued, Error> {
        let mut params = params(name, None, validity)?;
        params.subject_alt_names = alternative_names(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, "a server certificate")
    }

    /// Makes a certificate of any kind. Names that cannot stand in one are an error.
    pub fn issue_for(&self, subject: &Subject<'_>, validity: Validity) -> Result<Issued, Error> {
        self.issue(subject_params(subject, validity)?, "a certificate")
    }

    /// Signs for a key that stays where it was made: only what `subject` says stands in the certificate, whatever was asked
    /// for beside the key. Returns the certificate, and the same in PEM.
    ///
    /// # Errors
    ///
    /// Names that cannot stand in a certificate.
    pub fn sign(
        &self,
        request: &SigningRequest,
        subject: &Subject<'_>,
        validity: Validity,
    ) -> Result<(Certificate, String), Error> {
        const WHAT: &str = "a certificate";
        let made = self.made(subject_params(subject, validity)?, request.key(), WHAT)?;
        Ok((Certificate::from_der(made.der().clone(), WHAT)?, made.pem()))
    }

    /// Signs with a new key, which is of the authority's own kind.
    fn issue(&self, params: CertificateParams, what: &'static str) -> Result<Issued, Error> {
        let key = self.new_key()?;
        let made = self.made(params, key.pair(), what)?;
        issued(&made, key, what)
    }

    fn made(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        what: &'static str,
    ) -> Result<rcgen::Certificate, Error> {
        let make = |source| Error::Make { what, source };
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), self.key.pair()).map_err(make)?;
        params.signed_by(key, &issuer).map_err(make)
    }
}

fn subject_params(subject: &Subject<'_>, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = params(subject.name, subject.organization, validity)?;
    params.subject_alt_names = alternative_names(subject.alternative_names)?;
    let purposes = [
        (subject.purposes.client, ExtendedKeyUsagePurpose::ClientAuth),
        (subject.purposes.server, ExtendedKeyUsagePurpose::ServerAuth),
    ];
    let wanted = purposes.into_iter().filter(|(wanted, _)| *wanted);
    params.extended_key_usages = wanted.map(|(_, purpose)| purpose).collect();
    Ok(params)
}

/// Makes a self-signed certificate: a node's in maintenance mode. People compare its fingerprint.
///
/// Its dates mean nothing, on purpose: such a node may have no clock.
pub fn maintenance(names: &[String]) -> Result<Issued, Error> {
    vouchless(MAINTENANCE_NAME, names)
}

/// Makes a self-signed certificate: of a worker that has not joined its cluster yet.
pub fn unjoined(names: &[String]) -> Result<Issued, Error> {
    vouchless(UNJOINED_NAME, names)
}

/// Makes a self-signed certificate: of a node whose machine config cannot be used.
pub fn locked() -> Result<Issued, Error> {
    vouchless(LOCKED_NAME, &[])
}

fn vouchless(name: &str, names: &[String]) -> Result<Issued, Error> {
    let mut params = params(name, None, always())?;
    params.subject_alt_names = alternative_names(names)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    self_signed(params, PrivateKey::generate()?, "a self-signed certificate")
}

/// The common name of a node's certificate in maintenance mode: clients recognise it, and explain what to do.
pub const MAINTENANCE_NAME: &str = "Bedplate in maintenance mode";

/// The common name of the certificate of a worker that has not joined its cluster.
pub const UNJOINED_NAME: &str = "Bedplate worker that has not joined";

/// The common name of the certificate of a node that is locked.
pub const LOCKED_NAME: &str = "Bedplate node that is locked";

/// Returns the validity from 2000 to 2100.
fn always() -> Validity {
    let second = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Validity {
        not_before: second(946_684_800),
        not_after: second(4_102_444_800),
    }
}

fn self_signed(params: CertificateParams, key: PrivateKey, what: &'static str) -> Result<Issued, Error> {
    let made = params.self_signed(key.pair());
    let made = made.map_err(|source| Error::Make { what, source })?;
    issued(&made, key, what)
}

fn issued(made: &rcgen::Certificate, key: PrivateKey, what: &'static str) -> Result<Issued, Error> {
    Ok(Issued {
        certificate: Certificate::from_der(made.der().clone(), what)?,
        pem: made.pem(),
        key,
    })
}

fn params(name: &str, organization: Option<&str>, validity: Validity) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    let mut serial = [0; 16];
    random(&mut serial)?;
    // Positive, and always of full length: the first bit is clear, the second set.
    serial[0] = serial[0] & 0x3f | 0x40;
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// Converts a time for a certificate. A clock may have any value.
fn date(moment: SystemTime) -> Result<time::OffsetDateTime, Error> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).map_err(|_| Error::Date)?;
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Date)
}

pub(crate) fn alternative_names(names: &[String]) -> Result<Vec<SanType>, Error> {
    let name = |name: &String| match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(Ia5String::try_from(name.as_str())?)),
    };
    let names: Result<Vec<SanType>, rcgen::Error> = names.iter().map(name).collect();
    names.map_err(|source| Error::Make {
        what: "a certificate for these names",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn certificates_contain_what_was_requested() {
        let authority = Authority::generate("home", now()).unwrap();
        let details = authority.certificate().details();
        assert!(details.is_authority);
        assert_eq!(details.not_after, now() + AUTHORITY_LIFE);

        let user = authority
            .issue_client("ann", "bedplate:admin", Validity::starting(now(), CLIENT_LIFE))
            .unwrap();
        let details = user.certificate.details();
        assert_eq!((details.name.as_str(), details.issuer.as_str()), ("ann", "home"));
        assert_eq!(details.organizations, ["bedplate:admin"]);
        assert_eq!(details.not_before, now() - BACKDATED);

        let names = ["node1", "10.0.2.15", "fe80::1"].map(str::to_owned);
        let node = authority
            .issue_server("node1", &names, Validity::starting(now(), SERVER_LIFE))
            .unwrap();
        assert_eq!(node.certificate.details().alternative_names, names);
        assert!(!node.certificate.details().is_authority);
    }

    #[test]
    fn an_ecdsa_authority_signs_for_ecdsa_keys_what_is_asked() {
        let authority = Authority::generate_ecdsa("Kubernetes", now()).unwrap();
        let names = ["node1", "10.0.2.15"].map(str::to_owned);
        let subject = |client, server| Subject {
            name: "system:node:node1",
            organization: Some("system:nodes"),
            alternative_names: &names,
            purposes: Purposes { client, server },
        };
        for (client, server) in [(true, true), (true, false), (false, true)] {
            let validity = Validity::starting(now(), SERVER_LIFE);
            let made = authority.issue_for(&subject(client, server), validity).unwrap();
            let details = made.certificate.details();
            assert_eq!(details.purposes, Purposes { client, server });
            assert_eq!(details.organizations, ["system:nodes"]);
            assert_eq!(
                (details.key_kind, details.not_after),
                (KeyKind::Ecdsa, now() + SERVER_LIFE)
            );
            assert_eq!(details.alternative_names, names);
            let authorities = [authority.certificate().clone()];
            assert!(crate::trust::vouches(&authorities, &[made.certificate]));
        }
        let again = Authority::from_pem(authority.certificate_pem(), &authority.key_pem(), "ca").unwrap();
        assert_eq!(again.certificate(), authority.certificate());
    }

    #[test]
    fn an_authority_survives_pem_and_checks_its_key() {
        let authority = Authority::generate("home", now()).unwrap();
        let other = Authority::generate("home", now()).unwrap();
        Authority::from_pem(authority.certificate_pem(), &authority.key_pem(), "machine.ca").unwrap();
        let mixed = Authority::from_pem(authority.certificate_pem(), &other.key_pem(), "machine.ca");
        assert_eq!(
            mixed.unwrap_err().to_string(),
            "the private key of machine.ca belongs to another certificate"
        );
        let leaf = authority
            .issue_client("ann", "x", Validity::starting(now(), CLIENT_LIFE))
            .unwrap();
        let leaf = Authority::from_pem(&leaf.pem, &leaf.key.to_pem(), "machine.ca");
        assert!(
            leaf.unwrap_err()
                .to_string()
                .starts_with("machine.ca is not one of a certificate authority")
        );
    }

    #[test]
    fn a_maintenance_certificate_is_never_dated_1970() {
        let made = maintenance(&["localhost".to_owned()]).unwrap();
        let details = made.certificate.details();
        assert_eq!(details.name, MAINTENANCE_NAME);
        assert!(details.not_before > SystemTime::UNIX_EPOCH + Duration::from_secs(900_000_000));
    }

    #[test]
    fn a_date_that_no_certificate_can_have_is_an_error() {
        let far = now() + Duration::from_secs(400_000_000_000);
        assert_eq!(
            Authority::generate("home", far).unwrap_err().to_string(),
            "no certificate can be dated after the year 9999"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_certificate_ends_before_it_starts(moments: [u32; 4]) {
            let [a, b, c, d] = moments.map(|moment| SystemTime::UNIX_EPOCH + Duration::from_secs(moment.into()));
            let own = Validity { not_before: a.min(b), not_after: a.max(b) };
            let cut = own.within(Validity { not_before: c, not_after: d });
            proptest::prop_assert!(cut.not_before <= cut.not_after && cut.not_before <= d);
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let authority = Authority::generate("home", now()).unwrap();
        let shown = format!("{authority:?}");
        assert!(
            shown.contains("<redacted>") && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }
}
