//! `bedplate gen config`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use machine_config::v1alpha1::{ApiVersion, CertificateAuthority, Cluster, Kind, Machine, Role};
use machine_config::value::{Endpoint, Host, Name, argument};
use machine_config::{MachineConfig, Secret};
use pki::Secrets;
use zeroize::Zeroizing;

use super::client::{User, client};
use super::load_secrets;
use crate::address::Address;
use crate::config::write_private;
use crate::ui;

/// Makes machine configs and a client's file.
#[derive(Debug, Args)]
pub struct GenConfig {
    /// Name of the cluster: lower-case letters, digits and hyphens.
    #[arg(value_parser = argument::<Name>)]
    name: Name,
    /// Where the cluster is reached: a name or address of a control plane, or https://HOST:PORT of its Kubernetes API.
    endpoint: String,
    /// One machine that belongs to no cluster.
    #[arg(long)]
    standalone: bool,
    /// Use these secrets, made by `gen secrets`, instead of new ones.
    #[arg(long, visible_alias = "secrets", value_name = "FILE")]
    with_secrets: Option<PathBuf>,
    /// Further names and addresses for the nodes' certificates.
    #[arg(
        long = "cert-san",
        visible_alias = "additional-sans",
        value_delimiter = ',',
        value_name = "HOST,…",
        value_parser = argument::<Host>
    )]
    cert_sans: Vec<Host>,
    /// Write only these files, and secrets.yaml if they are new.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TYPE,…")]
    output_types: Vec<OutputType>,
    /// Where to write the files.
    #[arg(
        long,
        visible_alias = "output-dir",
        value_name = "FOLDER",
        default_value = "."
    )]
    folder: PathBuf,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

/// A file that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputType {
    /// controlplane.yaml.
    Controlplane,
    /// worker.yaml.
    Worker,
    /// standalone.yaml, which --standalone makes in place of these two.
    Standalone,
    /// client.yaml.
    #[value(alias = "talosconfig")]
    Client,
}

/// Port of the Kubernetes API, unless another is given.
const KUBERNETES_PORT: u16 = 6443;
/// The client's file.
const CLIENT: &str = "client.yaml";

/// A file to write.
struct File {
    name: &'static str,
    text: Zeroizing<String>,
}

impl GenConfig {
    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        let (endpoint, host) = endpoint(&self.endpoint)?;
        let secrets = match &self.with_secrets {
            Some(path) => load_secrets(path)?,
            None => Secrets::generate(SystemTime::now())?,
        };
        let mut files = Vec::new();
        if self.with_secrets.is_none() {
            files.push(File {
                name: "secrets.yaml",
                text: secrets.to_yaml()?,
            });
        }
        let roles: &[(OutputType, &str, Role)] = if self.standalone {
            &[(OutputType::Standalone, "standalone.yaml", Role::Standalone)]
        } else {
            &[
                (OutputType::Controlplane, "controlplane.yaml", Role::ControlPlane),
                (OutputType::Worker, "worker.yaml", Role::Worker),
            ]
        };
        let possible = |wanted: &OutputType| {
            *wanted == OutputType::Client || roles.iter().any(|(output, ..)| output == wanted)
        };
        anyhow::ensure!(
            self.output_types.iter().all(possible),
            "standalone.yaml is made with --standalone, controlplane.yaml and worker.yaml without it"
        );
        for &(_, name, role) in roles.iter().filter(|(output, ..)| self.wants(*output)) {
            let text = self.machine_config(role, &secrets, &endpoint)?;
            files.push(File { name, text });
        }
        if self.wants(OutputType::Client) {
            let client = client(&secrets, &self.name.to_string(), vec![host], &User::default())?;
            files.push(File {
                name: CLIENT,
                text: client.to_yaml(),
            });
        }
        write_all(&self.folder, &files, self.force)?;
        ui::note("all of them hold secrets: keep them safe");
        if self.wants(OutputType::Client) {
            let client = self.folder.join(CLIENT);
            ui::note(&format!(
                "to use the cluster: bedplate context merge {}",
                client.display()
            ));
        }
        Ok(())
    }

    fn wants(&self, output: OutputType) -> bool {
        self.output_types.is_empty() || self.output_types.contains(&output)
    }

    fn machine_config(
        &self,
        role: Role,
        secrets: &Secrets,
        endpoint: &Endpoint,
    ) -> anyhow::Result<Zeroizing<String>> {
        let invariant = "what was just generated has the right form";
        let in_cluster = role != Role::Standalone;
        let config = MachineConfig {
            api_version: ApiVersion::default(),
            kind: Kind::default(),
            machine: Machine {
                role,
                hostname: None,
                ca: CertificateAuthority {
                    cert: secrets.authority.certificate_pem().parse().expect(invariant),
                    key: role
                        .holds_ca_key()
                        .then(|| Secret::new(secrets.authority.key_pem().as_str())),
                },
                token: in_cluster.then(|| Secret::new(secrets.token.as_str())),
                cert_sans: self.cert_sans.clone(),
                network: Default::default(),
                time: Default::default(),
                sysctls: Default::default(),
                modules: Vec::new(),
                health: Default::default(),
                upgrades: Default::default(),
                services: Default::default(),
            },
            cluster: Cluster {
                name: Some(self.name.clone()),
                id: in_cluster.then(|| secrets.cluster_id.parse().expect(invariant)),
                endpoint: in_cluster.then(|| endpoint.clone()),
            },
        };
        config.check()?;
        let head = match role {
            Role::ControlPlane => {
                "A control plane. Holds the key of the cluster's authority: keep it secret."
            }
            Role::Worker => "A worker. Holds the cluster's token: keep it secret.",
            Role::Standalone => "A machine of its own. Holds the key of its authority: keep it secret.",
        };
        let yaml = Zeroizing::new(config.to_yaml_with_secrets());
        Ok(Zeroizing::new(format!("# {head}\n{}", yaml.as_str())))
    }
}

