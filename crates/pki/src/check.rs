//! Checks certificates that a person provides, before anything depends on them.
//!
//! A machine config whose authority cannot sign, or signs certificates that nobody accepts, locks its owner out. So CLI,
//! flash tool and node run [`check_config`] on every config that a person provides: it issues the API's certificate and
//! does both ends of a handshake as a rehearsal. What was accepted once is not checked again: an authority that expires
//! must not keep a node from starting.

mod rehearsal;

use std::time::{Duration, SystemTime};

use machine_config::{Fault, Faults, MachineConfig, line_of};

use crate::trust::vouches;
use crate::{Authority, Certificate, Details, Flaw, KeyKind, Moment, PrivateKey};

/// How far in the future a certificate may start: clocks of hosts differ, and certificates are backdated by an hour.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Checks all certificates and keys of a machine config. `text` is the document it was read from.
///
/// Faults contain path and line, as those of [`machine_config::parse`] do.
pub fn check_config(text: &str, config: &MachineConfig, moment: Moment) -> Result<(), Faults> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let ca = &config.machine.ca;
    let key = ca.key.as_ref().map(|key| key.expose());
    for (part, flaw) in authority(ca.cert.as_str(), key, moment) {
        let path = match part {
            Part::Certificate => "machine.ca.cert",
            Part::Key => "machine.ca.key",
        };
        found.push((path, flaw.to_string()));
    }
    if let Some(bundle) = &config.machine.upgrades.ca
        && let Some(flaw) = authorities_of_servers(bundle.as_str(), moment)
    {
        found.push(("machine.upgrades.ca", flaw.to_string()));
    }
    found.extend(cluster(config, moment));
    if found.is_empty()
        && let Err(error) = rehearsal::rehearse(config, moment)
    {
        found.push((
            "machine.ca",
            format!("the node's API could not start with it: {}", chain(&error)),
        ));
    }
    let fault = |(path, message): (&str, String)| Fault {
        line: line_of(text, path),
        path: path.to_owned(),
        message,
    };
    let faults = Faults::from_list(found.into_iter().map(fault).collect());
    faults.map_or(Ok(()), Err)
}

/// Reads a machine config that a person provides, or reports everything that is wrong with it, including its certificates.
pub fn parse_config(text: &str, moment: Moment) -> Result<MachineConfig, Faults> {
    let config = machine_config::parse(text)?;
    check_config(text, &config, moment)?;
    Ok(config)
}

/// Lists what is wrong with the authorities of a cluster's Kubernetes, each with its path.
fn cluster(config: &MachineConfig, moment: Moment) -> Vec<(&'static str, String)> {
    let cluster = &config.cluster;
    let mut authorities = Vec::new();
    if let Some(ca) = &cluster.ca {
        authorities.push((ca, ["cluster.ca.cert", "cluster.ca.key"]));
    }
    if let Some(secrets) = &cluster.secrets {
        authorities.push((
            &secrets.etcd_ca,
            ["cluster.secrets.etcdCA.cert", "cluster.secrets.etcdCA.key"],
        ));
        authorities.push((
            &secrets.front_proxy_ca,
            [
                "cluster.secrets.frontProxyCA.cert",
                "cluster.secrets.frontProxyCA.key",
            ],
        ));
    }
    let mut found = Vec::new();
    for (ca, paths) in authorities {
        let key = ca.key.as_ref().map(|key| key.expose());
        for (part, flaw) in signing(ca.cert.as_str(), key, moment, |_| true) {
            let path = match part {
                Part::Certificate => paths[0],
                Part::Key => paths[1],
            };
            found.push((path, flaw.to_string()));
        }
    }
    let tokens = cluster
        .secrets
        .as_ref()
        .map(|secrets| &secrets.service_account_key);
    if let Some(flaw) = tokens.and_then(|key| token_key(key.expose())) {
        found.push(("cluster.secrets.serviceAccountKey", flaw.to_string()));
    }
    found
}

/// Says what is wrong with a key that signs tokens: Kubernetes takes no Ed25519 for it.
fn token_key(key: &str) -> Option<Flaw> {
    match PrivateKey::read(key) {
        Err(flaw) => Some(flaw),
        Ok(key) if key.is_ed25519() => Some(Flaw::NotForTokens),
        Ok(_) => None,
    }
}

/// The part that has a flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// The private key.
    Key,
}

/// Lists the flaws of an authority of Bedplate's own API. Of several certificates the first one signs; the others are
/// trusted too, and may have expired.
pub fn authority(certificates: &str, key: Option<&str>, moment: Moment) -> Vec<(Part, Flaw)> {
    signing(certificates, key, moment, |kind| kind == KeyKind::Ed25519)
}

