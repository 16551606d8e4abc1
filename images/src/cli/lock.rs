//! `bedplate-image lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use board::Arch;
use images::inputs;
use images::packages::fetched::Fetched;
use images::packages::kept::keep;
use images::packages::lock::{Lock, Locked, LockedKernel};
use images::packages::mirror::SUITE;
use images::packages::timestamp::Timestamp;
use images::packages::wanted::{Wanted, WantedSet};
use images::report::Progress;
use serde_json::json;

use super::kubernetes::Kubernetes;
use super::{Global, Output};

/// Update the lock file: the exact versions of all packages.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Also copy every locked package into a folder, to be published beside the bundles (see --packages).
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    kubernetes: Kubernetes,
    /// Do not renew the lock: keep the packages that it names now.
    #[arg(long, requires = "keep")]
    as_is: bool,
}

impl Renew {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let progress = Progress::new(global.quiet);
        let path = global.places.lock_path()?;
        let old = Lock::load(&path)?;
        if let (true, Some(folder)) = (self.as_is, &self.keep) {
            return keep_as_is(old, folder, &progress, global);
        }
        let catalog = global.places.catalog()?;
        // An empty lock makes the fetcher take what the mirror has now.
        let mut fetcher = global.places.fetcher(Lock::default())?;
        let mut wanted: BTreeMap<Arch, WantedSet> = BTreeMap::new();
        let mut kernels: Vec<LockedKernel> = Vec::new();
        let all: Vec<String> = catalog
            .overlays()
            .map(|overlay| overlay.name.to_string())
            .collect();
        let boards: Vec<String> = catalog.boards().map(|board| board.name.to_string()).collect();
        for name in &boards {
            let fits = |overlay: &&String| catalog.select(name, &[(*overlay).clone()]).is_ok();
            let overlays: Vec<String> = all.iter().filter(fits).cloned().collect();
            let selection = catalog.select(name, &overlays)?;
            let (arch, kernel) = (selection.board.arch, &selection.board.kernel);
            let set = wanted.entry(arch).or_default();
            let add = |set: &mut WantedSet, package| {
                set.add(package)
                    .with_context(|| format!("cannot lock the packages of board {name:?}"))
            };
            for package in inputs::wanted(&selection)? {
                add(set, package)?;
            }
            let known = kernels.iter().any(|known| {
                known.package == kernel.package.as_str() && known.arch == arch && known.suite == kernel.suite
            });
            if !known {
                progress.step(&format!("looking for {} for {arch}", kernel.package));
                let parts = fetcher.kernel(kernel, arch)?;
                let mut names = parts.iter().map(|part| part.name.clone());
                kernels.push(LockedKernel {
                    package: kernel.package.to_string(),
                    arch,
                    suite: kernel.suite.clone(),
                    resolved: names.next().unwrap_or_default(),
                    further: names.collect(),
                });
                for package in parts {
                    add(set, package)?;
                }
            }
        }
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?
            .as_secs();
        let mut lock = Lock {
            format: 1,
            suite: SUITE.to_owned(),
            created,
            moment: Some(Timestamp::at(created)),
            kernels,
            packages: Vec::new(),
            kubernetes: self.kubernetes.lock(&old, global)?,
        };
        for arch in Arch::ALL {
            let mut set = wanted.remove(&arch).unwrap_or_default();
            // The tool runs on whichever architecture the image is built on.
            for package in images::erofs::PACKAGES {
                set.add(package.into())?;
            }
            let packages = set.into_vec();
            progress.step(&format!("getting {} packages for {arch}", packages.len()));
            let packages = fetcher.fetch(&packages, arch)?;
            if let Some(folder) = &self.keep {
                keep(&packages, folder)?;
            }
            lock.packages.extend(packages.into_iter().map(locked));
        }
        let changes = changes(&old, &lock);
        if changes.is_empty() {
            // Times are those of the content: without a change the date stays.
            lock.created = old.created;
            lock.moment = Some(old.moment());
        }
        if !self.dry_run {
            lock.save(&path)?;
        }
        let text = match global.output {
            Output::Json => {
                let path = path.to_string_lossy();
                format!(
                    "{:#}",
                    json!({"lock": path, "changes": changes, "written": !self.dry_run})
                )
            }
            Output::Text if changes.is_empty() => format!("{} is up to date", path.display()),
            Output::Text => changes.join("\n"),
        };
        stdio::line(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn locked(package: Fetched) -> Locked {
    Locked {
        name: package.name,
        arch: package.arch,
        suite: package.suite,
        version: package.version,
        size: package.size,
        sha256: package.sha256,
    }
}

/// Copies what the lock names now into a folder: all of it and nothing else, or it is an error.
fn keep_as_is(lock: Lock, folder: &Path, progress: &Progress, global: &Global) -> Result<ExitCode> {
    let mut names: BTreeMap<Arch, Vec<Wanted>> = BTreeMap::new();
    for package in &lock.packages {
        let wanted = Wanted::of(&package.name, package.suite.as_ref());
        names.entry(package.arch).or_default().push(wanted);
    }
    let count = lock.packages.len();
    let mut fetcher = global.places.fetcher(lock)?;
    for (arch, names) in names {
        progress.step(&format!("getting {} packages for {arch}", names.len()));
        let packages = fetcher.fetch(&names, arch)?;
        if !fetcher.notes().is_empty() {
            bail!(
                "not every locked package can be had any more: name an archive of all versions with --snapshot URL, \
                 or a folder of kept packages with --packages DIR; {}",
                fetcher.notes().join("; ")
            );
        }
        keep(&packages, folder)?;
    }
    stdio::line(match global.output {
        Output::Json => format!(
            "{:#}",
            json!({"kept": folder.to_string_lossy(), "packages": count})
        ),
        Output::Text => format!("{}: {count} packages are kept", folder.display()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn changes(old: &Lock, new: &Lock) -> Vec<String> {
    let mut changes = Vec::new();
    for package in &new.packages {
        match old.package(&package.name, package.arch) {
            None => changes.push(format!("+ {} {} {}", package.name, package.arch, package.version)),
            Some(before) if before.sha256 != package.sha256 => changes.push(format!(
                "~ {} {} {} → {}",
                package.name, package.arch, before.version, package.version
            )),
            Some(_) => {}
        }
    }
    for package in old
        .packages
        .iter()
        .filter(|package| new.package(&package.name, package.arch).is_none())
    {
        changes.push(format!("- {} {}", package.name, package.arch));
    }
    let kubernetes = |lock: &Lock| {
        let versions = lock.kubernetes.iter().map(|program| program.version.clone());
        versions.collect::<BTreeSet<_>>()
    };
    let (before, after) = (kubernetes(old), kubernetes(new));
    changes.extend(
        after
            .difference(&before)
            .map(|version| format!("+ Kubernetes {version}")),
    );
    changes.extend(
        before
            .difference(&after)
            .map(|version| format!("- Kubernetes {version}")),
    );
    if before == after && old.kubernetes != new.kubernetes {
        changes.push("~ Kubernetes: other programs of the same version".to_owned());
    }
    changes
}
