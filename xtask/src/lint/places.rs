//! The tree builds anywhere.

use super::{Finding, Lint, Tree};

pub struct Places;

/// Folders of one machine. Written apart, so that this file does not find itself.
const FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/fa", "rm/"),
];
/// Hosts that serve packages: a mirror is taken from the machine's own configuration.
const HOSTS: &[&str] = &["debian", "crates", "npmjs", "pypi", "ubuntu"];

impl Lint for Places {
    fn name(&self) -> &'static str {
        "places"
    }

    fn reason(&self) -> &'static str {
        "no path of one machine and no package host is built in: the tree builds behind any mirror"
    }

    fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, text) in tree
            .files
            .iter()
            .filter(|(path, _)| path.as_str() != "Cargo.lock")
        {
            for (index, line) in text.lines().enumerate() {
                if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
                    findings.push(Finding::at(
                        path,
                        index + 1,
                        format!("a path of one machine: {folder}"),
                    ));
                }
                if names_package_host(line) {
                    findings.push(Finding::at(path, index + 1, "the address of a package host"));
                }
            }
        }
        findings
    }
}

/// Finds an absolute path: `/x/` at the start of a path, not in the middle of one.
fn names_folder(line: &str, folder: &str) -> bool {
    let begins =
        |at: usize| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "._-}*~".contains(c));
    line.match_indices(folder).any(|(at, _)| begins(at))
}

fn names_package_host(line: &str) -> bool {
    let hosts = line.split("http").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix("://")?;
        rest.split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c)))
            .next()
    });
    hosts
        .into_iter()
        .any(|host| HOSTS.iter().any(|name| host.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_one_machine_is_found_and_a_relative_one_is_not() {
        let folder = FOLDERS[0];
        let line = format!("cd {folder}x");
        assert_eq!(Places.check(&Tree::of(&[("a.md", &line)])).len(), 1);
        let relative = format!("docs{folder}x");
        assert_eq!(Places.check(&Tree::of(&[("a.md", &relative)])), []);
    }

    #[test]
    fn a_package_host_is_found_by_its_address() {
        assert!(names_package_host(&format!("see http://deb.{}.org/x", HOSTS[0])));
        assert!(names_package_host(&format!(
            "see https://static.{}.io/x",
            HOSTS[1]
        )));
        assert!(!names_package_host("see https://example.org/x on Debian"));
    }
}
