//! Runs apt in an isolated root: own folder, architecture and suite, and nothing of the host's packages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use board::Arch;

use super::control::{Stanza, stanzas};
use super::mirror::Mirror;
use crate::process::{self, ProcessError};

/// Options of the host that also hold in the isolated root: how the network is reached, and how old an index may be.
const FROM_HOST: [&str; 6] = [
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Retries",
    "Acquire::ForceIPv4",
    "Acquire::ForceIPv6",
    "Acquire::Check-Valid-Until",
];

/// An index that was fetched so short a time ago is not fetched again: images are often built one after the other.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// A fault of asking apt.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// The isolated root could not be made.
    #[error("cannot set up apt's folder {path}")]
    Setup {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// apt failed.
    #[error("apt could not {what} for {arch}; is the mirror reachable? name another with --mirror URL")]
    Run {
        /// What it was to do.
        what: &'static str,
        /// For which architecture.
        arch: Arch,
        /// What it said.
        #[source]
        source: ProcessError,
    },
    /// The mirror has no such package.
    #[error("the mirror has no package {name:?} for {arch}; is the name right?")]
    NoPackage {
        /// The package.
        name: String,
        /// The architecture.
        arch: Arch,
    },
    /// The mirror's index lacks a field.
    #[error("the mirror's entry for {name:?} has no {field}")]
    NoField {
        /// The package.
        name: String,
        /// The field.
        field: &'static str,
    },
}

/// A version of a package that the mirror has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Size of the `.deb`.
    pub size: u64,
    /// SHA-256 of the `.deb`, as hex.
    pub sha256: String,
    /// What it depends on, as written.
    pub depends: String,
}

/// An isolated apt root for one architecture, with an index that is younger than [`FRESH`].
pub struct Apt {
    config: PathBuf,
    index: Index,
    arch: Arch,
}

/// What tells how old the index is: a file that is written when it was fetched, with the sources that it is of.
struct Index {
    stamp: PathBuf,
    sources: String,
}

impl Apt {
    /// Makes or reuses the root in a folder, and fetches the mirror's index when it is not fresh. apt checks the signatures.
    pub fn open(root: &Path, arch: Arch, mirror: &Mirror) -> Result<Apt, AptError> {
        let config = set_up(root, arch, mirror).map_err(|source| AptError::Setup {
            path: root.to_owned(),
            source,
        })?;
        let index = Index {
            stamp: root.join("fetched"),
            sources: sources(mirror),
        };
        let apt = Apt { config, index, arch };
        if !apt.index.is_fresh() {
            apt.index.forget();
            apt.run("apt-get", &["update", "-qq"], None, "fetch the index")?;
            apt.index.note();
        }
        Ok(apt)
    }

    /// Returns the version that apt would install.
    pub fn candidate(&self, name: &str) -> Result<Available, AptError> {
        let missing = || AptError::NoPackage {
            name: name.to_owned(),
            arch: self.arch,
        };
        self.show(name, "--no-all-versions")
            .map_err(|_| missing())?
            .into_iter()
            .next()
            .ok_or_else(missing)
    }

    /// Returns a certain version, when the mirror has it.
    pub fn version(&self, name: &str, version: &str) -> Result<Option<Available>, AptError> {
        let all = self.show(name, "--all-versions").unwrap_or_default();
        Ok(all.into_iter().find(|found| found.version == version))
    }

    /// Fetches packages into an empty folder, as `NAME_VERSION_ARCH.deb`.
    pub fn download(&self, packages: &[&Available], into: &Path) -> Result<(), AptError> {
        let mut arguments = vec!["download".to_owned(), "-qq".to_owned()];
        arguments.extend(
            packages
                .iter()
                .map(|package| format!("{}={}", package.name, package.version)),
        );
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let downloaded = self.run("apt-get", &arguments, Some(into), "fetch packages");
        // The mirror may have newer files than its index said. The next build asks for it again.
        downloaded.inspect_err(|_| self.index.forget()).map(drop)
    }

    fn show(&self, name: &str, which: &str) -> Result<Vec<Available>, AptError> {
        let text = self.run("apt-cache", &["show", which, name], None, "read the index")?;
        stanzas(&text)
            .iter()
            .map(|stanza| available(name, stanza))
            .collect()
    }

    fn run(
        &self,
        program: &str,
        arguments: &[&str],
        cwd: Option<&Path>,
        what: &'static str,
    ) -> Result<String, AptError> {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", &self.config)
            .env("LC_ALL", "C")
            .args(arguments);
        if let Some(cwd) = cwd {
            command.current_dir(cwd);
        }
        process::output(&mut command).map_err(|source| AptError::Run {
            what,
            arch: self.arch,
            source,
        })
    }
}

