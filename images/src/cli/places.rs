//! Where boards, overlays, packages and the lock file are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use board::Catalog;
use images::packages::fetch::{Fetcher, FindSnapshot, Sources};
use images::packages::kept::Kept;
use images::packages::lock::Lock;
use images::packages::mirror::{Mirror, MirrorError};

/// The places of boards, overlays, packages and the lock file.
#[derive(Debug, clap::Args)]
pub struct Places {
    /// Folder with `boards/` and `overlays/`; may be given several times, later ones win. [default: found above the
    /// current folder]
    #[arg(long, global = true, value_name = "DIR")]
    tree: Vec<PathBuf>,
    /// Lock file. [default: images/packages.lock.yaml of the first tree]
    #[arg(long, global = true, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Folder of packages and tools kept between builds. [default: ~/.cache/bedplate]
    #[arg(long, global = true, value_name = "DIR", env = "BEDPLATE_CACHE")]
    cache: Option<PathBuf>,
    /// Debian mirror. [default: the host's]
    #[arg(long, global = true, value_name = "URL", env = "BEDPLATE_MIRROR")]
    mirror: Option<String>,
    /// Archive of all versions, for locked packages that the mirror has dropped: {moment} stands for the time of the lock,
    /// {archive} for debian and debian-security, as in https://snapshot.example.org/{archive}/{moment}
    #[arg(long, global = true, value_name = "URL", env = "BEDPLATE_SNAPSHOT")]
    snapshot: Option<String>,
    /// Folder of kept packages (`lock --keep`), looked through before the mirror; may be given several times.
    #[arg(long, global = true, value_name = "DIR")]
    packages: Vec<PathBuf>,
    /// Package whose file on the mirror may be another than the locked one of the same version; may be given several times.
    #[arg(long, global = true, value_name = "PACKAGE")]
    allow_changed: Vec<String>,
    /// Keys that the mirror's index is signed with. [default: the host's]
    #[arg(long, global = true, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

impl Places {
    /// Returns the folders with boards and overlays.
    pub fn trees(&self) -> Result<Vec<PathBuf>> {
        if !self.tree.is_empty() {
            return Ok(self.tree.clone());
        }
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        match here
            .ancestors()
            .find(|folder| folder.join("boards").is_dir() && folder.join("overlays").is_dir())
        {
            Some(folder) => Ok(vec![folder.to_owned()]),
            None => bail!("no boards/ and overlays/ here or above: name their folder with --tree DIR"),
        }
    }

    /// Reads all boards and overlays.
    pub fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::load(&self.trees()?)?)
    }

    /// Returns the path of the lock file.
    pub fn lock_path(&self) -> Result<PathBuf> {
        match &self.lock {
            Some(path) => Ok(path.clone()),
            None => Ok(self.trees()?[0].join("images/packages.lock.yaml")),
        }
    }

    /// Returns the folder of what is kept between builds.
    pub fn cache(&self) -> Result<PathBuf> {
        if let Some(cache) = &self.cache {
            return Ok(cache.clone());
        }
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        Ok(base
            .context("HOME is not set: name a cache folder with --cache DIR")?
            .join("bedplate"))
    }

    /// Returns the options that make another run use the same lock, cache and mirror; trees are left out.
    pub fn options(&self) -> Result<Vec<String>> {
        let mut options = vec!["--lock".to_owned(), self.lock_path()?.display().to_string()];
        options.extend(["--cache".to_owned(), self.cache()?.display().to_string()]);
        if let Some(mirror) = &self.mirror {
            options.extend(["--mirror".to_owned(), mirror.clone()]);
        }
        if let Some(snapshot) = &self.snapshot {
            options.extend(["--snapshot".to_owned(), snapshot.clone()]);
        }
        for folder in &self.packages {
            options.extend(["--packages".to_owned(), folder.display().to_string()]);
        }
        for package in &self.allow_changed {
            options.extend(["--allow-changed".to_owned(), package.clone()]);
        }
        if let Some(keyring) = &self.keyring {
            options.extend(["--keyring".to_owned(), keyring.display().to_string()]);
        }
        Ok(options)
    }

    /// Makes a fetcher that keeps to a lock.
    pub fn fetcher(&self, lock: Lock) -> Result<Fetcher> {
        let (named, keyring) = (self.mirror.clone(), self.keyring.clone());
        let mirror = move || -> Result<Mirror, MirrorError> {
            match &named {
                Some(url) => Mirror::named(url, keyring.as_deref()),
                None => Mirror::from_host(Path::new("/etc/apt"), keyring.as_deref()),
            }
        };
        let snapshot = self.snapshot.clone().map(|template| -> FindSnapshot {
            let keyring = self.keyring.clone();
            Box::new(move |moment| Mirror::snapshot(&template, moment, keyring.as_deref()))
        });
        // A kernel of one's own is looked for in its folder by its hash, like what was kept; where the folder is missing, only
        // the board that names it cannot be built.
        let mut folders = self.packages.clone();
        // A fault of the boards is reported by whoever needs one of them.
        if let Ok(catalog) = self.catalog() {
            folders.extend(catalog.kernel_folders().filter(|folder| folder.is_dir()));
        }
        let sources = Sources {
            mirror: Box::new(mirror),
            snapshot,
            kept: Kept::open(&folders)?,
            allow_changed: self.allow_changed.clone(),
        };
        Ok(Fetcher::new(&self.cache()?, lock, sources))
    }
}