/// Lists what is wrong with an authority that signs with keys of some kinds.
fn signing(
    certificates: &str,
    key: Option<&str>,
    moment: Moment,
    fits: impl Fn(KeyKind) -> bool,
) -> Vec<(Part, Flaw)> {
    let mut flaws = Vec::new();
    let all = match Certificate::blocks(certificates) {
        Ok(all) => all,
        Err(flaw) => {
            flaws.push((Part::Certificate, flaw));
            Vec::new()
        }
    };
    let flaw = all.iter().enumerate().find_map(|(index, certificate)| {
        let details = certificate.details();
        let kind = details.key_kind;
        may_sign(details)
            .or_else(|| (!fits(kind)).then_some(Flaw::Kind(kind)))
            .or_else(|| (index == 0).then(|| valid(details, moment)).flatten())
    });
    flaws.extend(flaw.map(|flaw| (Part::Certificate, flaw)));
    let Some(key) = key else { return flaws };
    match (PrivateKey::read(key), all.first()) {
        (Err(flaw), _) => flaws.push((Part::Key, flaw)),
        (Ok(key), Some(first)) if first.details().public != key.public() => {
            flaws.push((Part::Key, Flaw::OtherKey));
        }
        _ => {}
    }
    flaws
}

/// Returns the flaw of authorities of other servers, such as those of bundles.
///
/// They may have any kind of key. A bundle may contain some that have expired, but not only such. A server's self-signed
/// certificate is its own authority.
pub fn authorities_of_servers(certificates: &str, moment: Moment) -> Option<Flaw> {
    let all = match Certificate::blocks(certificates) {
        Ok(all) => all,
        Err(flaw) => return Some(flaw),
    };
    let unfit = all
        .iter()
        .map(Certificate::details)
        .filter(|details| !details.self_issued || details.claims_authority)
        .find_map(may_sign);
    // One valid certificate is enough.
    let expired = || {
        let flaws = all.iter().map(|certificate| valid(certificate.details(), moment));
        let flaws: Option<Vec<Flaw>> = flaws.collect();
        flaws?.into_iter().next()
    };
    unfit.or_else(expired)
}

/// Lists the flaws of a client's certificate, its key and the authority it trusts. Each flaw comes with the name of its
/// field: `ca`, `cert` or `key`.
pub fn client(ca: &str, certificates: &str, key: &str, moment: Moment) -> Vec<(&'static str, Flaw)> {
    let mut flaws: Vec<(&'static str, Flaw)> = authority(ca, None, moment)
        .into_iter()
        .map(|(_, flaw)| ("ca", flaw))
        .collect();
    let chain = Certificate::blocks(certificates);
    let key = PrivateKey::read(key);
    match (&chain, Certificate::blocks(ca)) {
        (Err(flaw), _) => flaws.push(("cert", flaw.clone())),
        (Ok(chain), authorities) => {
            let details = chain[0].details();
            let signed = || {
                let authorities = authorities.ok()?;
                (!vouches(&authorities, chain)).then_some(Flaw::NotSigned)
            };
            let flaw = (!details.purposes.client)
                .then_some(Flaw::NotForClients)
                .or_else(|| valid(details, moment))
                .or_else(signed);
            flaws.extend(flaw.map(|flaw| ("cert", flaw)));
        }
    }
    match (&key, &chain) {
        (Err(flaw), _) => flaws.push(("key", flaw.clone())),
        (Ok(key), Ok(chain)) if chain[0].details().public != key.public() => {
            flaws.push(("key", Flaw::OtherKey));
        }
        _ => {}
    }
    flaws
}

impl Authority {
    /// Returns what keeps this authority from issuing certificates that others accept.
    pub fn check(&self, moment: Moment) -> Option<Flaw> {
        authority(self.certificate_pem(), None, moment)
            .into_iter()
            .map(|(_, flaw)| flaw)
            .next()
    }
}

/// Writes an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn may_sign(details: &Details) -> Option<Flaw> {
    if !details.claims_authority {
        return Some(Flaw::NotAuthority);
    }
    (!details.is_authority).then_some(Flaw::MayNotSign)
}

fn valid(details: &Details, moment: Moment) -> Option<Flaw> {
    let Moment { at, certain } = moment;
    if details.not_after <= at {
        return Some(Flaw::Expired(details.not_after.into()));
    }
    let ahead = details.not_before.duration_since(at).unwrap_or_default() > AHEAD;
    let not_yet = Flaw::NotYet {
        from: details.not_before.into(),
        today: SystemTime::into(at),
    };
    (certain && ahead).then_some(not_yet)
}
