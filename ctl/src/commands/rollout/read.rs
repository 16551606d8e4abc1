//! Reads a rollout from a file or a web server, and remembers its newest version.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use manifest::TrustedKey;
use remote::{Options, Proxy, Remote};
use rollout::{MAX_LEN, MAX_SIGNATURES, Rollout, VerifiedRollout, VerifyError, signatures_of, verify};

use crate::user_file;

/// Number of attempts to read a document and its matching signature: they are two files, and may be replaced one by one.
const TRIES: u32 = 3;
/// Pause between attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// A rollout's location, and the keys that may sign it.
#[derive(Debug, Clone)]
pub struct Document {
    /// Path or URL.
    pub source: String,
    /// Trusted keys.
    pub keys: Vec<TrustedKey>,
    /// Options for web servers.
    pub web: Web,
}

impl Document {
    /// Reads and verifies it.
    pub async fn read(&self) -> anyhow::Result<VerifiedRollout> {
        let mut left = TRIES;
        loop {
            let document = self.clone();
            let read = tokio::task::spawn_blocking(move || document.once()).await?;
            left -= 1;
            match read {
                Err(_) if left > 0 => tokio::time::sleep(PAUSE).await,
                read => return read,
            }
        }
    }

    /// Reads and verifies it once.
    pub fn once(&self) -> anyhow::Result<VerifiedRollout> {
        let text = get(&self.source, MAX_LEN, &self.web)?;
        let signatures = get(&signatures_of(&self.source), MAX_SIGNATURES, &self.web)?;
        let verified: Result<_, VerifyError> = verify(&text, &signatures, &self.keys);
        verified.with_context(|| format!("cannot use {}", self.source))
    }
}

/// Returns whether a source is on a web server.
fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Reads a whole small file.
pub fn get(source: &str, most: usize, web: &Web) -> anyhow::Result<Vec<u8>> {
    if is_url(source) {
        return fetch(source, most, web);
    }
    let mut text = Vec::new();
    let file = File::open(source).with_context(|| format!("cannot open {source}"))?;
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(limit + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {source}"))?;
    anyhow::ensure!(text.len() <= most, "{source} has more than {most} bytes");
    Ok(text)
}

fn fetch(url: &str, most: usize, web: &Web) -> anyhow::Result<Vec<u8>> {
    let mut remote = Remote::open(url, web.options()?)?;
    let length = usize::try_from(remote.len()).unwrap_or(usize::MAX);
    anyhow::ensure!(length <= most, "{} has more than {most} bytes", remote.shown());
    let mut text = vec![0; length];
    remote.read_at(0, &mut text)?;
    Ok(text)
}

/// The options for web servers.
#[derive(Debug, Clone, Default, Args)]
pub struct Web {
    /// Additional CA certificates for web servers, in PEM.
    #[arg(long, env = "SSL_CERT_FILE", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Web {
    /// Returns the options of a fetch. Timeouts are short, as a person is waiting.
    pub fn options(&self) -> anyhow::Result<Options> {
        let authority = self.ca.as_deref().map(user_file::load).transpose()?;
        Ok(Options {
            proxy: Proxy::FromEnvironment,
            authority: authority.map(|pem| pem.to_string()),
            tries: 3,
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            stall: Duration::from_secs(15),
            ..Options::default()
        })
    }
}

/// Remembers a version.
///
/// # Errors
///
/// A newer version was seen before.
pub fn remember(folder: &Path, rollout: &Rollout) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.json", rollout.id));
    match fs::read(&path) {
        Ok(text) => {
            let known = Rollout::parse_unverified(&text)
                .with_context(|| format!("cannot use {}: remove it to start over", path.display()))?;
            rollout
                .follows(&known)
                .with_context(|| format!("rollout {} is not the newest", rollout.id))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    user_file::replace(&path, &rollout.to_text()?, 0o644)
}
