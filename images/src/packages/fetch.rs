//! Gets packages: those of the lock file from the cache, from folders of kept packages, from the mirror, or from an
//! archive of all versions; others from the mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use board::{Arch, Kernel, Suite};

use super::apt::{Apt, AptError, Available};
use super::cache::Cache;
use super::fetched::Fetched;
use super::folder::{self, FolderError};
use super::kept::{Kept, KeptError};
use super::kernel;
use super::lock::{Lock, Locked};
use super::mirror::{Mirror, MirrorError};
use super::timestamp::Timestamp;
use super::wanted::Wanted;
use crate::hash;

/// A fault of getting packages.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No mirror is known.
    #[error("cannot fetch packages")]
    Mirror(#[from] MirrorError),
    /// apt failed.
    #[error("cannot fetch packages")]
    Apt(#[from] AptError),
    /// A file could not be kept.
    #[error("cannot keep packages in the cache")]
    Cache(#[from] io::Error),
    /// apt gave something else than its index promises.
    #[error("package {name:?} {version} was fetched, but its hash is not the one in the mirror's index")]
    Hash {
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
    /// A folder of kept packages cannot be used.
    #[error("cannot use kept packages")]
    Kept(#[from] KeptError),
    /// The mirror has another file for the very version that was locked.
    #[error(
        "package {name:?} {version} for {arch} has another hash on the mirror than in the lock file: one of them was \
         tampered with, or the mirror builds packages of its own; find out which, then renew the lock (`bedplate-image lock`), \
         get the locked file (--snapshot URL, --packages DIR), or take the mirror's with --allow-changed {name}"
    )]
    Changed {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Its architecture.
        arch: Arch,
    },
    /// A folder of packages of one's own cannot be used.
    #[error("cannot take packages from a folder")]
    Folder(#[from] FolderError),
    /// A folder does not have the very package that was locked.
    #[error(
        "package {name:?} {version} for {arch} is not in {folder} as it was locked: put the locked file there, or update \
         the lock (`bedplate-image lock`)"
    )]
    NotInFolder {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Its architecture.
        arch: Arch,
        /// Where was looked.
        folder: PathBuf,
    },
    /// A package that should stand for a kernel does not.
    #[error(
        "package {package:?} leads to no kernel (linux-image-…): name a kernel package in the board file"
    )]
    NoKernel {
        /// The package.
        package: String,
    },
}

/// Finds the mirror; only called when something must be fetched.
pub type FindMirror = Box<dyn Fn() -> Result<Mirror, MirrorError>>;
/// Finds an archive of all versions as it was at a time; only called when the mirror lacks what was locked.
pub type FindSnapshot = Box<dyn Fn(&Timestamp) -> Result<Mirror, MirrorError>>;

/// The sources of packages.
pub struct Sources {
    /// The mirror, with current versions.
    pub mirror: FindMirror,
    /// An archive of all versions, if there is one.
    pub snapshot: Option<FindSnapshot>,
    /// What is left of locked packages in folders.
    pub kept: Kept,
    /// Packages whose file on the mirror may be another than the lock file says.
    pub allow_changed: Vec<String>,
}

/// A source that apt asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Mirror,
    Snapshot,
}

/// Gets packages, and remembers where it had to leave the lock file.
pub struct Fetcher {
    folder: PathBuf,
    cache: Cache,
    lock: Lock,
    sources: Sources,
    roots: BTreeMap<(Origin, Arch, Option<Suite>), Apt>,
    /// Mirrors that did not answer: asking again for each package would wait each time.
    silent: BTreeSet<(Arch, Option<Suite>)>,
    notes: Vec<String>,
}

