//! What apt would do, read before it does it: nothing that somebody has is removed or replaced by an older version.
//!
//! apt is asked for its plan (`--simulate`), first as it would do it by itself, then with packages from another release
//! that this machine takes packages from, as where some come from backports already. The first plan without loss is taken.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

/// What apt would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packages that are unpacked: new, or in a newer version.
    pub installed: Vec<String>,
    /// Packages that are taken away.
    pub removed: Vec<String>,
    /// Packages that are replaced by an older version.
    pub downgraded: Vec<String>,
}

impl Plan {
    /// Returns what somebody would lose; nothing for a plan that may be carried out.
    fn loss(&self) -> Option<String> {
        let part =
            |verb: &str, names: &[String]| (!names.is_empty()).then(|| format!("{verb} {}", names.join(" ")));
        let parts = [part("remove", &self.removed), part("downgrade", &self.downgraded)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }
}

/// What apt answered when it was asked for a plan.
pub enum Answer {
    /// The plan, as it printed it.
    Plan(String),
    /// It has none; this is what it said.
    None(String),
}

/// The host's apt, asked but not let loose.
pub trait Asked {
    /// Asks what would be done to install packages: each `name` or `name/release`.
    fn simulate(&self, packages: &[String]) -> Result<Answer>;

    /// Asks which versions of packages there are, and where from.
    fn policy(&self, packages: &[&str]) -> Result<String>;
}

/// Chooses how packages are named to apt, so that nothing is lost; an error says what to type instead.
pub fn choose(apt: &dyn Asked, packages: &[&str]) -> Result<Vec<String>> {
    let plain: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
    let Some(objection) = objection(apt, &plain)? else {
        return Ok(plain);
    };
    let releases = releases(&apt.policy(packages)?);
    for release in releases.values().flatten().collect::<BTreeSet<_>>() {
        let named: Vec<String> = plain
            .iter()
            .map(|package| {
                let name = package.split(':').next().unwrap_or(package);
                match releases.get(name) {
                    Some(known) if known.contains(release) => format!("{package}/{release}"),
                    _ => package.clone(),
                }
            })
            .collect();
        if self::objection(apt, &named)?.is_none() {
            return Ok(named);
        }
    }
    bail!(
        "nothing was installed: {objection}. Setup takes nothing away; see what fits this machine with\n  \
         sudo apt-get install --no-install-recommends {}\nwhich asks before it removes anything, and run `cargo xtask setup` again",
        plain.join(" ")
    )
}

/// Says what speaks against installing packages like this, if anything.
fn objection(apt: &dyn Asked, packages: &[String]) -> Result<Option<String>> {
    match apt.simulate(packages)? {
        Answer::Plan(text) => {
            let plan = parse(&text).with_context(|| format!("apt's plan is not understood:\n{text}"))?;
            Ok(plan.loss().map(|loss| format!("apt would {loss}")))
        }
        Answer::None(said) => {
            let lines = said
                .lines()
                .skip_while(|line| !line.contains("unmet dependencies"));
            let reasons: Vec<&str> = lines
                .skip(1)
                .map(str::trim)
                .filter(|line| !line.starts_with("E:"))
                .collect();
            let why = if reasons.is_empty() {
                said.trim().to_owned()
            } else {
                reasons.join("; ")
            };
            Ok(Some(format!("apt has no way to install them ({why})")))
        }
    }
}

/// Reads a plan as `apt-get --simulate` prints it in English. What is not known for sure is an error.
fn parse(text: &str) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut heading = "";
    let mut lines = text.lines();
    let summary = loop {
        let line = lines.next().context("it has no line of totals")?;
        if let Some(summary) = Summary::parse(line) {
            break summary;
        }
        if line.starts_with(' ') {
            let list = lists.entry(heading).or_default();
            list.extend(line.split_whitespace().map(str::to_owned));
        } else {
            heading = line;
        }
    };
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let mut words = line.split(' ');
        let (action, package) = (words.next(), words.next().context("an action names no package")?);
        match action {
            Some("Inst") => plan.installed.push(package.to_owned()),
            Some("Remv" | "Purg") => plan.removed.push(package.to_owned()),
            Some("Conf") => {}
            _ => bail!("{line:?} is no action of apt's"),
        }
    }
    let downgraded = lists.remove("The following packages will be DOWNGRADED:");
    plan.downgraded = downgraded.unwrap_or_default();
    let counted = (plan.installed.len(), plan.removed.len(), plan.downgraded.len());
    let totals = (summary.unpacked, summary.removed, summary.downgraded);
    if counted != totals {
        bail!(
            "it lists {counted:?} packages to install, remove and downgrade, and its totals are {totals:?}"
        );
    }
    Ok(plan)
}

/// The totals of a plan.
struct Summary {
    unpacked: usize,
    removed: usize,
    downgraded: usize,
}

impl Summary {
    /// Reads `1 upgraded, 6 newly installed, 1 downgraded, 0 to remove and 104 not upgraded.`
    fn parse(line: &str) -> Option<Summary> {
        let line = line.strip_suffix(" not upgraded.")?.replace(" and ", ", ");
        let mut summary = Summary {
            unpacked: 0,
            removed: 0,
            downgraded: 0,
        };
        for part in line.split(", ") {
            let (number, what) = part.split_once(' ').unwrap_or((part, "not upgraded"));
            let number: usize = number.parse().ok()?;
            match what {
                "upgraded" | "newly installed" | "reinstalled" => summary.unpacked += number,
                "downgraded" => {
                    summary.unpacked += number;
                    summary.downgraded += number;
                }
                "to remove" => summary.removed += number,
                "not upgraded" => {}
                _ => return None,
            }
        }
        Some(summary)
    }
}

