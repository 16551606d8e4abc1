//! `bedplate rollout new`, `sign`, `verify` and `stop`.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bundle::Preamble;
use clap::{Args, Subcommand};
use manifest::{Digest, Manifest};
use remote::Remote;
use rollout::{Bundle, MAX_LEN, Moment, Rollout, Wait, signatures_of};
use serde::Serialize;
use signing::{SecretKey, load_public, password};

use super::now;
use super::read::{Document, Web, get};
use crate::ui::{self, Format, duration};
use crate::user_file;

/// The commands that call no nodes.
#[derive(Debug, Subcommand)]
pub enum Write {
    /// Create the document of a rollout.
    New(New),
    /// Sign a document, or sign it again after a change.
    ///
    /// Its serial must be raised by one with every change that is signed.
    Sign(Sign),
    /// Verify a document and its signature, and show its content.
    Verify(Verify),
    /// Stop a rollout: no further node starts.
    ///
    /// Writes and signs the next version of the document; publish both files in place of the old ones.
    Stop(Stop),
}

/// Creates a document.
#[derive(Debug, Args)]
pub struct New {
    /// Name of the rollout: lower-case letters, digits, dots and hyphens.
    id: String,
    /// URL from which the nodes fetch the bundle.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Local copy of the bundle; if omitted, the manifest is read from the URL.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Percentage of the fleet that has the release after each wave.
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', default_values_t = rollout::DEFAULT_WAVES)]
    waves: Vec<u8>,
    /// Percentage of a wave's nodes that may fail.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    max_failures: u8,
    /// Pause between waves.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    pause: Duration,
    /// When the first wave opens for nodes that follow by themselves, in UTC, such as 2026-11-23T08:00:00Z; each further wave
    /// opens a pause later. If omitted, no node starts by itself.
    #[arg(long, value_name = "TIME")]
    begins: Option<Moment>,
    /// When the rollout ends, in UTC: no node starts after that, even if a web server still serves a version from before a
    /// stop.
    #[arg(long, value_name = "TIME")]
    ends: Option<Moment>,
    /// Seed of the order of the nodes; the rollout's name if omitted.
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "rollout.json")]
    file: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    web: Web,
}

/// Signs a document.
#[derive(Debug, Args)]
pub struct Sign {
    /// File of the document.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Secret keys in minisign's format. The password of an encrypted key is read from BEDPLATE_KEY_PASSWORD or the terminal.
    #[arg(long = "key", value_name = "FILE.key", required = true)]
    keys: Vec<PathBuf>,
}

/// Verifies a document.
#[derive(Debug, Args)]
pub struct Verify {
    /// File or URL of the document.
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Trusted public keys.
    #[arg(long = "key", value_name = "FILE.pub", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    web: Web,
}

/// Stops a rollout.
#[derive(Debug, Args)]
pub struct Stop {
    /// File of the document.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Reason, shown on nodes that wait.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Secret keys in minisign's format. The password of an encrypted key is read from BEDPLATE_KEY_PASSWORD or the terminal.
    #[arg(long = "key", value_name = "FILE.key", required = true)]
    keys: Vec<PathBuf>,
}

