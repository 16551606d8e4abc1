//! The authorities in a machine config, in a client's context, and in the file of the new secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use machine_config::v1alpha1::CertificateAuthority;
use machine_config::{MachineConfig, Secret};
use pki::authority::CLIENT_LIFE;
use pki::{Authority, Certificate, Fingerprint, Secrets, Validity};
use zeroize::Zeroizing;

use super::plan::{Party, Phase, Which, advance};
use crate::config::{Context, write_private};
use crate::user_file;

/// The new authorities, as they are in the file of the new secrets.
pub struct New {
    secrets: Secrets,
}

impl New {
    /// Reads the file of an earlier run; none if it is not there.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(text) = user_file::find(path)? else {
            return Ok(None);
        };
        let secrets = user_file::parse(path, &text, Secrets::from_yaml)?;
        Ok(Some(Self { secrets }))
    }

    /// Makes new authorities for the cluster that a control plane's config is of. Everything else of its secrets stays.
    pub fn generate(config: &MachineConfig, which: &[Which], now: SystemTime) -> anyhow::Result<Self> {
        let secrets = Secrets::of_config(config).context("the control plane's config has no secrets")?;
        let mut new = Self { secrets };
        for which in which {
            if let Some(authority) = new.authority_mut(*which) {
                *authority = authority.successor(now)?;
            }
        }
        Ok(new)
    }

    /// Writes the file, for its owner only. It must be there before the first node is changed: no node has the keys before
    /// the second phase.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_private(path, &self.secrets.to_yaml(), false)
    }

    /// Checks that the file is of the cluster of this config.
    pub fn check(&self, path: &Path, config: &MachineConfig) -> anyhow::Result<()> {
        let id = config
            .cluster
            .id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        anyhow::ensure!(
            self.secrets.cluster_id == id,
            "{} has the secrets of another cluster ({}, not {id}); name another file with --secrets",
            path.display(),
            self.secrets.cluster_id,
        );
        Ok(())
    }

    /// Returns an authority; none where the cluster does not have it.
    pub fn authority(&self, which: Which) -> Option<&Authority> {
        let kubernetes = self.secrets.kubernetes.as_ref();
        match which {
            Which::Machine => Some(&self.secrets.authority),
            Which::Kubernetes => kubernetes.map(|own| &own.authority),
            Which::Etcd => kubernetes.map(|own| &own.etcd),
            Which::FrontProxy => kubernetes.map(|own| &own.front_proxy),
        }
    }

    fn authority_mut(&mut self, which: Which) -> Option<&mut Authority> {
        let kubernetes = self.secrets.kubernetes.as_mut();
        match which {
            Which::Machine => Some(&mut self.secrets.authority),
            Which::Kubernetes => kubernetes.map(|own| &mut own.authority),
            Which::Etcd => kubernetes.map(|own| &mut own.etcd),
            Which::FrontProxy => kubernetes.map(|own| &mut own.front_proxy),
        }
    }

    /// Returns the identities of these authorities, for the plan.
    pub fn identities(&self, which: &[Which]) -> BTreeMap<Which, Fingerprint> {
        let found = which
            .iter()
            .filter_map(|which| Some((*which, self.authority(*which)?)));
        found
            .map(|(which, authority)| (which, authority.certificate().fingerprint()))
            .collect()
    }

    /// Changes the config of a node.
    ///
    /// # Errors
    ///
    /// A config whose certificates cannot be read.
    pub fn change_config(
        &self,
        config: &mut MachineConfig,
        changes: &BTreeMap<Which, Phase>,
    ) -> anyhow::Result<()> {
        let signs = config.machine.role.holds_ca_key();
        for (which, phase) in changes {
            let (Some(ca), Some(new)) = (of_config_mut(config, *which), self.authority(*which)) else {
                continue;
            };
            let text = changed(ca.cert.as_str(), *phase, new)?;
            ca.cert = text
                .parse()
                .context("the certificates of an authority cannot be written")?;
            if *phase == Phase::Issue && signs {
                ca.key = Some(Secret::new(new.key_pem().as_str()));
            }
        }
        Ok(())
    }

    /// Changes the context of the client itself. From the second phase on it shows a certificate of the new authority, with
    /// the name and the role of the old one.
    ///
    /// # Errors
    ///
    /// A context whose certificates cannot be read.
    pub fn change_context(&self, context: &mut Context, phase: Phase, now: SystemTime) -> anyhow::Result<()> {
        let new = &self.secrets.authority;
        context.ca = changed(&in_order(context)?, phase, new)?;
        if phase == Phase::Issue {
            let old = Certificate::from_pem(&context.cert, "the context's certificate")?;
            let details = old.details();
            let organization = details.organizations.first().map_or("", String::as_str);
            let validity = Validity::starting(now, CLIENT_LIFE);
            let issued = new.issue_client(&details.name, organization, validity)?;
            context.cert = issued.pem.clone();
            context.key = Zeroizing::new(issued.key.to_pem().to_string());
        }
        Ok(())
    }
}

