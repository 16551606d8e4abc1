//! What depmod wrote about the modules of one kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use super::pattern::matches;

/// The modules of one kernel.
#[derive(Debug, Default)]
pub struct Index {
    /// By name: the file, and the files it needs, in the order of `modules.dep` (what is needed first stands last).
    modules: BTreeMap<String, (String, Vec<String>)>,
    /// By name: modules that are wanted before it, though it would load without them.
    wanted_before: BTreeMap<String, Vec<String>>,
    built_in: BTreeSet<String>,
    aliases: Vec<(String, String)>,
}

/// The error that a kernel has no such module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("module {0} is not in the image; name it in the board's or an overlay's modules")]
pub struct Missing(pub String);

impl Index {
    /// Reads the texts of `modules.dep`, `.softdep`, `.builtin` and `.alias`. Lines that make no sense are left out.
    pub fn parse(dep: &str, softdep: &str, builtin: &str, alias: &str) -> Self {
        let mut index = Index::default();
        for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
            index
                .modules
                .insert(name_of(file), (file.trim().to_owned(), needs));
        }
        for line in softdep.lines() {
            if let Some((name, before)) = parse_softdep(line) {
                index.wanted_before.entry(name).or_default().extend(before);
            }
        }
        index.built_in = builtin.lines().map(name_of).collect();
        index.aliases = alias.lines().filter_map(parse_alias).collect();
        index
    }

    /// Reads a kernel's module folder. Only `modules.dep` must be there.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let optional = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let dep = fs::read_to_string(folder.join("modules.dep"))?;
        let (softdep, builtin) = (optional("modules.softdep"), optional("modules.builtin"));
        Ok(Index::parse(&dep, &softdep, &builtin, &optional("modules.alias")))
    }

    /// Returns the files to load for a module, in order; none for one that is built in.
    pub fn order(&self, name: &str) -> Result<Vec<&str>, Missing> {
        let name = canonical(name);
        if self.built_in.contains(&name) {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        if !self.modules.contains_key(&name) {
            return Err(Missing(name));
        }
        self.collect(&name, &mut BTreeSet::new(), &mut files);
        Ok(files)
    }

    fn collect<'a>(&'a self, name: &str, seen: &mut BTreeSet<String>, files: &mut Vec<&'a str>) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        for before in self.wanted_before.get(name).into_iter().flatten() {
            self.collect(before, seen, files);
        }
        let Some((file, needs)) = self.modules.get(name) else {
            return;
        };
        for needed in needs.iter().rev() {
            self.collect(&name_of(needed), seen, files);
        }
        files.push(file);
    }

    /// Returns the names of the modules that say they are for a device or a purpose.
    pub fn by_alias(&self, alias: &str) -> Vec<&str> {
        let fitting = self.aliases.iter().filter(|(pattern, _)| matches(pattern, alias));
        fitting.map(|(_, name)| name.as_str()).collect()
    }

    /// Returns true if there is a module of this name, built in or not.
    pub fn knows(&self, name: &str) -> bool {
        let name = canonical(name);
        self.built_in.contains(&name) || self.modules.contains_key(&name)
    }
}

/// Reads `softdep NAME pre: A B post: C`. What is wanted after it is loaded when something asks for it.
fn parse_softdep(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split_ascii_whitespace();
    let name = words
        .next()
        .filter(|word| *word == "softdep")
        .and_then(|_| words.next())?;
    let before = words
        .skip_while(|word| *word != "pre:")
        .skip(1)
        .take_while(|word| *word != "post:");
    Some((canonical(name), before.map(canonical).collect()))
}

/// `alias PATTERN NAME`.
fn parse_alias(line: &str) -> Option<(String, String)> {
    let mut words = line.split_ascii_whitespace();
    let pattern = words
        .next()
        .filter(|word| *word == "alias")
        .and_then(|_| words.next())?;
    Some((pattern.to_owned(), canonical(words.next()?)))
}

/// Returns a module's name from its file's path.
fn name_of(file: &str) -> String {
    let base = file.trim().rsplit('/').next().unwrap_or_default();
    canonical(base.split_once(".ko").map_or(base, |(name, _)| name))
}

/// Returns the name that a module is compared by: the kernel takes both marks for the same.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEP: &str = "\
kernel/fs/overlayfs/overlay.ko:
kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-mod.ko.xz:
kernel/crypto/sha256.ko:
";

    fn index() -> Index {
        Index::parse(
            DEP,
            "softdep dm_verity pre: sha256 nothere post: overlay",
            "kernel/fs/ext4/ext4.ko",
            "",
        )
    }

    #[test]
    fn needed_first_wanted_before_that_built_in_never() {
        let order = index()
            .order("dm-verity")
            .map(|files| files.iter().map(|file| name_of(file)).collect::<Vec<_>>());
        assert_eq!(order.unwrap(), ["sha256", "dm_mod", "dm_bufio", "dm_verity"]);
        assert_eq!(index().order("ext4"), Ok(vec![]));
        let error = index().order("zfs").unwrap_err().to_string();
        assert_eq!(
            error,
            "module zfs is not in the image; name it in the board's or an overlay's modules"
        );
        assert!(index().knows("dm_mod") && index().knows("ext4") && !index().knows("zfs"));
    }

    #[test]
    fn a_circle_ends() {
        let index = Index::parse("a.ko: b.ko\nb.ko: a.ko\n", "softdep a pre: a", "", "");
        assert_eq!(index.order("a").unwrap(), ["b.ko", "a.ko"]);
    }

    #[test]
    fn devices_find_their_modules() {
        let alias =
            "# comment\nalias pci:v00001AF4d00001000sv*sd*bc*sc*i* virtio-net\nalias fs-overlay overlay\n";
        let index = Index::parse("", "", "", alias);
        assert_eq!(
            index.by_alias("pci:v00001AF4d00001000sv0sd1bc02sc00i00"),
            ["virtio_net"]
        );
        assert_eq!(index.by_alias("fs-overlay"), ["overlay"]);
        assert!(index.by_alias("usb:x").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(dep in ".*", softdep in ".*", alias in ".*", name in ".*") {
            let index = Index::parse(&dep, &softdep, &dep, &alias);
            let _ = index.order(&name);
            let _ = index.by_alias(&name);
        }

        #[test]
        fn everything_needed_comes_before(edges in proptest::collection::vec((0u8..20, 0u8..20), 0..60)) {
            // Edges from higher to lower numbers only: no circles.
            let mut dep = String::new();
            for module in 0..20u8 {
                let needs: Vec<String> =
                    edges.iter().filter(|(from, to)| *from == module && to < from).map(|(_, to)| format!("m{to}.ko")).collect();
                dep.push_str(&format!("m{module}.ko: {}\n", needs.join(" ")));
            }
            let index = Index::parse(&dep, "", "", "");
            let order = index.order("m19").unwrap();
            for (from, to) in edges.iter().filter(|(from, to)| to < from) {
                let place = |module: &u8| order.iter().position(|file| *file == format!("m{module}.ko"));
                if let Some(from) = place(from) {
                    prop_assert!(place(to).unwrap() < from);
                }
            }
        }
    }
}
