//! What a root may contain.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use manifest::Manifest;

use super::job::{Finding, Outcome};
use crate::elf;

/// The programs of the base image, one path per line: whoever adds one must say so here.
const PROGRAMS: &str = include_str!("../../executables.txt");
/// Overlays that make the base image.
const BASE: [&str; 2] = ["base", "containerd"];
/// The most programs that the base image may have: each one is something to attack.
const MOST_PROGRAMS: usize = 12;
/// Shells, interpreters and package managers: with one of them a node could be changed by hand.
const FORBIDDEN: [&str; 22] = [
    "apk", "apt", "apt-get", "ash", "awk", "bash", "busybox", "dash", "dpkg", "fish", "ksh", "lua", "mksh",
    "opkg", "perl", "pip", "python", "python3", "rpm", "sh", "toybox", "zsh",
];

/// A file of a root, as far as the rules care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Path from the root, with a leading slash.
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// What kind of program it is, if any.
    pub program: Option<Program>,
    /// Set when it is a symbolic link.
    pub link: bool,
}

/// A kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Machine code.
    Elf,
    /// Text that names its interpreter.
    Script,
}

/// Reads all files below a folder.
pub fn walk(root: &Path) -> io::Result<Vec<Fact>> {
    let mut facts = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            if meta.is_dir() {
                open.push(path.clone());
            }
            let program = if meta.is_file() { program(&path)? } else { None };
            let inside = path.strip_prefix(root).unwrap_or(&path);
            facts.push(Fact {
                path: format!("/{}", inside.display()),
                mode: meta.permissions().mode(),
                program,
                link: meta.is_symlink(),
            });
        }
    }
    facts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(facts)
}

fn program(path: &Path) -> io::Result<Option<Program>> {
    let mut head = [0; 4];
    let mut file = fs::File::open(path)?;
    let count = file.read(&mut head)?;
    if head[..count].starts_with(b"#!") {
        return Ok(Some(Program::Script));
    }
    if head[..count] == *b"\x7fELF" {
        return Ok(elf::read(&fs::read(path)?)
            .filter(|found| found.program)
            .map(|_| Program::Elf));
    }
    Ok(None)
}

/// Runs all rules.
pub fn all(files: &[Fact], manifest: &Manifest) -> Vec<Finding> {
    let finding = |check, outcome| Finding { check, outcome };
    vec![
        finding(
            "no set-uid or set-gid file",
            none(files, |file| file.mode & 0o6000 != 0),
        ),
        finding(
            "no file that others may write",
            none(files, |file| !file.link && file.mode & 0o002 != 0),
        ),
        finding("no shell, interpreter or package manager", none(files, forbidden)),
        finding(
            "no script",
            none(files, |file| file.program == Some(Program::Script)),
        ),
        finding("programs of the base image", programs(files, manifest)),
    ]
}

fn none(files: &[Fact], rule: impl Fn(&Fact) -> bool) -> Outcome {
    let found: Vec<&str> = files
        .iter()
        .filter(|file| rule(file))
        .map(|file| file.path.as_str())
        .collect();
    if found.is_empty() {
        Outcome::Passed(format!("{} files", files.len()))
    } else {
        Outcome::Failed(found.join(", "))
    }
}

fn forbidden(file: &Fact) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    // A folder may be called like a program; documentation of one would be, too.
    (file.program.is_some() || file.link) && FORBIDDEN.contains(&name)
}

fn programs(files: &[Fact], manifest: &Manifest) -> Outcome {
    let found: Vec<&str> = files
        .iter()
        .filter(|file| file.program == Some(Program::Elf))
        .map(|file| file.path.as_str())
        .collect();
    if manifest.overlays != BASE {
        return Outcome::Skipped(format!("{} programs; further overlays may add some", found.len()));
    }
    compare(&found, PROGRAMS)
}

/// Compares programs with the list in the repository.
fn compare(found: &[&str], list: &str) -> Outcome {
    let listed: Vec<&str> = list.lines().filter(|line| line.starts_with('/')).collect();
    let added = found
        .iter()
        .filter(|path| !listed.contains(path))
        .map(|path| format!("{path} is not listed"));
    let gone = listed
        .iter()
        .filter(|path| !found.contains(path))
        .map(|path| format!("{path} is missing"));
    let mut faults: Vec<String> = added.chain(gone).collect();
    if found.len() > MOST_PROGRAMS {
        faults.push(format!("{} programs are more than {MOST_PROGRAMS}", found.len()));
    }
    if faults.is_empty() {
        Outcome::Passed(format!(
            "{} programs, as listed in images/executables.txt",
            found.len()
        ))
    } else {
        Outcome::Failed(faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(path: &str, mode: u32, program: Option<Program>) -> Fact {
        Fact {
            path: path.into(),
            mode,
            program,
            link: false,
        }
    }

    #[test]
    fn the_list_in_the_repository_keeps_to_the_limit() {
        let listed = PROGRAMS.lines().filter(|line| line.starts_with('/')).count();
        assert!((1..=MOST_PROGRAMS).contains(&listed), "{listed}");
    }

    #[test]
    fn each_rule_finds_its_offender() {
        let good = fact("/usr/bin/machined", 0o100_755, Some(Program::Elf));
        let cases = [
            (fact("/usr/bin/su", 0o104_755, Some(Program::Elf)), "no set-uid"),
            (fact("/var/x", 0o100_666, None), "no file that others may write"),
            (fact("/usr/bin/dash", 0o100_755, Some(Program::Elf)), "no shell"),
            (fact("/usr/bin/x", 0o100_755, Some(Program::Script)), "no script"),
        ];
        for (bad, rule) in cases {
            let files = [good.clone(), bad.clone()];
            let outcomes = [
                ("no set-uid", none(&files, |file| file.mode & 0o6000 != 0)),
                (
                    "no file that others may write",
                    none(&files, |file| !file.link && file.mode & 0o002 != 0),
                ),
                ("no shell", none(&files, forbidden)),
                (
                    "no script",
                    none(&files, |file| file.program == Some(Program::Script)),
                ),
            ];
            for (name, outcome) in outcomes {
                assert_eq!(
                    outcome == Outcome::Failed(bad.path.clone()),
                    name == rule,
                    "{name} of {}",
                    bad.path
                );
            }
        }
    }

    #[test]
    fn programs_are_compared_both_ways() {
        let list = "# comment\n/a\n/b\n";
        assert!(matches!(compare(&["/a", "/b"], list), Outcome::Passed(_)));
        let Outcome::Failed(text) = compare(&["/a", "/c"], list) else {
            panic!("a difference passed")
        };
        assert_eq!(text, "/c is not listed; /b is missing");
        let many: Vec<String> = (0..13).map(|number| format!("/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(compare(&many, &many.join("\n")), Outcome::Failed(_)));
    }
}
