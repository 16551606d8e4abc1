//! Installs Debian packages: shows what and why, asks first when it needs more rights than the caller has, and takes
//! nothing away ([`plan`]).

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::backports::Backports;
use super::plan;
use crate::process::{self, Program};

/// A package to install, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    package: String,
    why: String,
}

impl Want {
    /// Names a package (`name` or `name:architecture`) and its use.
    pub fn new(package: &str, why: &str) -> Want {
        Want {
            package: package.to_owned(),
            why: why.to_owned(),
        }
    }

    /// Returns the architecture in the package's name, if it has one.
    fn foreign(&self) -> Option<&str> {
        self.package.split_once(':').map(|(_, arch)| arch)
    }
}

/// Installs packages from where this machine's apt takes them already.
pub fn install(want: &[Want], yes: bool) -> Result<()> {
    stdio::note(format_args!(
        "setup: this machine lacks what Bedplate is built or tested with:"
    ));
    for (why, packages) in by_use(want) {
        stdio::note(format_args!("  {packages}\n      {why}"));
    }
    if process::find("apt-get").is_none() {
        bail!(
            "no apt-get on this machine: install the above with its own package manager (names are Debian's)"
        );
    }
    let root = is_root();
    if !root && !yes {
        ask()?;
    }

    let mut privileged = Privileged { sudo: !root };
    for arch in want.iter().filter_map(Want::foreign) {
        if !has_architecture(arch) {
            privileged.run(&["dpkg", "--add-architecture", arch])?;
        }
    }
    let mut host = Host::default();
    privileged.update(&host);
    let packages: Vec<&str> = want.iter().map(|want| want.package.as_str()).collect();
    let chosen = match plan::choose(&host, &packages) {
        Ok(chosen) => chosen,
        Err(error) => {
            let Some(backports) = Backports::of_this_machine()? else {
                return Err(error);
            };
            stdio::note(format_args!(
                "setup: this machine has packages of {suite}, which its apt does not list; for this once, it does",
                suite = backports.suite()
            ));
            host.options = backports.options();
            privileged.update(&host);
            // For what depends on packages of backports, at the same version: apt takes no other from there.
            host.options
                .push(format!("--target-release={}", backports.suite()));
            plan::choose(&host, &packages).map_err(|_| error)?
        }
    };
    let mut command = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install"];
    command.extend(host.options.iter().map(String::as_str));
    // Should what apt does differ from its plan, it stops: with -y, it does not downgrade either.
    command.extend(["-q", "-y", "--no-install-recommends", "--no-remove"]);
    command.extend(chosen.iter().map(String::as_str));
    privileged.run(&command)
}

/// The apt of this machine.
#[derive(Default)]
struct Host {
    /// What each command is given besides its own arguments.
    options: Vec<String>,
}

impl plan::Asked for Host {
    fn simulate(&self, packages: &[String]) -> Result<plan::Answer> {
        // Without -y: where apt would not go on by itself, it still shows what it would do.
        let apt = Program::new("apt-get").args(["install", "--simulate", "-q", "--no-install-recommends"]);
        let apt = apt.args(&self.options);
        let (good, said) = apt.args(packages).env("LC_ALL", "C").said()?;
        Ok(if good {
            plan::Answer::Plan(said)
        } else {
            plan::Answer::None(said)
        })
    }

    fn policy(&self, packages: &[&str]) -> Result<String> {
        let options = self
            .options
            .iter()
            .filter(|option| option.starts_with("--option"));
        let apt = Program::new("apt-cache")
            .arg("policy")
            .args(options)
            .args(packages);
        apt.env("LC_ALL", "C").read()
    }
}

/// Returns the version that `apt-get install` would take, if there is one.
pub fn candidate(package: &str) -> Option<String> {
    let policy = Program::new("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .read()
        .ok()?;
    parse_candidate(&policy)
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn by_use(want: &[Want]) -> BTreeMap<&str, String> {
    let mut uses: BTreeMap<&str, String> = BTreeMap::new();
    for want in want {
        let packages = uses.entry(&want.why).or_default();
        if !packages.is_empty() {
            packages.push(' ');
        }
        packages.push_str(&want.package);
    }
    uses
}

fn has_architecture(arch: &str) -> bool {
    let native = Program::new("dpkg")
        .arg("--print-architecture")
        .read()
        .unwrap_or_default();
    let foreign = Program::new("dpkg")
        .arg("--print-foreign-architectures")
        .read()
        .unwrap_or_default();
    native.lines().chain(foreign.lines()).any(|line| line == arch)
}

fn is_root() -> bool {
    Program::new("id")
        .arg("-u")
        .read()
        .is_ok_and(|id| id.trim() == "0")
}

fn ask() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "not allowed to install packages: run `cargo xtask setup --yes` (it uses sudo), or run it as root"
        );
    }
    stdio::ask("Install them now with sudo? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

/// Runs commands that change the machine, in the foreground: sudo may ask for a password.
struct Privileged {
    sudo: bool,
}

impl Privileged {
    /// Updates the lists of packages.
    fn update(&mut self, host: &Host) {
        let mut command = vec!["apt-get", "update", "-q"];
        command.extend(host.options.iter().map(String::as_str));
        // Some other source on this machine may be out of order; what we need may still be found.
        if let Err(error) = self.run(&command) {
            stdio::note(format_args!(
                "setup: {error:#}; going on with the package lists as they are"
            ));
        }
    }

    fn run(&mut self, command: &[&str]) -> Result<()> {
        let prefix: &[&str] = if self.sudo { &["sudo"] } else { &[] };
        let words: Vec<&str> = prefix.iter().chain(command).copied().collect();
        stdio::note(format_args!("setup: {}", words.join(" ")));
        let status = Command::new(words[0]).args(&words[1..]).status();
        let status = status.with_context(|| format!("cannot start {}", words[0]))?;
        if !status.success() {
            bail!("`{}` failed ({status})", words.join(" "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(
            parse_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(parse_candidate(""), None);
    }

    #[test]
    fn the_plan_of_this_machines_apt_is_understood() {
        if process::find("apt-get").is_none() {
            eprintln!("skipped: this machine has no apt-get");
            return;
        }
        // Installed wherever it is asked: nothing can be lost.
        assert_eq!(plan::choose(&Host::default(), &["apt"]).unwrap(), ["apt"]);
    }

    #[test]
    fn packages_are_shown_by_what_they_are_for() {
        let want = [
            Want::new("a", "one"),
            Want::new("b", "two"),
            Want::new("c", "one"),
        ];
        assert_eq!(
            by_use(&want).into_iter().collect::<Vec<_>>(),
            [("one", "a c".into()), ("two", "b".into())]
        );
    }

    #[test]
    fn a_package_name_tells_its_architecture() {
        assert_eq!(Want::new("libstd-rust-dev:arm64", "").foreign(), Some("arm64"));
        assert_eq!(Want::new("gcc", "").foreign(), None);
    }
}
