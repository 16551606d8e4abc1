//! `bedplate-image container`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use board::Arch;
use images::container_image::{self, reference};
use images::packages::lock::Lock;
use images::report::Progress;
use images::request::Request;
use manifest::model::Version;
use serde_json::json;

use super::containers::Containers;
use super::kubernetes::Kubernetes;
use super::{Global, Output};

/// Build a container image with a board's root file system, for Podman: a node without a machine of its own.
#[derive(Debug, clap::Args)]
pub struct Container {
    /// The board whose root file system it has; `bedplate-image boards` lists them. [default: the generic one of this host]
    #[arg(long)]
    board: Option<String>,
    /// A further overlay; may be given several times.
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// File for the image, an OCI archive that `podman load` reads.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Name and tag of the image. [default: localhost/bedplate:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,
    /// Folder of cross-built programs, by architecture. [default: target/node of the first tree]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Version of the release, MAJOR.MINOR.PATCH.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: Version,
    /// Time that the files bear, in seconds since 1970. [default: that of the lock file]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    created: Option<u64>,
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    containers: Containers,
}

impl Container {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let started = Instant::now();
        let progress = Progress::new(global.quiet);
        let board = match self.board {
            Some(board) => board,
            None => {
                let arch =
                    Arch::host().context("there is no generic board for this host: name one with --board")?;
                format!("generic-{arch}")
            }
        };
        let selection = global.places.catalog()?.select(&board, &self.overlay)?;
        let lock = Lock::load(&global.places.lock_path()?)?;
        let programs = self.kubernetes.programs(&selection, &lock, global)?;
        let containers = self.containers.load(&selection)?;
        let cache = global.places.cache()?;
        let binaries = match self.binaries {
            Some(binaries) => binaries,
            None => global.places.trees()?[0].join("target/node"),
        };
        let mut fetcher = global.places.fetcher(lock)?;
        let request = Request {
            selection: &selection,
            version: self.version,
            keys: &[],
            trust: &[],
            floor: self.version,
            binaries: &binaries,
            cache: &cache,
            out: &self.out,
            created: self.created.unwrap_or(fetcher.lock().created),
            patch_from: &[],
            kubernetes: programs.as_ref(),
            containers: &containers,
            disk_images: &[],
        };
        let name = self.name.unwrap_or_else(|| reference(&self.version.to_string()));
        let root = container_image::build(&request, &name, &self.out, &mut fetcher, &progress)
            .with_context(|| format!("cannot build a container image of board {board:?}"))?;
        let mut notes = fetcher.notes().to_vec();
        notes.extend(programs.iter().flat_map(|programs| programs.notes.clone()));
        notes.iter().for_each(|note| progress.warn(note));
        let seconds = started.elapsed().as_secs_f64();
        let report = match global.output {
            Output::Json => {
                let image = self.out.to_string_lossy();
                let report =
                    json!({"image": image, "name": name, "root": root, "notes": notes, "seconds": seconds});
                format!("{report:#}")
            }
            Output::Text => {
                let size = quantity::human_bytes(root);
                format!(
                    "{} in {seconds:.0} s: {name}, {size}\nload it with: podman load -i {}",
                    self.out.display(),
                    self.out.display()
                )
            }
        };
        stdio::line(report).context("the image is built, only its report is lost")?;
        Ok(ExitCode::SUCCESS)
    }
}
