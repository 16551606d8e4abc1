//! `bedplate-image build`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use board::Selection;
use clap::ValueEnum;
use images::build::{Built, build};
use images::containers::Container;
use images::disk_image::Format;
use images::inputs;
use images::packages::lock::Lock;
use images::report::{Progress, patch_lines, size_table};
use images::request::Request;
use manifest::model::Version;
use serde_json::json;
use signing::{SecretKey, password};

use super::containers::Containers;
use super::kubernetes::Kubernetes;
use super::{Global, Output, rebuild};

/// Build the signed bundle of a board.
#[derive(Debug, clap::Args)]
pub struct Build {
    /// The board; `bedplate-image boards` lists them.
    #[arg(long)]
    board: String,
    /// A further overlay; may be given several times.
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// Secret key that signs the manifest; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Further public key that the loader trusts, such as that of the next release; may be given several times.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Folder for the results.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of cross-built programs, by architecture. [default: target/node of the first tree]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Version of the release, MAJOR.MINOR.PATCH.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: Version,
    /// Lowest version that may still boot once this release is committed: the way back to anything older is closed.
    #[arg(long, value_name = "VERSION", default_value = "0.0.0")]
    floor: Version,
    /// Time that the image bears, in seconds since 1970. [default: that of the lock file]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    created: Option<u64>,
    /// Bundle of an older release: nodes that run it upgrade by small patches; may be given several times.
    #[arg(long, value_name = "FILE")]
    patch_from: Vec<PathBuf>,
    /// Also write disk images, each with a checksum, for other flashers and for clouds; several with commas. [default of the option
    /// without a value: raw]
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "raw"
    )]
    disk_image: Vec<Format>,
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    containers: Containers,
    /// Build a second time, in other surroundings, and compare: the same inputs must give the same bytes.
    #[arg(long)]
    twice: bool,
    /// Only say what would be built.
    #[arg(long)]
    dry_run: bool,
}

