//! Finds the Debian mirror and its signing keys in the host's own apt configuration.

use std::fs;
use std::path::{Path, PathBuf};

use board::Suite;

use super::timestamp::Timestamp;

/// The Debian release that images are made of.
pub const SUITE: &str = "trixie";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The placeholder for the timestamp in the address of a snapshot.
const MOMENT: &str = "{moment}";
/// The placeholder for the archive's name in the address of a snapshot.
const ARCHIVE: &str = "{archive}";
/// The option by which apt takes an index whose time is over.
const ANY_AGE: &str = "check-valid-until=no";
const COMPONENTS: &str = "main non-free-firmware";

/// A mirror, as lines for an isolated `sources.list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Lines in apt's one-line format.
    pub lines: Vec<String>,
}

/// No mirror was found in the host's configuration.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// A snapshot's address has no placeholder for the timestamp.
    #[error(
        "--snapshot {template:?} has no {{moment}} in it: name one such as https://snapshot.example.org/{{archive}}/{{moment}}"
    )]
    NoMoment {
        /// What was given.
        template: String,
    },
    /// No source of Debian packages is configured.
    #[error("no Debian mirror in {folder}: name one with --mirror URL")]
    None {
        /// Where was looked.
        folder: PathBuf,
    },
    /// The keys that the mirror's index is signed with are not here.
    #[error(
        "Debian's archive keys are not at {path}: install debian-archive-keyring, or name them with --keyring FILE"
    )]
    NoKeyring {
        /// Where was looked.
        path: PathBuf,
    },
}

/// One source of packages as the host has it configured.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    signed_by: Option<PathBuf>,
}

impl Mirror {
    /// Uses a mirror that was named, with the keys that were named or the host's.
    pub fn named(url: &str, keyring: Option<&Path>) -> Result<Mirror, MirrorError> {
        let keyring = keyring.unwrap_or(Path::new(KEYRING));
        if !keyring.is_file() {
            return Err(MirrorError::NoKeyring {
                path: keyring.to_owned(),
            });
        }
        Ok(Mirror {
            lines: vec![line(keyring, url, SUITE)],
        })
    }

    /// Uses an archive that keeps all versions, as it was at a time.
    ///
    /// In the template, `{moment}` stands for the timestamp, and `{archive}` for `debian` and `debian-security`; without the
    /// latter there is only the main archive.
    pub fn snapshot(
        template: &str,
        moment: &Timestamp,
        keyring: Option<&Path>,
    ) -> Result<Mirror, MirrorError> {
        if !template.contains(MOMENT) {
            return Err(MirrorError::NoMoment {
                template: template.to_owned(),
            });
        }
        let url = template.replace(MOMENT, &moment.to_string());
        let mut mirror = Mirror::named(&url.replace(ARCHIVE, "debian"), keyring)?;
        if template.contains(ARCHIVE) {
            let security = Mirror::named(&url.replace(ARCHIVE, "debian-security"), keyring)?;
            let suite = format!(" {SUITE} ");
            let security = security
                .lines
                .iter()
                .map(|line| line.replace(&suite, &format!(" {SUITE}-security ")));
            mirror.lines.extend(security);
        }
        // An old index is meant to be old; what it leads to is held against the lock's hashes.
        let dated = |line: &String| line.replacen(']', &format!(" {ANY_AGE}]"), 1);
        mirror.lines = mirror.lines.iter().map(dated).collect();
        Ok(mirror)
    }

    /// Returns the main archive's other suite. Security updates are left out: they are for the suite of all images.
    ///
    /// With `locked`, an index whose time is over will do: what it leads to is compared with the hashes of the lock.
    pub fn of_suite(&self, suite: &Suite, locked: bool) -> Mirror {
        let own = format!(" {SUITE} ");
        let lines = self.lines.iter().filter(|line| line.contains(&own));
        let other = |line: &String| {
            let line = line.replace(&own, &format!(" {suite} "));
            match locked && !line.contains(ANY_AGE) {
                true => line.replacen(']', &format!(" {ANY_AGE}]"), 1),
                false => line,
            }
        };
        Mirror {
            lines: lines.map(other).collect(),
        }
    }

    /// Takes the mirror from `/etc/apt` of the host, or a folder like it.
    pub fn from_host(apt: &Path, keyring: Option<&Path>) -> Result<Mirror, MirrorError> {
        let sources = read_sources(apt);
        let none = || MirrorError::None {
            folder: apt.to_owned(),
        };
        let main = choose(&sources).ok_or_else(none)?;
        let mut mirror = Mirror::named(&main.uri, keyring.or(main.signed_by.as_deref()))?;
        // Where the host takes security updates, we do: an exploit does not wait for a point release.
        let security = sources
            .iter()
            .find(|source| source.suites.iter().any(|suite| suite.ends_with("-security")));
        if let Some(security) = security {
            let keyring = keyring.or(security.signed_by.as_deref());
            mirror.lines.push(line(
                keyring.unwrap_or(Path::new(KEYRING)),
                &security.uri,
                &format!("{SUITE}-security"),
            ));
        }
        Ok(mirror)
    }
}

fn line(keyring: &Path, url: &str, suite: &str) -> String {
    format!("deb [signed-by={}] {url} {suite} {COMPONENTS}", keyring.display())
}

/// Prefers a source that already has our suite, then the one that looks like the main archive.
fn choose(sources: &[Source]) -> Option<&Source> {
    let archive = |source: &&Source| {
        source.uri.trim_end_matches('/').ends_with("/debian")
            && !source.suites.iter().any(|suite| suite.contains('/'))
    };
    let exact = |source: &&Source| source.suites.iter().any(|suite| suite == SUITE);
    sources
        .iter()
        .filter(archive)
        .find(exact)
        .or_else(|| sources.iter().find(archive))
        .or_else(|| sources.iter().find(exact))
}

