//! Kernel modules: finds them in a kernel package, with what they need, and writes the lists that loaders read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use board::{KernelArgument, ModuleName, WantedModule};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use crate::packages::deb::Files;
use crate::tree::Node;

/// A fault of finding modules.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The package is not one with a kernel in it.
    #[error("package {package:?} has no {what}: it is not a kernel package")]
    NoKernel {
        /// The package.
        package: String,
        /// What is missing.
        what: &'static str,
    },
    /// No such module.
    #[error("kernel {version} has no module {name:?}{}", wanted_by.as_deref().map(|by| format!(", which {by:?} needs")).unwrap_or_default())]
    NoModule {
        /// The kernel's version.
        version: String,
        /// The module.
        name: String,
        /// The module that needs it.
        wanted_by: Option<String>,
    },
    /// The board's kernel will refuse modules that the image brings.
    #[error(
        "the kernel argument {argument} lets signed modules in only, and these of the kernel package are not signed: {}; \
         use a package with signed modules, or take the argument out of the board and its overlays", modules.join(", ")
    )]
    Unsigned {
        /// The argument.
        argument: String,
        /// The modules.
        modules: Vec<String>,
    },
    /// A module is not one.
    #[error("module {path} cannot be read: {why}")]
    Broken {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

/// A module as it goes into an image: unpacked, so that blocks of two releases can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path below `/usr/lib/modules/VERSION`, ending in `.ko`.
    pub path: String,
    /// The file.
    pub data: Vec<u8>,
    /// Names of the modules it needs.
    depends: Vec<String>,
    /// Names of devices and the like that it serves.
    aliases: Vec<String>,
}

/// The modules of one kernel package.
pub struct Kernel<'a> {
    version: String,
    files: &'a Files,
    paths: BTreeMap<String, &'a str>,
    builtin: BTreeSet<String>,
}

/// Modules by name, each with everything it needs.
pub type Chosen = BTreeMap<String, Module>;

impl<'a> Kernel<'a> {
    /// Looks through a kernel package.
    pub fn open(package: &str, files: &'a Files) -> Result<Kernel<'a>, ModuleError> {
        let missing = |what| ModuleError::NoKernel {
            package: package.to_owned(),
            what,
        };
        let version = files
            .keys()
            .find_map(|path| path.strip_prefix("usr/lib/modules/")?.strip_suffix("/kernel"))
            .ok_or_else(|| missing("folder of modules"))?
            .to_owned();
        let root = format!("usr/lib/modules/{version}/");
        let modules = files
            .keys()
            .filter(|path| path.starts_with(&root) && path.contains(".ko"));
        let paths = modules.map(|path| (name_of(path), path.as_str())).collect();
        let builtin = match files.get(&format!("{root}modules.builtin")) {
            Some(Node::File { data, .. }) => String::from_utf8_lossy(data).lines().map(name_of).collect(),
            _ => return Err(missing("modules.builtin")),
        };
        Ok(Kernel {
            version,
            files,
            paths,
            builtin,
        })
    }

    /// Returns the kernel's version: the name of its folder of modules.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the kernel itself.
    pub fn image(&self) -> Option<&'a [u8]> {
        let version = &self.version;
        let places = [
            format!("boot/vmlinuz-{version}"),
            format!("usr/lib/modules/{version}/vmlinuz"),
        ];
        places.iter().find_map(|place| match self.files.get(place) {
            Some(Node::File { data, .. }) => Some(data.as_slice()),
            _ => None,
        })
    }

    /// Lists the package's device trees, by their path below its folder of trees.
    pub fn device_trees(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let version = &self.version;
        let folders = [
            format!("usr/lib/linux-image-{version}/"),
            format!("usr/lib/modules/{version}/dtb/"),
        ];
        self.files.iter().filter_map(move |(path, node)| match node {
            Node::File { data, .. } => {
                let path = folders.iter().find_map(|folder| path.strip_prefix(folder))?;
                Some((path, data.as_slice()))
            }
            _ => None,
        })
    }

    /// Tells whether the kernel has a module, or has it built in.
    pub fn has(&self, name: &ModuleName) -> bool {
        self.paths.contains_key(name.as_str()) || self.builtin.contains(name.as_str())
    }