impl Write {
    /// Runs the command.
    pub fn run(self, format: Format) -> anyhow::Result<ExitCode> {
        match self {
            Write::New(command) => command.run()?,
            Write::Sign(command) => command.run()?,
            Write::Verify(command) => command.run(format)?,
            Write::Stop(command) => command.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl New {
    fn run(self) -> anyhow::Result<()> {
        if self.file.exists() && !self.force {
            anyhow::bail!(
                "{} already exists; use --force to overwrite it",
                self.file.display()
            );
        }
        let json = match &self.bundle {
            Some(path) => {
                let mut file =
                    std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                Preamble::read(&mut file)
                    .with_context(|| format!("cannot use {}", path.display()))?
                    .json
            }
            None => fetch_manifest(&self.url, &self.web)?,
        };
        let manifest = Manifest::parse_unverified(&json).context("cannot read the bundle's manifest")?;
        let bundle = Bundle {
            url: self.url,
            manifest: Digest::of(&json),
            version: manifest.version,
            board: manifest.board,
        };
        let seed = self.seed.as_deref().unwrap_or(&self.id);
        let rollout = Rollout {
            waves: self.waves,
            max_failure_percent: self.max_failures,
            pause_seconds: self.pause.as_secs(),
            begins: self.begins,
            ends: self.ends,
            ..Rollout::new(&self.id, bundle, seed)
        };
        let text = rollout
            .to_text()
            .context("these options are not a valid rollout")?;
        user_file::replace(&self.file, &text, 0o644)?;
        ui::line(&self.file.display().to_string())?;
        ui::note(&format!(
            "version {} for {}; to sign it: bedplate rollout sign {} --key FILE.key",
            rollout.bundle.version,
            rollout.bundle.board,
            self.file.display()
        ));
        Ok(())
    }
}

/// Reads only the manifest of the bundle at a URL.
fn fetch_manifest(url: &str, web: &Web) -> anyhow::Result<Vec<u8>> {
    let mut remote = Remote::open(url, web.options()?)?;
    let length = usize::try_from(bundle::INDEX_AT.min(remote.len())).unwrap_or(usize::MAX);
    let mut head = vec![0; length];
    remote.read_at(0, &mut head)?;
    let preamble =
        Preamble::read(&mut Cursor::new(head)).with_context(|| format!("cannot use {}", remote.shown()))?;
    Ok(preamble.json)
}

impl Sign {
    fn run(self) -> anyhow::Result<()> {
        let rollout = read(&self.file)?;
        sign(&self.file, &rollout, &load(&self.keys)?)
    }
}

fn read(path: &Path) -> anyhow::Result<(Rollout, Vec<u8>)> {
    let shown = path.display();
    let text = get(&path.to_string_lossy(), MAX_LEN, &Web::default())?;
    let rollout = Rollout::parse_unverified(&text).with_context(|| format!("cannot use {shown}"))?;
    Ok((rollout, text))
}

fn load(keys: &[PathBuf]) -> anyhow::Result<Vec<SecretKey>> {
    let keys = keys.iter().map(|key| SecretKey::load(key, || password(key)));
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Signs the text of the file, byte for byte.
fn sign(path: &Path, (rollout, text): &(Rollout, Vec<u8>), keys: &[SecretKey]) -> anyhow::Result<()> {
    let comment = format!("rollout {} serial {}", rollout.id, rollout.serial);
    let mut signatures = String::new();
    for key in keys {
        signatures.push_str(&key.sign("rollout", text, &comment));
    }
    warn_about_times(rollout, now());
    let signature_file = PathBuf::from(signatures_of(&path.to_string_lossy()));
    user_file::replace(&signature_file, &signatures, 0o644)?;
    ui::line(&signature_file.display().to_string())
}

/// Warns if no node would start, or if waves would start without a pause: time passes while a rollout is stopped.
fn warn_about_times(rollout: &Rollout, now: Moment) {
    if let Some(ends) = rollout.ended(now) {
        let ended = Wait::Ended(ends);
        ui::note(&format!("{ended}: no node starts; set a later `ends`"));
        return;
    }
    let waves = rollout.waves.len();
    let is_open = |wave: &usize| rollout.opens(*wave).is_some_and(|opens| opens <= now);
    let open = (0..waves).filter(is_open).count();
    if open > 1 && !rollout.stopped {
        ui::note(&format!(
            "{open} of {waves} waves are already open: nodes of all of them start with their next poll; set a later `begins` to delay them"
        ));
    }
}

impl Stop {
    fn run(self) -> anyhow::Result<()> {
        let (rollout, _) = read(&self.file)?;
        let stopped = Rollout {
            serial: rollout
                .serial
                .checked_add(1)
                .context("the serial cannot be raised any further")?,
            stopped: true,
            reason: self.reason,
            ..rollout
        };
        let text = stopped.to_text().context("this is not a valid rollout")?;
        // The keys first: without a signature a document cannot be published.
        let keys = load(&self.keys)?;
        user_file::replace(&self.file, &text, 0o644)?;
        sign(&self.file, &(stopped, text.into_bytes()), &keys)?;
        ui::note("publish both files: nodes that have not started stay as they are");
        Ok(())
    }
}

/// A verified document as JSON or YAML.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified<'a> {
    signer: String,
    rollout: &'a Rollout,
    /// When each wave opens for nodes that follow by themselves; empty if none does.
    opens: Vec<Moment>,
}

impl Verify {
    fn run(self, format: Format) -> anyhow::Result<()> {
        let keys = self.keys.iter().map(|path| load_public(path));
        let document = Document {
            source: self.source,
            keys: keys.collect::<Result<_, _>>()?,
            web: self.web,
        };
        let verified = document.once()?;
        let signer = verified.signer().to_string();
        if format != Format::Table {
            let rollout = &*verified;
            let opens = (0..rollout.waves.len()).filter_map(|wave| rollout.opens(wave));
            let opens = opens.collect();
            let verified = Verified {
                signer,
                rollout,
                opens,
            };
            return ui::value(format, &verified);
        }
        ui::write(describe(&verified, &signer, now()).as_bytes())
    }
}

fn describe(rollout: &Rollout, signer: &str, now: Moment) -> String {
    let waves: Vec<String> = rollout.waves.iter().map(ToString::to_string).collect();
    let state = match (rollout.stopped, rollout.ended(now)) {
        (true, _) => format!("stopped: {}", ui::clean(&rollout.reason)),
        (false, Some(_)) => "ended".to_owned(),
        (false, None) => "active".to_owned(),
    };
    let mut lines = vec![
        ("Rollout", format!("{}, serial {}", rollout.id, rollout.serial)),
        ("State", state),
        (
            "Release",
            format!("{} for {}", rollout.bundle.version, rollout.bundle.board),
        ),
        ("Bundle", rollout.bundle.url.clone()),
        ("Manifest", rollout.bundle.manifest.to_string()),
        (
            "Waves",
            format!("{} %, {} between", waves.join(", "), duration(rollout.pause())),
        ),
        (
            "Halts",
            format!("when more than {} % of a wave fail", rollout.max_failure_percent),
        ),
        ("Seed", rollout.seed.clone()),
        ("Signer", signer.to_owned()),
    ];
    if rollout.begins.is_none() {
        lines.push(("Follows", "no node by itself: no time is set".to_owned()));
    }
    if let Some(ends) = rollout.ends {
        lines.push(("Ends", ends.to_string()));
    }
    for (wave, percent) in rollout.waves.iter().enumerate() {
        if let Some(opens) = rollout.opens(wave) {
            let opens = format!("{opens}, wave {} up to {percent} %", wave + 1);
            lines.push(("Opens", opens));
        }
    }
    let shown = lines
        .into_iter()
        .map(|(key, value)| format!("{:<10}{value}\n", format!("{key}:")));
    shown.collect()
}