fn read_sources(apt: &Path) -> Vec<Source> {
    let mut files = vec![apt.join("sources.list")];
    let parts = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten();
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    parts.sort();
    files.extend(parts);
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(parse_deb822(&text)),
            Some("list") => sources.extend(text.lines().filter_map(parse_one_line)),
            _ => {}
        }
    }
    sources
}

fn parse_one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match line.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", line),
    };
    let mut words = rest.split_whitespace();
    let uri = words.next()?.to_owned();
    let suites = vec![words.next()?.to_owned()];
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    Some(Source {
        uri,
        suites,
        signed_by: signed_by.and_then(keyring),
    })
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in super::control::stanzas(text) {
        let words = |field: &str| -> Vec<String> {
            stanza
                .get(field)
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        if !words("Types").iter().any(|kind| kind == "deb") || words("Enabled") == ["no"] {
            continue;
        }
        for uri in words("URIs") {
            let signed_by = stanza.get("Signed-By").and_then(keyring);
            sources.push(Source {
                uri,
                suites: words("Suites"),
                signed_by,
            });
        }
    }
    sources
}

/// Returns the keyring of a stanza, or nothing when it is written into the stanza itself or is missing: then the default is used.
fn keyring(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text.trim().split(',').next()?);
    (path.is_absolute() && path.is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        fs::write(dir.path().join("keys.gpg"), "keys").unwrap();
        for (name, text) in files {
            fs::write(
                dir.path().join(name),
                text.replace("DIR", &dir.path().to_string_lossy()),
            )
            .unwrap();
        }
        dir
    }

    #[test]
    fn a_deb822_source_gives_mirror_keys_and_security() {
        let text = "# comment\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates
Components: main\nSigned-By: DIR/keys.gpg\n\nTypes: deb deb-src\nURIs: http://sec.test/debian-security
Suites: bookworm-security\nComponents: main\nSigned-By: DIR/keys.gpg\n";
        let other = "deb https://packages.test/tool stable main\n";
        let dir = host(&[
            ("sources.list.d/debian.sources", text),
            ("sources.list.d/a.list", other),
        ]);
        let mirror = Mirror::from_host(dir.path(), None).unwrap();
        let keys = dir.path().join("keys.gpg");
        assert_eq!(
            mirror.lines[0],
            line(&keys, "http://mirror.test/debian", "trixie")
        );
        assert_eq!(
            mirror.lines[1],
            line(&keys, "http://sec.test/debian-security", "trixie-security")
        );
        let suite = "trixie-backports".parse().unwrap();
        let backports = line(&keys, "http://mirror.test/debian", "trixie-backports");
        assert_eq!(
            mirror.of_suite(&suite, false).lines,
            std::slice::from_ref(&backports)
        );
        let any_age = backports.replace(']', " check-valid-until=no]");
        assert_eq!(mirror.of_suite(&suite, true).lines, [any_age]);
    }

    #[test]
    fn a_one_line_source_is_read_too_and_ours_is_preferred() {
        let text = "deb http://old.test/debian bookworm main\n#deb http://off.test/debian trixie main
deb-src http://src.test/debian trixie main\ndeb [arch=amd64 signed-by=DIR/keys.gpg] http://new.test/debian trixie main\n";
        let dir = host(&[("sources.list", text)]);
        let mirror = Mirror::from_host(dir.path(), None).unwrap();
        assert_eq!(
            mirror.lines,
            [line(
                &dir.path().join("keys.gpg"),
                "http://new.test/debian",
                "trixie"
            )]
        );
    }

    #[test]
    fn a_snapshot_is_an_archive_at_a_moment() {
        let dir = host(&[]);
        let keys = dir.path().join("keys.gpg");
        let (moment, signed) = (
            Timestamp::at(1_795_403_073),
            format!("signed-by={}", keys.display()),
        );
        let lines =
            |template: &str| Mirror::snapshot(template, &moment, Some(&keys)).map(|mirror| mirror.lines);
        let options = format!("deb [{signed} check-valid-until=no] http://all.test");
        assert_eq!(
            lines("http://all.test/{archive}/{moment}/").unwrap(),
            [
                format!("{options}/debian/20261123T030433Z/ trixie {COMPONENTS}"),
                format!("{options}/debian-security/20261123T030433Z/ trixie-security {COMPONENTS}"),
            ]
        );
        assert_eq!(lines("http://all.test/{moment}").unwrap().len(), 1);
        let mirror = Mirror::snapshot("http://all.test/{archive}/{moment}/", &moment, Some(&keys)).unwrap();
        assert_eq!(
            mirror.of_suite(&"forky".parse().unwrap(), true).lines,
            [format!("{options}/debian/20261123T030433Z/ forky {COMPONENTS}")]
        );
        let error = lines("http://all.test/").unwrap_err().to_string();
        assert!(error.contains("/{archive}/{moment}"), "{error}");
    }

    #[test]
    fn no_mirror_says_how_to_name_one() {
        let dir = host(&[("sources.list", "deb http://archive.test/ubuntu noble main\n")]);
        assert!(
            Mirror::from_host(dir.path(), None)
                .unwrap_err()
                .to_string()
                .contains("--mirror")
        );
        let error = Mirror::named("http://m.test/debian", Some(Path::new("/absent")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("--keyring"));
    }
}