    /// Adds modules and all that they need to `chosen`. A module built into the kernel counts as present; an optional one that
    /// the kernel does not have is left out.
    pub fn choose(&self, wanted: &[WantedModule], chosen: &mut Chosen) -> Result<(), ModuleError> {
        let wanted = wanted
            .iter()
            .filter(|module| !module.optional || self.has(&module.name));
        let mut open: Vec<(String, Option<String>)> =
            wanted.map(|module| (module.name.to_string(), None)).collect();
        while let Some((name, wanted_by)) = open.pop() {
            if chosen.contains_key(&name) || self.builtin.contains(&name) {
                continue;
            }
            let Some(path) = self.paths.get(&name) else {
                return Err(ModuleError::NoModule {
                    version: self.version.clone(),
                    name,
                    wanted_by,
                });
            };
            let module = self.read(path)?;
            open.extend(
                module
                    .depends
                    .iter()
                    .map(|need| (need.clone(), Some(name.clone()))),
            );
            chosen.insert(name, module);
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Module, ModuleError> {
        let broken = |why: String| ModuleError::Broken {
            path: path.to_owned(),
            why,
        };
        let Some(Node::File { data, .. }) = self.files.get(path) else {
            return Err(broken("not a file".into()));
        };
        let end = path.find(".ko").expect("only paths with .ko are listed") + 3;
        let data = unpack(&path[end..], data).map_err(|error| broken(error.to_string()))?;
        let info = modinfo(&data).ok_or_else(|| broken("no .modinfo section".into()))?;
        let values = |key: &'static str| {
            info.iter()
                .filter(move |(name, _)| name == key)
                .map(|(_, value)| value.clone())
        };
        let depends = values("depends").flat_map(|value| value.split(',').map(name_of).collect::<Vec<_>>());
        let root = format!("usr/lib/modules/{}/", self.version);
        Ok(Module {
            path: path[..end].strip_prefix(&root).unwrap_or(path).to_owned(),
            depends: depends.filter(|name| !name.is_empty()).collect(),
            aliases: values("alias").collect(),
            data,
        })
    }
}

/// The bytes behind a module's signature, at the end of its file.
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Kernel arguments by which modules need a signature.
const NEED_SIGNATURES: [&str; 3] = [
    "module.sig_enforce=1",
    "lockdown=integrity",
    "lockdown=confidentiality",
];

/// Refuses modules without a signature where the kernel is told to refuse them: that node would not find its disk.
pub fn check_signatures(arguments: &[KernelArgument], chosen: &Chosen) -> Result<(), ModuleError> {
    let argument = arguments
        .iter()
        .find(|argument| NEED_SIGNATURES.contains(&argument.as_str()));
    let Some(argument) = argument else { return Ok(()) };
    let unsigned = chosen.iter().filter(|(_, module)| !module.data.ends_with(SIGNED));
    let modules: Vec<String> = unsigned.map(|(name, _)| name.clone()).collect();
    if modules.is_empty() {
        Ok(())
    } else {
        Err(ModuleError::Unsigned {
            argument: argument.to_string(),
            modules,
        })
    }
}

/// Writes `modules.dep`: per module everything it needs, what must be loaded first coming last.
pub fn modules_dep(chosen: &Chosen) -> String {
    let mut text = String::new();
    for (name, module) in chosen {
        let mut order = Vec::new();
        visit(name, chosen, &mut order);
        order.pop();
        let needs: String = order
            .iter()
            .rev()
            .map(|need| format!(" {}", chosen[need.as_str()].path))
            .collect();
        text.push_str(&format!("{}:{needs}\n", module.path));
    }
    text
}

/// Writes `modules.alias`: which module serves which device.
pub fn modules_alias(chosen: &Chosen) -> String {
    let lines = chosen.iter().flat_map(|(name, module)| {
        module
            .aliases
            .iter()
            .map(move |alias| format!("alias {alias} {name}\n"))
    });
    lines.collect()
}

/// Visits what a module needs before the module itself.
fn visit(name: &str, chosen: &Chosen, order: &mut Vec<String>) {
    if order.iter().any(|seen| seen == name) {
        return;
    }
    let Some(module) = chosen.get(name) else { return };
    for need in &module.depends {
        visit(need, chosen, order);
    }
    order.push(name.to_owned());
}

/// Returns a module's name: that of its file, without endings, with `_` for `-`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn unpack(ending: &str, data: &[u8]) -> std::io::Result<Vec<u8>> {
    match ending {
        "" => Ok(data.to_vec()),
        ".xz" => {
            let mut raw = Vec::new();
            liblzma::read::XzDecoder::new(data).read_to_end(&mut raw)?;
            Ok(raw)
        }
        ".zst" => zstd::decode_all(data),
        other => Err(std::io::Error::other(format!(
            "packed as {other:?}, which is not known"
        ))),
    }
}

