//! `bedplate-image lock`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use board::Arch;
use images::inputs;
use images::packages::fetch::{Fetched, Fetcher};
use images::packages::lock::{Lock, Locked, LockedKernel};
use images::packages::mirror::SUITE;
use images::report::Progress;
use serde_json::json;

use super::{Global, Output};

/// Renew the lock file: the exact versions of all packages.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

impl Renew {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let progress = Progress::new(global.quiet);
        let path = global.places.lock_path()?;
        let old = Lock::load(&path)?;
        let catalog = global.places.catalog()?;
        // An empty lock makes the fetcher take what the mirror has now.
        let mut fetcher = global.places.fetcher(Lock::default())?;
        let mut wanted: BTreeMap<Arch, Vec<String>> = BTreeMap::new();
        let mut kernels: Vec<LockedKernel> = Vec::new();
        let all: Vec<String> = catalog
            .overlays()
            .map(|overlay| overlay.name.to_string())
            .collect();
        let boards: Vec<String> = catalog.boards().map(|board| board.name.to_string()).collect();
        for board in &boards {
            let fits = |overlay: &&String| catalog.select(board, &[(*overlay).clone()]).is_ok();
            let overlays: Vec<String> = all.iter().filter(fits).cloned().collect();
            let selection = catalog.select(board, &overlays)?;
            let (arch, package) = (selection.board.arch, selection.board.kernel.package.to_string());
            wanted.entry(arch).or_default().extend(inputs::names(&selection));
            if !kernels
                .iter()
                .any(|kernel| kernel.package == package && kernel.arch == arch)
            {
                progress.step(&format!("asking the mirror about {arch}"));
                let resolved = fetcher.kernel(&package, arch)?;
                wanted.entry(arch).or_default().push(resolved.clone());
                kernels.push(LockedKernel {
                    package,
                    arch,
                    resolved,
                });
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
            kernels,
            packages: Vec::new(),
        };
        for arch in Arch::ALL {
            let mut names = wanted.remove(&arch).unwrap_or_default();
            // The tool runs on whichever architecture the image is built on.
            names.extend(images::erofs::PACKAGES.map(str::to_owned));
            names.sort();
            names.dedup();
            progress.step(&format!("getting {} packages for {arch}", names.len()));
            lock.packages.extend(get(&mut fetcher, &names, arch)?);
        }
        let changes = changes(&old, &lock);
        if changes.is_empty() {
            // The time is that of the content: without a change there is nothing to date anew.
            lock.created = old.created;
        }
        if !self.dry_run {
            lock.save(&path)?;
        }
        match global.output {
            Output::Json => println!(
                "{:#}",
                json!({"lock": path, "changes": changes, "written": !self.dry_run})
            ),
            Output::Text if changes.is_empty() => println!("{} is up to date", path.display()),
            Output::Text => changes.iter().for_each(|change| println!("{change}")),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn get(fetcher: &mut Fetcher, names: &[String], arch: Arch) -> Result<Vec<Locked>> {
    let locked = |package: Fetched| Locked {
        name: package.name,
        arch,
        version: package.version,
        size: package.size,
        sha256: package.sha256,
    };
    Ok(fetcher.fetch(names, arch)?.into_iter().map(locked).collect())
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
    changes
}
