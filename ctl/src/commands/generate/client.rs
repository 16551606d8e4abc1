//! `bedplate gen client`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use api::Role;
use clap::Args;
use pki::authority::CLIENT_LIFE;
use pki::{Secrets, Validity};
use zeroize::Zeroizing;

use super::load_secrets;
use crate::address::Address;
use crate::config::{ClientConfig, Context, write_private};
use crate::options::At;
use crate::ui;

/// Generates a client config.
#[derive(Debug, Args)]
pub struct GenClient {
    /// Name of the context, such as the name of the cluster.
    name: String,
    #[command(flatten)]
    at: At,
    /// Role of the client.
    #[arg(long, default_value = "reader", value_name = "reader|operator|admin")]
    role: Role,
    /// Name of the user, as shown in the nodes' logs.
    #[arg(long, default_value = "user", value_name = "NAME")]
    user: String,
    /// Lifetime of the certificate.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = quantity::time)]
    lifetime: Duration,
    /// Secrets of the cluster.
    #[arg(
        long,
        visible_alias = "with-secrets",
        value_name = "FILE",
        default_value = "secrets.yaml"
    )]
    secrets: PathBuf,
    /// Secrets of the cluster before its CAs are rotated: their CA is trusted, too, until the new one signs.
    #[arg(long, value_name = "FILE")]
    old_secrets: Option<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "client.yaml")]
    file: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

impl GenClient {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let secrets = load_secrets(&self.secrets)?;
        let user = User {
            name: &self.user,
            role: self.role,
            lifetime: self.lifetime,
        };
        let mut config = client(&secrets, &self.name, self.at.endpoints, &user)?;
        if let Some(old) = &self.old_secrets {
            let old = load_secrets(old)?;
            let context = config.context_mut(&self.name)?;
            context.ca.push_str(old.authority.certificate_pem());
        }
        write_private(&self.file, &config.to_yaml(), self.force)?;
        ui::line(&self.file.display().to_string())?;
        Ok(())
    }
}

/// The user of a client config.
pub struct User<'a> {
    pub name: &'a str,
    pub role: Role,
    pub lifetime: Duration,
}

impl Default for User<'_> {
    fn default() -> Self {
        Self {
            name: "admin",
            role: Role::Admin,
            lifetime: CLIENT_LIFE,
        }
    }
}

/// Generates a client config with one context.
pub fn client(
    secrets: &Secrets,
    cluster: &str,
    endpoints: Vec<String>,
    user: &User<'_>,
) -> anyhow::Result<ClientConfig> {
    for endpoint in &endpoints {
        endpoint.parse::<Address>()?;
    }
    let validity = Validity::starting(SystemTime::now(), user.lifetime);
    let issued = secrets
        .authority
        .issue_client(user.name, user.role.organization(), validity)?;
    let context = Context {
        endpoints,
        nodes: Vec::new(),
        through_endpoints: false,
        ca: secrets.authority.certificate_pem().to_owned(),
        cert: issued.pem.clone(),
        key: Zeroizing::new(issued.key.to_pem().to_string()),
    };
    let mut config = ClientConfig::default();
    config.current = Some(cluster.to_owned());
    config.contexts.insert(cluster.to_owned(), context);
    Ok(config)
}
