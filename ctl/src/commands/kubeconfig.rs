//! `bedplate kubeconfig`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use api::v1alpha1::kubernetes_service_client::KubernetesServiceClient;
use api::v1alpha1::{KubeconfigRequest, KubeconfigResponse};
use base64ct::{Base64, Encoding as _};
use clap::Args;
use pki::{PrivateKey, Purposes, SigningRequest, Subject};
use serde::Serialize;
use tonic::Code;
use zeroize::Zeroizing;

use crate::connect::connect;
use crate::kubeconfig::{Entry, Merged, file, merge};
use crate::session::{Session, Targets};
use crate::ui::{self, Format};

/// How long a certificate can be valid at most.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Gets access to the cluster's Kubernetes.
#[derive(Debug, Args)]
pub struct Kubeconfig {
    /// Kubeconfig to write, or a folder for one; `-` is standard output. The first file in `KUBECONFIG`, or
    /// `~/.kube/config`, if omitted.
    path: Option<PathBuf>,
    /// Add the cluster to what is in the file.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "true|false")]
    merge: bool,
    /// Replace another cluster's entries of the same name; with --merge=false, the whole file.
    #[arg(long)]
    force: bool,
    /// Name of the context, instead of USER@CLUSTER.
    #[arg(long, value_name = "NAME")]
    context_name: Option<String>,
    /// Where the Kubernetes API is reached from here, if that is not the cluster's endpoint.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// How long the certificate is valid, 30d at most. It ends with the certificate that you call nodes with.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = quantity::time)]
    lifetime: Duration,
    /// Set to print no result.
    #[arg(skip)]
    quiet: bool,
}

/// What was written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    path: String,
    context: String,
    cluster: String,
    user: String,
    server: String,
    expires_unix: u64,
}

impl Kubeconfig {
    /// Gets access to one cluster in a file of its own, for as long as a certificate lives at most, without a result.
    pub fn of_cluster(path: PathBuf, context: String, server: String) -> Self {
        Kubeconfig {
            path: Some(path),
            merge: false,
            force: true,
            context_name: Some(context),
            server: Some(server),
            lifetime: LONGEST,
            quiet: true,
        }
    }

    /// Adds access to one cluster to a person's file, for as long as a certificate lives at most, without a result.
    pub fn adding(server: String) -> Self {
        Kubeconfig {
            path: None,
            merge: true,
            force: false,
            context_name: None,
            server: Some(server),
            lifetime: LONGEST,
            quiet: true,
        }
    }

    /// Renews access to a cluster in a file that may have other clusters, without a result.
    pub fn renewing(path: PathBuf) -> Self {
        Kubeconfig {
            path: Some(path),
            merge: true,
            force: true,
            context_name: None,
            server: None,
            lifetime: pki::kubernetes::PERSON_LIFE,
            quiet: true,
        }
    }

    /// Calls the first control plane that answers, and writes the file.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let to_stdout = self.path.as_deref() == Some(Path::new("-"));
        let path = match to_stdout {
            true => PathBuf::new(),
            false => file::path(self.path.as_deref())?,
        };
        // Before anything is signed.
        if !to_stdout && !self.merge && !self.force && path.exists() {
            anyhow::bail!("{} already exists; use --force to overwrite it", path.display());
        }
        let key = PrivateKey::generate_ecdsa()?;
        let Some(signed) = self.ask(&session, &key).await? else {
            return Ok(ExitCode::FAILURE);
        };
        let encode = |pem: &str| Base64::encode_string(pem.as_bytes());
        let (authority, certificate) = (encode(&signed.authority), encode(&signed.certificate));
        let key = Zeroizing::new(encode(&key.to_pem()));
        let entry = Entry {
            cluster: &signed.cluster,
            server: self.server.as_deref().unwrap_or(&signed.endpoint),
            authority: &authority,
            user: &signed.user,
            certificate: &certificate,
            key: &key,
        };
        let add = |old: &str| merge(old, &entry, self.context_name.as_deref(), self.force);
        if to_stdout {
            ui::write(add("")?.text.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let merged = file::change(&path, |old| {
            let merged = add(if self.merge { old } else { "" })?;
            Ok((merged.text.clone(), merged))
        })?;
        if !self.quiet {
            let server = self.server.as_deref().unwrap_or(&signed.endpoint);
            show(&session, &path, &signed, server, &merged)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the nodes in turn until a control plane signs. Reports why others did not.
    async fn ask(&self, session: &Session, key: &PrivateKey) -> anyhow::Result<Option<KubeconfigResponse>> {
        let subject = Subject {
            name: "bedplate kubeconfig",
            organization: None,
            alternative_names: &[],
            purposes: Purposes::default(),
        };
        let request = SigningRequest::make(&subject, key).context("cannot make a certificate request")?;
        let (Targets::All(nodes) | Targets::FirstOf(nodes)) = &session.targets;
        let mut problems = Vec::new();
        for address in nodes {
            let node = match connect(session, address).await {
                Ok(node) => node,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let request = KubeconfigRequest {
                request: request.clone(),
                lifetime_seconds: self.lifetime.as_secs().max(1),
            };
            let mut client = KubernetesServiceClient::new(node.channel.clone());
            let answered = tokio::time::timeout(session.timeout, client.kubeconfig(request)).await;
            match answered {
                Ok(Ok(signed)) => return Ok(Some(signed.into_inner())),
                Ok(Err(status)) => {
                    problems.push(node.problem(&status));
                    // A worker, or a node that is not there: another one may be a control plane.
                    if !matches!(status.code(), Code::FailedPrecondition | Code::Unavailable) {
                        break;
                    }
                }
                Err(_) => problems.push(crate::explain::Problem::timed_out(address, session.timeout)),
            }
        }
        for problem in problems {
            ui::note(&problem.to_string());
        }
        Ok(None)
    }
}

fn show(
    session: &Session,
    path: &Path,
    signed: &KubeconfigResponse,
    server: &str,
    merged: &Merged,
) -> anyhow::Result<()> {
    let names = merged.names.clone();
    if merged.renamed {
        ui::note(&format!(
            "{} has another cluster called {}: this one is {} there",
            path.display(),
            signed.cluster,
            names.cluster
        ));
    }
    let written = Written {
        path: path.display().to_string(),
        context: names.context,
        cluster: names.cluster,
        user: names.user,
        server: server.to_owned(),
        expires_unix: signed.expires_unix,
    };
    match session.format {
        Format::Table => {
            let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(signed.expires_unix);
            ui::line(&format!("Context:  {} (now the current one)", written.context))?;
            ui::line(&format!("Server:   {}", written.server))?;
            ui::line(&format!("Expires:  {}", ui::moment(expires)))?;
            ui::line(&format!("File:     {}", written.path))
        }
        format => ui::value(format, &written),
    }
}