impl Fetcher {
    /// Makes a fetcher over a cache folder.
    pub fn new(folder: &Path, lock: Lock, sources: Sources) -> Fetcher {
        Fetcher {
            folder: folder.to_owned(),
            cache: Cache::new(folder.join("packages")),
            lock,
            sources,
            roots: BTreeMap::new(),
            silent: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Lists where the lock file could not be kept to; empty means that every package was the locked one.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the lock file.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Finds the packages with the kernel in them, for one that may only depend on it.
    pub fn kernel(&mut self, kernel: &Kernel, arch: Arch) -> Result<Vec<Wanted>, FetchError> {
        let (package, suite) = (kernel.package.as_str(), kernel.suite.as_ref());
        let from = kernel.from.as_ref().map(PathBuf::from);
        let names: Vec<String> = if let Some(locked) = self.lock.kernel(package, suite, arch) {
            locked.packages().map(str::to_owned).collect()
        } else if self.lock.package(package, arch).is_some() {
            vec![package.to_owned()]
        } else if let Some(from) = &from {
            kernel::parts(package, |name| {
                Ok::<_, FetchError>(folder::find(from, name, arch)?.depends)
            })?
        } else {
            let _turn = self.wait_for_turn()?;
            let apt = self.apt(Origin::Mirror, arch, suite)?;
            kernel::parts(package, |name| apt.candidate(name).map(|found| found.depends))?
        };
        if names.is_empty() {
            return Err(FetchError::NoKernel {
                package: package.to_owned(),
            });
        }
        let wanted = |name| Wanted {
            from: from.clone(),
            ..Wanted::of(name, suite)
        };
        Ok(names.into_iter().map(wanted).collect())
    }

    /// Gets packages of one architecture, sorted by name.
    pub fn fetch(&mut self, packages: &[Wanted], arch: Arch) -> Result<Vec<Fetched>, FetchError> {
        let missing = |package: &Wanted| self.at_hand(&package.name, arch).is_none();
        // What is missing may be at hand afterwards, because another build fetched it.
        let turn = packages.iter().any(missing).then(|| self.wait_for_turn());
        let _turn = turn.transpose()?;
        let mut found = Vec::new();
        let mut wanted: BTreeMap<(Origin, Option<Suite>), Vec<Available>> = BTreeMap::new();
        for package in packages {
            if let Some(fetched) = self.at_hand(&package.name, arch) {
                found.push(fetched);
            } else if let Some(folder) = &package.from {
                found.push(self.take_from_folder(&package.name, arch, folder)?);
            } else {
                let (origin, available) = self.choose(package, arch)?;
                let key = (origin, package.suite.clone());
                wanted.entry(key).or_default().push(available);
            }
        }
        for ((origin, suite), packages) in wanted {
            found.extend(self.download(&packages, origin, arch, suite.as_ref())?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Takes a package that is not locked from a folder, and notes that. A locked one is at hand, or it is not there.
    fn take_from_folder(&mut self, name: &str, arch: Arch, folder: &Path) -> Result<Fetched, FetchError> {
        if let Some(locked) = self.lock.package(name, arch) {
            return Err(FetchError::NotInFolder {
                name: name.to_owned(),
                version: locked.version.clone(),
                arch,
                folder: folder.to_owned(),
            });
        }
        let local = folder::find(folder, name, arch)?.fetched;
        self.notes.push(format!(
            "{name} {arch} is not in the lock file; using {} of {}",
            local.version,
            folder.display()
        ));
        Ok(local)
    }

    /// Waits until no other build fetches into the same folder. The next one may when what is returned is dropped.
    fn wait_for_turn(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let turn = File::create(self.folder.join("lock"))?;
        turn.lock()?;
        Ok(turn)
    }

    /// Finds the locked file on this host: in the cache, or among kept packages.
    fn at_hand(&self, name: &str, arch: Arch) -> Option<Fetched> {
        let locked = self.lock.package(name, arch)?;
        let cached = self.cache.get(name, &locked.version, arch, &locked.sha256);
        let path = cached.or_else(|| self.sources.kept.find(locked))?;
        Some(Fetched {
            name: name.to_owned(),
            arch,
            suite: locked.suite.clone(),
            version: locked.version.clone(),
            size: locked.size,
            sha256: locked.sha256.clone(),
            path,
        })
    }

    /// Chooses the locked version where there is one to be had, else the mirror's current one, and notes that.
    fn choose(&mut self, wanted: &Wanted, arch: Arch) -> Result<(Origin, Available), FetchError> {
        let (name, suite) = (wanted.name.as_str(), wanted.suite.as_ref());
        let Some(locked) = self.lock.package(name, arch).cloned() else {
            let current = self.apt(Origin::Mirror, arch, suite)?.candidate(name)?;
            self.notes.push(format!(
                "{name} {arch} is not in the lock file; using {}",
                current.version
            ));
            return Ok((Origin::Mirror, current));
        };
        let found = self.on_mirror(&locked, suite)?;
        if let Some(found) = found.as_ref().filter(|found| found.sha256 == locked.sha256) {
            return Ok((Origin::Mirror, found.clone()));
        }
        if let Some(found) = self.on_snapshot(&locked, suite)? {
            return Ok((Origin::Snapshot, found));
        }
        let version = locked.version;
        let (why, instead) = match found {
            Some(found) if self.sources.allow_changed.iter().any(|allowed| allowed == name) => {
                ("has another hash on the mirror", found)
            }
            Some(_) => {
                let name = name.to_owned();
                return Err(FetchError::Changed { name, version, arch });
            }
            None => {
                let current = self.apt(Origin::Mirror, arch, suite)?.candidate(name)?;
                ("is no longer on the mirror", current)
            }
        };
        self.notes.push(format!(
            "{name} {arch} {version} {why}; using {}",
            instead.version
        ));
        Ok((Origin::Mirror, instead))
    }

    /// Finds the locked version on the mirror. Where a snapshot can stand in, a mirror that does not answer has nothing.
    fn on_mirror(&mut self, locked: &Locked, suite: Option<&Suite>) -> Result<Option<Available>, FetchError> {
        let arch = locked.arch;
        if self.silent.contains(&(arch, suite.cloned())) {
            return Ok(None);
        }
        let another = self.sources.snapshot.is_some();
        match self.apt(Origin::Mirror, arch, suite) {
            Ok(apt) => Ok(apt.version(&locked.name, &locked.version)?),
            Err(_) if another => {
                self.silent.insert((arch, suite.cloned()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Finds the very file that was locked in the archive of all versions.
    fn on_snapshot(
        &mut self,
        locked: &Locked,
        suite: Option<&Suite>,
    ) -> Result<Option<Available>, FetchError> {
        if self.sources.snapshot.is_none() {
            return Ok(None);
        }
        let apt = self.apt(Origin::Snapshot, locked.arch, suite)?;
        let found = apt.version(&locked.name, &locked.version)?;
        Ok(found.filter(|found| found.sha256 == locked.sha256))
    }

    fn download(
        &mut self,
        wanted: &[Available],
        origin: Origin,
        arch: Arch,
        suite: Option<&Suite>,
    ) -> Result<Vec<Fetched>, FetchError> {
        let cache = self.cache.clone();
        let (have, lack): (Vec<_>, Vec<_>) = wanted
            .iter()
            .map(|package| {
                (
                    package,
                    cache.get(&package.name, &package.version, arch, &package.sha256),
                )
            })
            .partition(|(_, path)| path.is_some());
        let mut paths: Vec<(&Available, PathBuf)> = have
            .into_iter()
            .filter_map(|(package, path)| Some((package, path?)))
            .collect();
        if !lack.is_empty() {
            let lack: Vec<&Available> = lack.into_iter().map(|(package, _)| package).collect();
            let scratch = cache.scratch()?;
            self.apt(origin, arch, suite)?.download(&lack, scratch.path())?;
            for package in lack {
                let file = find(scratch.path(), &package.name)?;
                if hash::of_file(&file)? != package.sha256 {
                    let (name, version) = (package.name.clone(), package.version.clone());
                    return Err(FetchError::Hash { name, version });
                }
                paths.push((package, cache.put(&file, &package.name, &package.version, arch)?));
            }
        }
        let fetched = |(package, path): (&Available, PathBuf)| Fetched {
            name: package.name.clone(),
            arch,
            suite: suite.cloned(),
            version: package.version.clone(),
            size: package.size,
            sha256: package.sha256.clone(),
            path,
        };
        Ok(paths.into_iter().map(fetched).collect())
    }

    fn apt(&mut self, origin: Origin, arch: Arch, suite: Option<&Suite>) -> Result<&Apt, FetchError> {
        let key = (origin, arch, suite.cloned());
        if !self.roots.contains_key(&key) {
            let (mut mirror, mut folder) = match (origin, &self.sources.snapshot) {
                (Origin::Snapshot, Some(snapshot)) => {
                    (snapshot(&self.lock.moment())?, "apt-snapshot".to_owned())
                }
                _ => ((self.sources.mirror)()?, "apt".to_owned()),
            };
            if let Some(suite) = suite {
                let locked = !self.lock.packages.is_empty();
                mirror = mirror.of_suite(suite, locked);
                folder = format!("{folder}-{suite}");
            }
            let root = self.folder.join(folder).join(arch.as_str());
            self.roots.insert(key.clone(), Apt::open(&root, arch, &mirror)?);
        }
        Ok(&self.roots[&key])
    }
}

fn find(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let prefix = format!("{name}_");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            return Ok(entry.path());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("apt fetched no {name}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_and_cached_packages_need_no_mirror() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("packages"));
        let scratch = cache.scratch().unwrap();
        let file = scratch.path().join("x");
        fs::write(&file, "deb").unwrap();
        let sha256 = hash::of_file(&file).unwrap();
        cache.put(&file, "x", "1", Arch::Arm64).unwrap();
        let locked = super::super::lock::Locked {
            name: "x".into(),
            arch: Arch::Arm64,
            suite: None,
            version: "1".into(),
            size: 3,
            sha256,
        };
        let lock = Lock {
            packages: vec![locked],
            ..Lock::default()
        };
        let mirror = || {
            Err(MirrorError::None {
                folder: "unused".into(),
            })
        };
        let sources = Sources {
            mirror: Box::new(mirror),
            snapshot: None,
            kept: Kept::default(),
            allow_changed: Vec::new(),
        };
        let mut fetcher = Fetcher::new(dir.path(), lock, sources);
        assert_eq!(fetcher.fetch(&["x".into()], Arch::Arm64).unwrap()[0].version, "1");
        assert!(fetcher.notes().is_empty());
        let error = fetcher.fetch(&["y".into()], Arch::Arm64).unwrap_err();
        assert!(matches!(error, FetchError::Mirror(_)), "{error}");

        // While another build fetches, only what is missing has to wait.
        let turn = fetcher.wait_for_turn().unwrap();
        fetcher.fetch(&["x".into()], Arch::Arm64).unwrap();
        let other = File::open(dir.path().join("lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(turn);
        other.try_lock().unwrap();
    }
}
