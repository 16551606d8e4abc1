//! The backports of this machine's own Debian release, as a source for one run of apt.
//!
//! A machine can have packages of backports although apt no longer lists backports: an image was made with them, or
//! somebody took the line out. What depends on such a package is then found in no list that apt has. These lists are read
//! into a folder of their own, so that apt takes packages from where it took them before, afterwards as well.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::paths;
use crate::process::Program;

/// The sources of this machine and the backports of its release.
#[derive(Debug)]
pub struct Backports {
    folder: PathBuf,
    suite: String,
}

impl Backports {
    /// Finds them, where packages of backports are installed and apt does not list any.
    pub fn of_this_machine() -> Result<Option<Backports>> {
        let versions = Program::new("dpkg-query")
            .args(["--show", "--showformat", "${Version}\n"])
            .read()?;
        let targets = Program::new("apt-get")
            .args(["indextargets", "--format", "$(CREATED_BY) $(SITE) $(RELEASE)"])
            .read()?;
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let Some((suite, line)) = source(&os, &versions, &targets) else {
            return Ok(None);
        };
        let folder = paths::target().join("apt-backports");
        fs::create_dir_all(folder.join("lists/partial"))
            .with_context(|| format!("cannot create {}", folder.display()))?;
        // `Dir::Etc::SourceList` is the one file beside the folder of sources: what it names now stays in it.
        let own = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
        fs::write(list(&folder), format!("{own}\n{line}\n")).context("cannot write a list of sources")?;
        Ok(Some(Backports { folder, suite }))
    }

    /// Returns the suite's name, as in `bookworm-backports`.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Returns the options that make apt know them; a package is taken from them only where no other fits.
    pub fn options(&self) -> Vec<String> {
        let lists = self.folder.join("lists");
        vec![
            format!("--option=Dir::Etc::SourceList={}", list(&self.folder).display()),
            format!("--option=Dir::State::Lists={}", lists.display()),
        ]
    }
}

fn list(folder: &Path) -> PathBuf {
    folder.join("sources.list")
}

/// Decides the suite of backports and its line for apt, from `os-release`, the versions of all installed packages and
/// what apt reads its lists from.
fn source(os: &str, versions: &str, targets: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        let line = os
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"'))
    };
    if value("ID") != Some("debian") {
        return None;
    }
    let (number, codename) = (value("VERSION_ID")?, value("VERSION_CODENAME")?);
    // Versions of backports end in `~bpo12+1`, say, by the rules of Debian Backports for contributors.
    let mark = format!("~bpo{number}+");
    if !versions.lines().any(|version| version.contains(&mark)) {
        return None;
    }
    let suite = format!("{codename}-backports");
    let mut lists = targets.lines().filter_map(|line| {
        let mut words = line.split(' ');
        (words.next()? == "Packages").then(|| Some((words.next()?, words.next()?)))?
    });
    if lists.clone().any(|(_, release)| release == suite) {
        return None;
    }
    let (site, _) = lists.find(|(_, release)| *release == codename)?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    Some((
        suite.clone(),
        format!("deb [signed-by={keyring}] {site} {suite} main"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OS: &str = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
    const VERSIONS: &str = "3.0.17-1~deb12u2\n1:10.0.2+ds-2+deb13u1~bpo12+1\n";
    const TARGETS: &str = "\
        DEP-11 http://mirror.example/debian bookworm\n\
        Packages http://mirror.example/debian-security bookworm-security\n\
        Packages http://mirror.example/debian bookworm\n";

    #[test]
    fn backports_come_from_where_the_release_comes_from() {
        let (suite, line) = source(OS, VERSIONS, TARGETS).unwrap();
        assert_eq!(suite, "bookworm-backports");
        assert_eq!(
            line,
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
             http://mirror.example/debian bookworm-backports main"
        );
    }

    #[test]
    fn a_machine_without_packages_of_backports_or_with_their_list_needs_nothing() {
        assert_eq!(source(OS, "3.0.17-1~deb12u2\n1.0~bpo11+1\n", TARGETS), None);
        let listed = format!("{TARGETS}Packages http://mirror.example/debian bookworm-backports\n");
        assert_eq!(source(OS, VERSIONS, &listed), None);
        assert_eq!(source(&OS.replace("debian", "ubuntu"), VERSIONS, TARGETS), None);
        assert_eq!(source(OS, VERSIONS, ""), None);
        assert_eq!(source("", VERSIONS, TARGETS), None);
    }
}
