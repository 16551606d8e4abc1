//! Whose certificates a worker may use, and whose it should have.

use machine_config::MachineConfig;
use pki::Certificate;

use super::keep::{Kept, KeptCertificate};
use crate::policy::API;

/// The authorities of a worker's machine config: the first of each signs, the others are accepted beside it, while they are
/// rotated.
#[derive(Debug, Clone)]
pub struct Authorities {
    fingerprint: String,
    machine: Vec<Certificate>,
    kubernetes: Vec<Certificate>,
}

impl Authorities {
    /// Reads those of a config.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be read.
    pub fn of(config: &MachineConfig) -> Result<Self, pki::Error> {
        let read = |text: &str, what| Certificate::all_from_pem(text, what);
        let machine = config.machine.ca.cert.as_str();
        let mut fingerprint = pki::trust_in(machine)?.to_string();
        let mut kubernetes = Vec::new();
        if let Some(ca) = &config.cluster.ca {
            fingerprint.push('+');
            fingerprint.push_str(&pki::trust_in(ca.cert.as_str())?.to_string());
            kubernetes = read(ca.cert.as_str(), "cluster.ca")?;
        }
        Ok(Self {
            fingerprint,
            machine: read(machine, "machine.ca")?,
            kubernetes,
        })
    }

    /// Returns what stands for all of them, in their order.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn of_certificate(&self, which: &str) -> &[Certificate] {
        match which == API {
            true => &self.machine,
            false => &self.kubernetes,
        }
    }

    /// Tells whether others accept a certificate.
    pub fn accept(&self, which: &str, held: &KeptCertificate) -> bool {
        let mut all = self.of_certificate(which).iter();
        all.any(|authority| authority.has_signed(&held.certificate))
    }

    /// Tells whether a certificate is of the authority that signs now.
    pub fn would_sign(&self, which: &str, held: &KeptCertificate) -> bool {
        let first = self.of_certificate(which).first();
        first.is_some_and(|authority| authority.has_signed(&held.certificate))
    }
}

impl Kept {
    /// Returns what is of use under these authorities: whatever they accept, and nothing else. Where they accept none of the
    /// certificates, the node has moved to another cluster, and knows none of its control planes.
    #[must_use]
    pub fn under(mut self, authorities: &Authorities) -> Self {
        if self.trust == authorities.fingerprint() {
            return self;
        }
        self.certificates
            .retain(|which, held| authorities.accept(which, held));
        let trust = authorities.fingerprint().to_owned();
        match self.certificates.is_empty() {
            true => Self {
                trust,
                ..Self::default()
            },
            false => Self { trust, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use pki::{Authority, Validity, authority::SERVER_LIFE};

    use super::super::plan::{Wanted, due};
    use super::*;

    const KUBELET: &str = "kubelet/kubelet-client";

    fn config(machine: &[&Authority], kubernetes: &[&Authority]) -> MachineConfig {
        let mut config = state::testkit::config();
        let cert = |all: &[&Authority]| {
            let all: String = all.iter().map(|authority| authority.certificate_pem()).collect();
            all.parse().unwrap()
        };
        config.machine.ca.cert = cert(machine);
        config.cluster.ca = Some(machine_config::v1alpha1::CertificateAuthority {
            cert: cert(kubernetes),
            key: None,
        });
        config
    }

    #[test]
    fn certificates_stay_in_use_while_their_authority_is_accepted_and_are_renewed_when_another_signs() {
        let now = SystemTime::now();
        let [old, new, kubernetes, away] =
            ["old", "new", "kubernetes", "away"].map(|name| Authority::generate(name, now).unwrap());
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let held = |authority: &Authority| {
            let issued = authority
                .issue_client("x", "y", Validity::starting(now, SERVER_LIFE))
                .unwrap();
            KeptCertificate {
                certificate: issued.pem.clone(),
                key: issued.key.to_pem().to_string(),
                names: vec!["CN=x".to_owned()],
                not_before: seconds(now) - 60,
                not_after: seconds(now + SERVER_LIFE),
            }
        };
        let wanted = [API, KUBELET].map(|which| Wanted {
            which: which.to_owned(),
            name: "x".to_owned(),
            organization: None,
            alternative_names: Vec::new(),
        });
        let under = |machine: &[&Authority], kubernetes: &[&Authority]| {
            Authorities::of(&config(machine, kubernetes)).unwrap()
        };
        let before = under(&[&old], &[&kubernetes]);
        let kept = Kept {
            trust: before.fingerprint().to_owned(),
            certificates: BTreeMap::from([
                (API.to_owned(), held(&old)),
                (KUBELET.to_owned(), held(&kubernetes)),
            ]),
            last: Some("192.0.2.1".to_owned()),
            control_planes: Vec::new(),
        };
        let is_due = |authorities: &Authorities| {
            let kept = kept.clone().under(authorities);
            due(&kept, &wanted, authorities, now, true, Some(Duration::ZERO)).is_none()
        };
        let steps = [
            (before, 2, false),
            (under(&[&old, &new], &[&kubernetes]), 2, false),
            (under(&[&new, &old], &[&kubernetes]), 2, true),
            (under(&[&new], &[&kubernetes]), 1, true),
            (under(&[&old], &[&away, &kubernetes]), 2, true),
            (under(&[&away], &[&away]), 0, true),
        ];
        for (index, (authorities, left, renews)) in steps.iter().enumerate() {
            let now_kept = kept.clone().under(authorities);
            assert_eq!(now_kept.certificates.len(), *left, "{index}");
            assert_eq!(now_kept.last.is_some(), *left > 0, "{index}");
            assert_eq!(is_due(authorities), *renews, "{index}");
        }
    }
}