impl Build {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let started = Instant::now();
        let progress = Progress::new(global.quiet);
        let selection = global.places.catalog()?.select(&self.board, &self.overlay)?;
        let lock = Lock::load(&global.places.lock_path()?)?;
        if self.dry_run {
            return self.plan(&selection, &lock, global);
        }
        let programs = self.kubernetes.programs(&selection, &lock, global)?;
        let keys: Vec<SecretKey> = self
            .key
            .iter()
            .map(|path| SecretKey::load(path, || password(path)))
            .collect::<Result<_, _>>()?;
        let trust: Vec<_> = self
            .trust
            .iter()
            .map(|path| signing::load_public(path))
            .collect::<Result<_, _>>()?;
        let containers = self.containers.load(&selection)?;
        let cache = global.places.cache()?;
        let binaries = self.binaries(global)?;
        let mut fetcher = global.places.fetcher(lock)?;
        let request = Request {
            selection: &selection,
            version: self.version,
            keys: &keys,
            trust: &trust,
            floor: self.floor,
            binaries: &binaries,
            cache: &cache,
            out: &self.out,
            created: self.created.unwrap_or(fetcher.lock().created),
            patch_from: &self.patch_from,
            kubernetes: programs.as_ref(),
            containers: &containers,
            disk_images: &self.disk_image,
        };
        let built = build(&request, &mut fetcher, &progress)
            .with_context(|| format!("cannot build an image for board {:?}", self.board))?;
        let mut notes = fetcher.notes().to_vec();
        notes.extend(programs.iter().flat_map(|programs| programs.notes.clone()));
        for note in &notes {
            progress.warn(&format!(
                "{note}; the image is marked as not locked (`bedplate-image lock` renews the lock)"
            ));
        }
        let seconds = started.elapsed().as_secs_f64();
        report(&built, &containers, &notes, seconds, global)
            .context("the image is built, only its report is lost")?;
        if self.twice {
            self.again(request.created, &request.stem(), &progress, global)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn binaries(&self, global: &Global) -> Result<PathBuf> {
        match &self.binaries {
            Some(binaries) => Ok(binaries.clone()),
            None => Ok(global.places.trees()?[0].join("target/node")),
        }
    }

    /// Builds once more and compares.
    fn again(&self, created: u64, stem: &str, progress: &Progress, global: &Global) -> Result<()> {
        progress.step("building once more");
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let out = scratch.path().join("out");
        let mut arguments: Vec<String> = ["build", "--quiet", "--board", &self.board]
            .map(str::to_owned)
            .into();
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        for tree in rebuild::copy_trees(&global.places.trees()?, scratch.path())? {
            add("--tree", tree.display().to_string());
        }
        self.overlay
            .iter()
            .for_each(|overlay| add("--overlay", overlay.clone()));
        self.key
            .iter()
            .for_each(|key| add("--key", key.display().to_string()));
        self.trust
            .iter()
            .for_each(|key| add("--trust", key.display().to_string()));
        self.patch_from
            .iter()
            .for_each(|bundle| add("--patch-from", bundle.display().to_string()));
        add("--out", out.display().to_string());
        add("--binaries", self.binaries(global)?.display().to_string());
        add("--version", self.version.to_string());
        add("--floor", self.floor.to_string());
        add("--created", created.to_string());
        arguments.extend(global.places.options()?);
        arguments.extend(self.kubernetes.options());
        arguments.extend(self.containers.options());
        let formats = self.disk_image.iter().filter_map(ValueEnum::to_possible_value);
        arguments.extend(formats.map(|format| format!("--disk-image={}", format.get_name())));
        rebuild::build_again(&arguments, scratch.path())?;
        let same = rebuild::compare(&self.out, &out, stem)?;
        if global.output == Output::Text {
            stdio::line(format_args!(
                "built twice, with the same bytes: {}",
                same.join(", ")
            ))?;
        }
        Ok(())
    }

    fn plan(&self, selection: &Selection, lock: &Lock, global: &Global) -> Result<ExitCode> {
        let board = &selection.board;
        let overlays: Vec<&str> = selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.as_str())
            .collect();
        let kernel = board.kernel.package.as_str();
        let names = inputs::wanted(selection)?.into_iter().map(|wanted| wanted.name);
        let kernels: Vec<String> = match lock.kernel(kernel, board.kernel.suite.as_ref(), board.arch) {
            Some(locked) => locked.packages().map(str::to_owned).collect(),
            None => vec![kernel.to_owned()],
        };
        let names = names.chain(kernels);
        let packages: Vec<(String, Option<&str>)> = names
            .map(|name| {
                let version = lock
                    .package(&name, board.arch)
                    .map(|locked| locked.version.as_str());
                (name, version)
            })
            .collect();
        // What is wrong with an image is better known before the build.
        let containers = self.containers.load(selection)?;
        let bundle = self
            .out
            .join(format!("bedplate-{}-{}.bundle", board.name, self.version));
        match global.output {
            Output::Json => {
                let packages: Vec<_> = packages
                    .iter()
                    .map(|(name, version)| json!({"name": name, "version": version}))
                    .collect();
                let plan = json!({
                    "board": board,
                    "overlays": overlays,
                    "packages": packages,
                    "containers": listed(&containers),
                    "bundle": bundle.to_string_lossy(),
                });
                stdio::line(format_args!("{plan:#}"))?;
            }
            Output::Text => {
                let mut text = format!(
                    "board     {} ({}): {}\noverlays  {}\nbundle    {}\npackages\n",
                    board.name,
                    board.arch,
                    board.description,
                    overlays.join(", "),
                    bundle.display()
                );
                for (name, version) in packages {
                    let version = version.unwrap_or("(not locked: the mirror's current version)");
                    text += &format!("  {name} {version}\n");
                }
                for container in &containers {
                    text += &format!("container {}\n", container.name);
                }
                stdio::print(text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists container images for the report.
fn listed(containers: &[Container]) -> Vec<serde_json::Value> {
    let each = containers.iter().map(|container| {
        json!({
            "name": container.name,
            "digest": container.digest,
            "size": container.archive.len(),
            "unpacked": container.unpacked,
        })
    });
    each.collect()
}

fn report(
    built: &Built,
    containers: &[Container],
    notes: &[String],
    seconds: f64,
    global: &Global,
) -> Result<(), stdio::Lost> {
    match global.output {
        Output::Json => {
            let raw = built.disk_images.iter().find(|image| image.format == Format::Raw);
            let images = built
                .disk_images
                .iter()
                .map(|image| image.image.to_string_lossy());
            let images: Vec<_> = images.collect();
            let report = json!({
                "bundle": built.bundle.to_string_lossy(),
                "sbom": built.sbom.to_string_lossy(),
                "diskImage": raw.map(|image| image.image.to_string_lossy()),
                "diskImages": images,
                "size": built.size,
                "parts": built.parts,
                "patches": built.patches,
                "containers": listed(containers),
                "locked": built.manifest.locked,
                "notes": notes,
                "seconds": seconds,
            });
            stdio::line(format_args!("{report:#}"))
        }
        Output::Text => {
            let mut text = size_table(&built.parts, built.size) + &patch_lines(&built.patches);
            for container in containers {
                let size = quantity::human_bytes(container.unpacked);
                text += &format!("container {} ({size} unpacked)\n", container.name);
            }
            for disk in &built.disk_images {
                let size = quantity::human_bytes(disk.size);
                text += &format!("{} (a disk of {size})\n", disk.image.display());
            }
            stdio::line(format_args!("{text}{} in {seconds:.0} s", built.bundle.display()))
        }
    }
}
