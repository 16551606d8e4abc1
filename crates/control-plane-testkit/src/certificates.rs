//! Signs what components ask for, and writes it where they look.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use kubernetes::{Component, Identity, Kind, Layout, Signer};
use pki::{Authority, Issued, KubernetesSecrets, Purposes, Subject, Validity, authority::SERVER_LIFE};

/// A certificate with its key, both in PEM.
pub type Pair = (String, String);

/// What signs the certificates of a cluster, and where they go.
pub struct Certificates<'a> {
    secrets: &'a KubernetesSecrets,
    layout: &'a Layout,
}

impl<'a> Certificates<'a> {
    /// Signs with these secrets, and writes to these folders.
    pub fn new(secrets: &'a KubernetesSecrets, layout: &'a Layout) -> Self {
        Self { secrets, layout }
    }

    fn signer(&self, signer: Signer) -> &Authority {
        match signer {
            Signer::Etcd => &self.secrets.etcd,
            Signer::Kubernetes => &self.secrets.authority,
            Signer::FrontProxy => &self.secrets.front_proxy,
        }
    }

    /// Returns an authority's certificate in PEM.
    pub fn authority(&self, signer: Signer) -> &str {
        self.signer(signer).certificate_pem()
    }

    /// Signs what an identity asks for.
    pub fn issue(&self, identity: &Identity) -> Issued {
        let subject = Subject {
            name: &identity.name,
            organization: identity.organization.as_deref(),
            alternative_names: &identity.alternative_names,
            purposes: Purposes {
                client: identity.client,
                server: identity.server,
            },
        };
        let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
        self.signer(identity.signer)
            .issue_for(&subject, validity)
            .unwrap()
    }

    /// Returns a certificate of a component that was written before.
    pub fn written(&self, component: Kind, identity: &str) -> Pair {
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
        (
            read(self.layout.certificate(component, identity)),
            read(self.layout.key(component, identity)),
        )
    }

    /// Writes everything that a component needs, and nothing else.
    pub fn write_for(&self, component: &Component) {
        let kind = component.kind;
        let mut files = BTreeMap::new();
        for identity in &component.identities {
            let issued = self.issue(identity);
            files.insert(self.layout.certificate(kind, identity.file), issued.pem);
            files.insert(
                self.layout.key(kind, identity.file),
                issued.key.to_pem().to_string(),
            );
        }
        for signer in &component.trusts {
            files.insert(
                self.layout.authority(kind, *signer),
                self.authority(*signer).to_owned(),
            );
        }
        for signer in &component.signs {
            files.insert(
                self.layout.signing_certificate(kind, *signer),
                self.authority(*signer).to_owned(),
            );
            files.insert(
                self.layout.signing_key(kind, *signer),
                self.signer(*signer).key_pem().to_string(),
            );
        }
        if component.signs_tokens {
            let key = self.secrets.service_account.to_pem().to_string();
            files.insert(self.layout.service_account_key(kind), key);
            let public = self.secrets.service_account.public_pem();
            files.insert(self.layout.service_account_public_key(kind), public);
        }
        for file in &component.files {
            files.insert(file.path.clone(), file.contents.to_string());
        }
        for (path, contents) in files {
            private(&path, &contents);
        }
        for folder in &component.folders {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}

fn private(path: &Path, contents: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