fn modinfo(data: &[u8]) -> Option<Vec<(String, String)>> {
    let file = ElfFile64::<object::LittleEndian>::parse(data).ok()?;
    let section = file.section_by_name(".modinfo")?.data().ok()?;
    let entries = section.split(|byte| *byte == 0).filter_map(|entry| {
        let (key, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    Some(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str, depends: &[&str], aliases: &[&str]) -> Module {
        let own = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Module {
            path: path.into(),
            data: vec![],
            depends: own(depends),
            aliases: own(aliases),
        }
    }

    #[test]
    fn what_is_loaded_first_comes_last() {
        let chosen = Chosen::from([
            (
                "ext4".to_owned(),
                module("kernel/fs/ext4.ko", &["mbcache", "jbd2"], &["fs-ext4"]),
            ),
            ("jbd2".to_owned(), module("kernel/fs/jbd2.ko", &["crc"], &[])),
            ("mbcache".to_owned(), module("kernel/fs/mbcache.ko", &[], &[])),
            ("crc".to_owned(), module("kernel/lib/crc.ko", &[], &[])),
        ]);
        let text = modules_dep(&chosen);
        assert!(
            text.contains("kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/lib/crc.ko kernel/fs/mbcache.ko\n"),
            "{text}"
        );
        assert!(text.contains("kernel/lib/crc.ko:\n"));
        assert_eq!(modules_alias(&chosen), "alias fs-ext4 ext4\n");
    }

    #[test]
    fn modules_without_a_signature_are_refused_where_the_kernel_would() {
        let signed = |data: &[u8]| Module {
            data: data.to_vec(),
            ..module("kernel/a.ko", &[], &[])
        };
        let with = signed(b"\x7fELF and the signature~Module signature appended~\n");
        let stripped = signed(b"\x7fELF");
        let arguments = |text: &str| vec![text.parse::<KernelArgument>().unwrap()];
        let chosen = Chosen::from([("a".to_owned(), with.clone()), ("b".to_owned(), with.clone())]);
        let broken = Chosen::from([("a".to_owned(), with), ("b".to_owned(), stripped)]);
        for argument in NEED_SIGNATURES {
            check_signatures(&arguments(argument), &chosen).unwrap();
            let error = check_signatures(&arguments(argument), &broken).unwrap_err();
            let expected = format!(
                "the kernel argument {argument} lets signed modules in only, and these of the kernel package are not \
                 signed: b; use a package with signed modules, or take the argument out of the board and its overlays"
            );
            assert_eq!(error.to_string(), expected);
        }
        check_signatures(&arguments("lockdown=none"), &broken).unwrap();
    }

    #[test]
    fn names_are_those_of_the_kernel() {
        assert_eq!(
            name_of("kernel/drivers/mmc/host/sdhci-iproc.ko.xz"),
            "sdhci_iproc"
        );
        assert_eq!(name_of("crc32c_generic"), "crc32c_generic");
    }

    #[test]
    fn a_module_that_is_not_there_says_who_wants_it() {
        let files = Files::from([
            ("usr/lib/modules/6.1/kernel".to_owned(), Node::Directory),
            (
                "usr/lib/modules/6.1/modules.builtin".to_owned(),
                Node::text("kernel/fs/built-in.ko\n"),
            ),
        ]);
        let kernel = Kernel::open("linux", &files).unwrap();
        let wanted = |name: &str, optional| WantedModule {
            name: name.parse().unwrap(),
            optional,
        };
        let mut chosen = Chosen::new();
        kernel
            .choose(&[wanted("built-in", false), wanted("ext5", true)], &mut chosen)
            .unwrap();
        assert!(chosen.is_empty());
        let error = kernel.choose(&[wanted("ext5", false)], &mut chosen).unwrap_err();
        assert_eq!(error.to_string(), "kernel 6.1 has no module \"ext5\"");
        assert!(Kernel::open("x", &Files::new()).is_err());
    }
}