/// Changes a list of certificates in PEM.
fn changed(text: &str, phase: Phase, new: &Authority) -> anyhow::Result<String> {
    let mut accepted = Certificate::all_from_pem(text, "the authority")?;
    let own = new.certificate();
    advance(&mut accepted, phase, own.clone(), |one| {
        one.fingerprint() == own.fingerprint()
    });
    Ok(accepted.iter().map(Certificate::to_pem).collect())
}

/// Returns an authority of a config; none where it has none.
pub fn of_config(config: &MachineConfig, which: Which) -> Option<&CertificateAuthority> {
    let (cluster, secrets) = (&config.cluster, config.cluster.secrets.as_ref());
    match which {
        Which::Machine => Some(&config.machine.ca),
        Which::Kubernetes => cluster.ca.as_ref(),
        Which::Etcd => secrets.map(|secrets| &secrets.etcd_ca),
        Which::FrontProxy => secrets.map(|secrets| &secrets.front_proxy_ca),
    }
}

fn of_config_mut(config: &mut MachineConfig, which: Which) -> Option<&mut CertificateAuthority> {
    match which {
        Which::Machine => Some(&mut config.machine.ca),
        Which::Kubernetes => config.cluster.ca.as_mut(),
        Which::Etcd => config
            .cluster
            .secrets
            .as_mut()
            .map(|secrets| &mut secrets.etcd_ca),
        Which::FrontProxy => config
            .cluster
            .secrets
            .as_mut()
            .map(|secrets| &mut secrets.front_proxy_ca),
    }
}

fn fingerprints(text: &str) -> anyhow::Result<Vec<Fingerprint>> {
    let all = Certificate::all_from_pem(text, "the authority")?;
    Ok(all.iter().map(Certificate::fingerprint).collect())
}

/// Returns what a node accepts.
///
/// # Errors
///
/// Certificates that cannot be read.
pub fn party_of_config(config: &MachineConfig) -> anyhow::Result<Party<Fingerprint>> {
    let mut accepts = BTreeMap::new();
    for which in Which::ALL {
        if let Some(ca) = of_config(config, which) {
            accepts.insert(which, fingerprints(ca.cert.as_str())?);
        }
    }
    Ok(Party { accepts })
}

/// Returns what the client accepts: the authority that it is known by comes first.
///
/// # Errors
///
/// Certificates that cannot be read, or a client certificate of an authority that it does not trust.
pub fn party_of_context(context: &Context) -> anyhow::Result<Party<Fingerprint>> {
    let accepts = BTreeMap::from([(Which::Machine, fingerprints(&in_order(context)?)?)]);
    Ok(Party { accepts })
}

/// Returns the authorities that a client trusts in PEM: that of its own certificate first.
fn in_order(context: &Context) -> anyhow::Result<String> {
    let mut all = Certificate::all_from_pem(&context.ca, "the context's CA")?;
    let own = all
        .iter()
        .position(|authority| authority.has_signed(&context.cert));
    let own = own.context("the context's certificate is of another authority than those in its ca")?;
    all[..=own].rotate_right(1);
    Ok(all.iter().map(Certificate::to_pem).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::rotate_ca::plan;

    fn context(secrets: &Secrets) -> Context {
        let issued = secrets
            .authority
            .issue_client(
                "ann",
                "bedplate:admin",
                Validity::starting(SystemTime::now(), CLIENT_LIFE),
            )
            .unwrap();
        Context {
            endpoints: vec![],
            nodes: vec![],
            through_endpoints: false,
            ca: secrets.authority.certificate_pem().to_owned(),
            cert: issued.pem.clone(),
            key: Zeroizing::new(issued.key.to_pem().to_string()),
        }
    }

    #[test]
    fn a_client_is_changed_in_three_steps_and_can_do_what_it_could() {
        let now = SystemTime::now();
        let old = Secrets::generate(now).unwrap();
        let mut context = context(&old);
        let mut new = New {
            secrets: Secrets::from_yaml(&old.to_yaml()).unwrap(),
        };
        new.secrets.authority = old.authority.successor(now).unwrap();
        let identities = new.identities(&[Which::Machine]);
        let mut phases = Vec::new();
        while let Some(step) = plan::next(&[party_of_context(&context).unwrap()], &identities, Phase::Drop) {
            let phase = step.changes[&Which::Machine];
            phases.push(phase);
            new.change_context(&mut context, phase, now).unwrap();
            let shown = Certificate::from_pem(&context.cert, "it").unwrap();
            assert_eq!(shown.details().organizations, ["bedplate:admin"]);
            assert_eq!(shown.details().name, "ann");
            pki::Client::mutual(&context.ca, &context.cert, &context.key).unwrap();
        }
        assert_eq!(phases, Phase::ALL);
        let own = new.secrets.authority.certificate();
        assert_eq!(context.ca, own.to_pem());
        assert!(own.has_signed(&context.cert));
    }
}