/// Reads from apt's policy which releases have a package, by package.
fn releases(policy: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut package = "";
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name.split(':').next().unwrap_or(name);
        }
        // `  500 URL RELEASE/COMPONENT ARCHITECTURE Packages`
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, place, _, "Packages"] = words[..]
            && let Some((release, _)) = place.rsplit_once('/')
        {
            all.entry(package.to_owned())
                .or_default()
                .insert(release.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An apt that has qemu-utils from backports, recorded on Debian 12.
    struct Recorded {
        /// What it answers for packages as they are, and what for those of backports.
        plain: Answer,
        backports: Answer,
    }

    const POLICY: &str = include_str!("recorded/backports-policy.txt");
    const UNMET: &str = include_str!("recorded/backports-plain.txt");
    const BACKPORTS: &str = include_str!("recorded/backports-release.txt");
    const REMOVES: &str = include_str!("recorded/removes.txt");
    const DOWNGRADES: &str = include_str!("recorded/downgrades.txt");
    const WANT: [&str; 4] = ["qemu-system-arm", "qemu-system-x86", "qemu-efi-aarch64", "mtools"];

    impl Asked for Recorded {
        fn simulate(&self, packages: &[String]) -> Result<Answer> {
            let plain: &[String] = &WANT.map(str::to_owned);
            let mut backports = plain.to_vec();
            backports[..2]
                .iter_mut()
                .for_each(|package| package.push_str("/bookworm-backports"));
            let answer = match packages {
                asked if asked == plain => &self.plain,
                asked if asked == backports => &self.backports,
                _ => &Answer::None("E: Release 'bookworm' was not found".to_owned()),
            };
            Ok(match answer {
                Answer::Plan(text) => Answer::Plan(text.clone()),
                Answer::None(said) => Answer::None(said.clone()),
            })
        }

        fn policy(&self, packages: &[&str]) -> Result<String> {
            assert_eq!(packages, WANT);
            Ok(POLICY.to_owned())
        }
    }

    fn plan(text: &str) -> Answer {
        Answer::Plan(text.to_owned())
    }

    #[test]
    fn the_release_that_fits_is_preferred_to_a_loss() {
        let unmet = || Answer::None(UNMET.to_owned());
        for plain in [unmet(), plan(REMOVES), plan(DOWNGRADES)] {
            let apt = Recorded {
                plain,
                backports: plan(BACKPORTS),
            };
            let chosen = choose(&apt, &WANT).unwrap();
            assert_eq!(
                chosen,
                [
                    "qemu-system-arm/bookworm-backports",
                    "qemu-system-x86/bookworm-backports",
                    "qemu-efi-aarch64",
                    "mtools"
                ]
            );
        }
        let apt = Recorded {
            plain: plan(BACKPORTS),
            backports: unmet(),
        };
        assert_eq!(
            choose(&apt, &WANT).unwrap(),
            WANT,
            "a plan without loss is taken as it is"
        );
    }

    #[test]
    fn where_nothing_fits_it_says_what_would_be_lost_and_what_to_type() {
        for (plain, reason) in [
            (plan(REMOVES), "apt would remove qemu-utils."),
            (plan(DOWNGRADES), "apt would downgrade qemu-utils."),
            (
                Answer::None(UNMET.to_owned()),
                "(qemu-utils : Breaks: qemu-system-common",
            ),
        ] {
            let apt = Recorded {
                plain,
                backports: plan(REMOVES),
            };
            let error = choose(&apt, &WANT).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            let typed = "sudo apt-get install --no-install-recommends qemu-system-arm qemu-system-x86";
            assert!(error.contains(typed), "{error}");
        }
    }

    #[test]
    fn plans_are_read_whole_or_not_at_all() {
        let read = parse(BACKPORTS).unwrap();
        assert_eq!(read.installed.len(), 7);
        assert_eq!(read.loss(), None);
        assert_eq!(parse(REMOVES).unwrap().removed, ["qemu-utils"]);
        assert_eq!(parse(DOWNGRADES).unwrap().downgraded, ["qemu-utils"]);
        let garbled = [
            String::new(),
            UNMET.to_owned(),
            REMOVES.replace("Remv qemu-utils", "Away qemu-utils"),
            REMOVES.replace("1 to remove", "0 to remove"),
            REMOVES.replace("Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n", ""),
            DOWNGRADES.replace("DOWNGRADED", "zurückgestuft"),
            BACKPORTS.replace("newly installed", "neu"),
        ];
        for (number, text) in garbled.iter().enumerate() {
            assert!(parse(text).is_err(), "{number}");
        }
    }

    #[test]
    fn releases_are_read_from_the_policy() {
        let releases = releases(POLICY);
        let of = |package: &str| releases[package].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("qemu-system-arm"), ["bookworm", "bookworm-backports"]);
        assert_eq!(of("mtools"), ["bookworm"]);
    }
}
