//! Options that say where the programs of Kubernetes come from.

use anyhow::{Result, bail};
use board::{Arch, Selection};
use images::kubernetes::{self, LockedProgram, Programs, Server, Source};
use images::packages::lock::Lock;

use super::Global;

/// Every program that an overlay can name, for the lock.
const PROGRAMS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
];

/// Where the programs of Kubernetes come from.
#[derive(Debug, clap::Args)]
pub struct Kubernetes {
    /// Programs of Kubernetes, for overlays that name some: a folder, an archive, or a version such as 1.36.2.
    #[arg(long, value_name = "PATH|VERSION")]
    kubernetes: Option<String>,
    /// The version that the folder or archive holds, where its name does not say it.
    #[arg(long, value_name = "VERSION", requires = "kubernetes")]
    kubernetes_version: Option<String>,
    /// Web server with releases of Kubernetes, laid out like upstream's: URL/vVERSION/bin/linux/ARCH/PROGRAM, with
    /// PROGRAM.sha512 beside it.
    #[arg(long, value_name = "URL", env = "BEDPLATE_KUBERNETES_MIRROR")]
    kubernetes_mirror: Option<String>,
}

impl Kubernetes {
    /// Returns where they come from; none where nothing was said.
    pub fn source(&self) -> Result<Option<Source>> {
        let version = self.kubernetes_version.as_deref();
        let source = self
            .kubernetes
            .as_deref()
            .map(|given| Source::parse(given, version));
        Ok(source.transpose()?)
    }

    fn server(&self, global: &Global) -> Result<Server> {
        Ok(Server {
            url: self.kubernetes_mirror.clone(),
            cache: global.places.cache()?,
        })
    }

    /// Gets the programs that the overlays of an image name; none where they name none.
    pub fn programs(&self, selection: &Selection, lock: &Lock, global: &Global) -> Result<Option<Programs>> {
        let names = &selection.features.kubernetes;
        let source = self.source()?;
        match (source, names.is_empty()) {
            (None, true) => Ok(None),
            (None, false) => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                bail!(
                    "the overlays need programs of Kubernetes ({}): name a folder, an archive or a version with --kubernetes",
                    names.join(", ")
                )
            }
            (Some(_), true) => {
                bail!(
                    "no overlay of this image has programs of Kubernetes: add --overlay kubernetes, or leave out --kubernetes"
                )
            }
            (Some(source), false) => {
                let server = self.server(global)?;
                let arch = selection.board.arch;
                Ok(Some(kubernetes::get(
                    &source,
                    names,
                    arch,
                    &lock.kubernetes,
                    &server,
                )?))
            }
        }
    }

    /// Lists the programs of the named release for the lock; what the lock has already where nothing was named.
    pub fn lock(&self, old: &Lock, global: &Global) -> Result<Vec<LockedProgram>> {
        let Some(source) = self.source()? else {
            return Ok(old.kubernetes.clone());
        };
        let Source::Published(version) = source else {
            bail!("only a release can be locked: name its version, such as 1.36.2");
        };
        let names: Vec<board::Name> = PROGRAMS
            .iter()
            .map(|name| name.parse().expect("a program's name is one"))
            .collect();
        let server = self.server(global)?;
        let mut locked = Vec::new();
        for arch in Arch::ALL {
            let programs = kubernetes::get(&Source::Published(version), &names, arch, &[], &server)?;
            locked.extend(programs.all.into_iter().map(|program| LockedProgram {
                version: version.to_string(),
                arch,
                name: program.name,
                size: program.data.len() as u64,
                sha512: program.sha512,
            }));
        }
        Ok(locked)
    }

    /// Returns the same options for another run.
    pub fn options(&self) -> Vec<String> {
        let given = [
            ("--kubernetes", &self.kubernetes),
            ("--kubernetes-version", &self.kubernetes_version),
            ("--kubernetes-mirror", &self.kubernetes_mirror),
        ];
        let given = given
            .into_iter()
            .filter_map(|(option, value)| Some((option, value.as_ref()?)));
        given
            .flat_map(|(option, value)| [option.to_owned(), value.clone()])
            .collect()
    }
}