/// Reads the endpoint: the address of the Kubernetes API, and the host alone, where the nodes' own API is.
fn endpoint(text: &str) -> anyhow::Result<(Endpoint, String)> {
    let rest = text
        .strip_prefix("https://")
        .unwrap_or(text)
        .trim_end_matches('/');
    if text.starts_with("https://") {
        // Without brackets nobody can tell where an IPv6 address ends and its port begins.
        let checked: Result<Endpoint, _> = format!("https://{rest}").parse();
        checked.map_err(|error| anyhow::anyhow!("{text:?} is not {error}"))?;
    }
    let address: Address = rest.parse()?;
    let host = address.host().to_owned();
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let is_bare = !text.starts_with("https://");
    let port = if is_bare || address.port() == api::PORT {
        KUBERNETES_PORT
    } else {
        address.port()
    };
    let endpoint = format!("https://{shown}:{port}").parse();
    let endpoint = endpoint.map_err(|error| anyhow::anyhow!("{text:?} is not {error}"))?;
    // With a port but without https:// it is the nodes' own API, as behind a tunnel.
    let own = if is_bare && address.port() != api::PORT {
        address.to_string()
    } else {
        host
    };
    Ok((endpoint, own))
}

/// Writes all files or, where one is there already, none.
fn write_all(folder: &Path, files: &[File], force: bool) -> anyhow::Result<()> {
    let there = files
        .iter()
        .map(|file| folder.join(file.name))
        .find(|path| path.exists());
    if let Some(path) = there.filter(|_| !force) {
        anyhow::bail!(
            "{} is there already; --force writes over it, --folder writes elsewhere",
            path.display()
        );
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in files {
        let path = folder.join(file.name);
        write_private(&path, &file.text, force)?;
        ui::line(&path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_endpoint_is_a_host_or_an_address_of_kubernetes() {
        let cases = [
            ("10.0.0.2", "https://10.0.0.2:6443", "10.0.0.2"),
            ("https://k.lan:7443", "https://k.lan:7443", "k.lan"),
            ("https://k.lan", "https://k.lan:6443", "k.lan"),
            ("127.0.0.1:50007", "https://127.0.0.1:6443", "127.0.0.1:50007"),
            ("fd00::2", "https://[fd00::2]:6443", "fd00::2"),
            ("https://[fd00::2]:6443/", "https://[fd00::2]:6443", "fd00::2"),
        ];
        for (text, kubernetes, own) in cases {
            let (endpoint, host) = super::endpoint(text).unwrap();
            assert_eq!(
                (endpoint.to_string().as_str(), host.as_str()),
                (kubernetes, own),
                "{text}"
            );
        }
        assert!(super::endpoint("http://x").is_err());
        let error = super::endpoint("https://fd00::2:6443").unwrap_err().to_string();
        assert!(error.contains("with brackets around an IPv6 address"), "{error}");
    }
}
