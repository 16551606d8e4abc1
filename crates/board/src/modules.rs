//! Kernel modules: by the time they are needed, by name, and in lists that boards share.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::names::{ModuleName, Name};

/// Kernel modules by the time they are needed. Their dependencies are added automatically.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Modules {
    /// Loaded in the initramfs, before the disk is opened: what the board needs to see its disk.
    pub early: Vec<ModuleEntry>,
    /// Loaded by machined when it starts.
    pub autoload: Vec<ModuleEntry>,
    /// Present in the root, loaded when a device or a machine config asks for them.
    pub available: Vec<ModuleEntry>,
}

/// An entry of a list of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ModuleEntry {
    /// A module that the kernel must have, as a module or built in.
    Module(ModuleName),
    /// A module that is left out where the kernel does not have it.
    Optional {
        /// The module.
        optional: ModuleName,
    },
    /// The modules of a file in `boards/modules`.
    List {
        /// The list's name.
        list: Name,
    },
}

impl<'de> Deserialize<'de> for ModuleEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = ModuleEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a module name, `list: NAME` or `optional: MODULE`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ModuleEntry, E> {
        text.parse().map(ModuleEntry::Module).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModuleEntry, A::Error> {
        const FIELDS: &[&str] = &["list", "optional"];
        let key: Option<String> = map.next_key()?;
        let entry = match key.as_deref() {
            Some("list") => ModuleEntry::List {
                list: map.next_value()?,
            },
            Some("optional") => ModuleEntry::Optional {
                optional: map.next_value()?,
            },
            Some(other) => return Err(de::Error::unknown_field(other, FIELDS)),
            None => return Err(de::Error::custom("an entry is empty; name a module")),
        };
        match map.next_key::<String>()? {
            None => Ok(entry),
            Some(more) => Err(de::Error::custom(format!(
                "an entry has one field; give {more:?} an entry of its own"
            ))),
        }
    }
}

/// A module that an image asks its kernel for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedModule {
    /// The module.
    pub name: ModuleName,
    /// Set when the kernel may do without it.
    pub optional: bool,
}

/// The modules that an image asks its kernel for, with the lists' modules in their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedModules {
    /// Loaded in the initramfs.
    pub early: Vec<WantedModule>,
    /// Loaded by machined when it starts.
    pub autoload: Vec<WantedModule>,
    /// Present in the root.
    pub available: Vec<WantedModule>,
}

/// The reason why a list of modules cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListFault {
    /// There is no such list.
    Unknown(Name),
    /// A list has itself among its entries, at whatever depth.
    Loop(Name),
}

impl WantedModules {
    /// Puts the modules of lists in the lists' places; `find` gives the entries of a list.
    pub(crate) fn expand<'a>(
        modules: &'a Modules,
        find: &impl Fn(&str) -> Option<&'a [ModuleEntry]>,
    ) -> Result<WantedModules, ListFault> {
        let expanded = |entries: &'a [ModuleEntry]| {
            let mut wanted = Vec::new();
            expand(entries, find, &mut Vec::new(), &mut wanted).map(|()| wanted)
        };
        Ok(WantedModules {
            early: expanded(&modules.early)?,
            autoload: expanded(&modules.autoload)?,
            available: expanded(&modules.available)?,
        })
    }
}

fn expand<'a>(
    entries: &'a [ModuleEntry],
    find: &impl Fn(&str) -> Option<&'a [ModuleEntry]>,
    open: &mut Vec<&'a str>,
    wanted: &mut Vec<WantedModule>,
) -> Result<(), ListFault> {
    for entry in entries {
        match entry {
            ModuleEntry::Module(name) => add(wanted, name, false),
            ModuleEntry::Optional { optional } => add(wanted, optional, true),
            ModuleEntry::List { list } => {
                if open.contains(&list.as_str()) {
                    return Err(ListFault::Loop(list.clone()));
                }
                let entries = find(list.as_str()).ok_or_else(|| ListFault::Unknown(list.clone()))?;
                open.push(list.as_str());
                expand(entries, find, open, wanted)?;
                open.pop();
            }
        }
    }
    Ok(())
}

/// Adds a module once; where one entry needs it and another would do without it, it is needed.
fn add(wanted: &mut Vec<WantedModule>, name: &ModuleName, optional: bool) {
    match wanted.iter_mut().find(|known| known.name == *name) {
        Some(known) => known.optional &= optional,
        None => wanted.push(WantedModule {
            name: name.clone(),
            optional,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<ModuleEntry> {
        yaml::from_str(text).unwrap()
    }

    fn shown(wanted: &[WantedModule]) -> Vec<String> {
        let sign = |module: &WantedModule| if module.optional { "?" } else { "" };
        wanted
            .iter()
            .map(|module| format!("{}{}", module.name, sign(module)))
            .collect()
    }

    #[test]
    fn a_list_stands_for_its_modules_where_it_is_named() {
        let usb = parse("[xhci-pci, {list: storage}, {optional: uas}]");
        let storage = parse("[sd_mod, usb_storage]");
        let find = |name: &str| match name {
            "usb" => Some(usb.as_slice()),
            "storage" => Some(storage.as_slice()),
            _ => None,
        };
        let modules = Modules {
            early: parse("[wdt, {list: usb}, nvme, uas]"),
            available: parse("[{optional: rare}, {list: storage}]"),
            ..Modules::default()
        };
        let wanted = WantedModules::expand(&modules, &find).unwrap();
        let early = ["wdt", "xhci_pci", "sd_mod", "usb_storage", "uas", "nvme"];
        assert_eq!(shown(&wanted.early), early);
        assert_eq!(shown(&wanted.available), ["rare?", "sd_mod", "usb_storage"]);
    }

    #[test]
    fn a_list_that_is_not_there_or_in_itself_is_named() {
        let own = parse("[{list: own}]");
        for (entries, expected) in [
            ("[{list: absent}]", ListFault::Unknown("absent".parse().unwrap())),
            ("[{list: own}]", ListFault::Loop("own".parse().unwrap())),
        ] {
            let modules = Modules {
                early: parse(entries),
                ..Modules::default()
            };
            let find = |name: &str| (name == "own").then_some(own.as_slice());
            assert_eq!(WantedModules::expand(&modules, &find), Err(expected));
        }
    }

    #[test]
    fn an_entry_says_one_thing() {
        for (text, expected) in [
            ("[{lsit: a}]", "unknown field, did you mean \"list\"?"),
            ("[{list: a, optional: b}]", "one field"),
            ("[{}]", "name a module"),
            ("[a.ko]", "not a kernel module name"),
            ("[7]", "a module name, `list: NAME` or `optional: MODULE`"),
        ] {
            let error = yaml::from_str::<Vec<ModuleEntry>>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