impl Index {
    fn is_fresh(&self) -> bool {
        let age = fs::metadata(&self.stamp).and_then(|stamp| stamp.modified());
        let age = age.ok().and_then(|fetched| fetched.elapsed().ok());
        age.is_some_and(|age| age < FRESH)
            && fs::read_to_string(&self.stamp).is_ok_and(|of| of == self.sources)
    }

    /// Without a note the index is fetched again, which does no harm.
    fn note(&self) {
        fs::write(&self.stamp, &self.sources).ok();
    }

    fn forget(&self) {
        fs::remove_file(&self.stamp).ok();
    }
}

fn available(name: &str, stanza: &Stanza) -> Result<Available, AptError> {
    let field = |field: &'static str| {
        stanza
            .get(field)
            .ok_or(AptError::NoField {
                name: name.to_owned(),
                field,
            })
            .map(str::to_owned)
    };
    Ok(Available {
        name: name.to_owned(),
        version: field("Version")?,
        size: field("Size")?.parse().map_err(|_| AptError::NoField {
            name: name.to_owned(),
            field: "Size",
        })?,
        sha256: field("SHA256")?,
        depends: stanza.get("Depends").unwrap_or_default().to_owned(),
    })
}

fn set_up(root: &Path, arch: Arch, mirror: &Mirror) -> io::Result<PathBuf> {
    for folder in [
        "etc/apt/preferences.d",
        "state/lists/partial",
        "cache/archives/partial",
        "log",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    write(&root.join("state/status"), "")?;
    write(&root.join("etc/apt/sources.list"), &sources(mirror))?;
    let config = root.join("apt.conf");
    write(
        &config,
        &configuration(&fs::canonicalize(root)?, arch, &host_options()),
    )?;
    Ok(config)
}

fn sources(mirror: &Mirror) -> String {
    mirror.lines.join("\n") + "\n"
}

/// Writes a file that says something new: apt reads its whole index again after a change.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)
}

/// Writes the configuration. It is read before the host's, and points apt away from it.
fn configuration(root: &Path, arch: Arch, from_host: &str) -> String {
    let root = root.display();
    format!(
        r#"Dir "{root}/";
Dir::Etc "etc/apt";
Dir::State "state";
Dir::State::status "{root}/state/status";
Dir::Cache "cache";
Dir::Log "log";
// Credentials of a private mirror stay where the host keeps them; only apt reads them.
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
{from_host}"#
    )
}

/// Asks the host's apt how the network is reached.
fn host_options() -> String {
    let dump = process::output(Command::new("apt-config").arg("dump").env("LC_ALL", "C")).unwrap_or_default();
    let kept = dump
        .lines()
        .filter(|line| FROM_HOST.iter().any(|option| line.starts_with(option)));
    kept.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_read() {
        let text = "Package: runc\nVersion: 1.1.15\nSize: 10\nSHA256: ab\nDepends: libc6 (>= 2.38)\n";
        let found = available("runc", &stanzas(text)[0]).unwrap();
        assert_eq!(
            (found.version.as_str(), found.size, found.sha256.as_str()),
            ("1.1.15", 10, "ab")
        );
        let error = available("runc", &stanzas("Package: runc\nVersion: 1\n")[0]).unwrap_err();
        assert_eq!(error.to_string(), "the mirror's entry for \"runc\" has no Size");
    }

    #[test]
    fn an_index_is_fresh_for_a_while_and_for_its_sources_only() {
        let folder = tempfile::tempdir().unwrap();
        let index = |sources: &str| Index {
            stamp: folder.path().join("fetched"),
            sources: sources.to_owned(),
        };
        assert!(!index("a").is_fresh());
        index("a").note();
        assert!(index("a").is_fresh() && !index("b").is_fresh());
        let stamp = fs::File::options().write(true).open(index("a").stamp).unwrap();
        stamp.set_modified(std::time::SystemTime::now() - FRESH).unwrap();
        assert!(!index("a").is_fresh());
        index("a").note();
        index("a").forget();
        assert!(!index("a").is_fresh());
    }

    #[test]
    fn the_configuration_leaves_the_host_alone() {
        let text = configuration(Path::new("/cache/apt"), Arch::Arm64, "Acquire::Retries \"3\";\n");
        assert!(text.starts_with("Dir \"/cache/apt/\";"));
        assert!(text.contains("APT::Architectures { \"arm64\"; };"));
        assert!(text.ends_with("Acquire::Retries \"3\";\n"));
    }
}
