//! The machine config of each row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use machine_config::Overrides;
use machine_config::patch::{Patch, PatchError, apply};
use text::LoadError;
use yaml::{Fault, Value};
use zeroize::Zeroizing;

use super::document::{Fleet, Row};
use super::error::FleetError;
use crate::config::{ConfigError, Injected};

/// A row with everything that its card gets.
pub(super) struct Entry {
    pub row: Row,
    pub config: Injected,
}

/// Makes the machine config of each row, and checks it as a whole. Paths in the fleet's file start from its folder.
pub(super) fn entries(path: &Path, fleet: Fleet, default: Option<&Path>) -> Result<Vec<Entry>, FleetError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let of_all = fleet.config.map(|file| folder.join(file));
    let of_all = of_all.or_else(|| default.map(Path::to_owned));
    let mut texts = Texts::default();
    let mut entry = |mut row: Row| -> Result<Entry, FleetError> {
        let own = row.config.as_ref().map(|file| folder.join(file));
        let file = own
            .or_else(|| of_all.clone())
            .ok_or_else(|| FleetError::NoConfig {
                path: path.into(),
                line: row.line,
                hostname: row.hostname.clone(),
            })?;
        let text = texts.load(&file)?;
        let patch = match row.patch.take() {
            Some((place, node)) => Some(patch(path, folder, &place, node)?),
            None => None,
        };
        let config = config(path, &row, &file, text, patch)?;
        Ok(Entry { row, config })
    };
    fleet.rows.into_iter().map(&mut entry).collect()
}

/// Returns the files that the configs were read from: the targets must be others.
pub(super) fn inputs(path: &Path, fleet: &Fleet) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let rows = fleet.rows.iter().filter_map(|row| row.config.as_ref());
    let named = fleet.config.iter().chain(rows).map(|file| folder.join(file));
    std::iter::once(path.to_owned()).chain(named).collect()
}

/// Configs that many rows share are read once.
#[derive(Default)]
struct Texts(BTreeMap<PathBuf, Zeroizing<String>>);

impl Texts {
    fn load(&mut self, path: &Path) -> Result<Zeroizing<String>, FleetError> {
        if let Some(text) = self.0.get(path) {
            return Ok(text.clone());
        }
        let text = load(path)?;
        self.0.insert(path.to_owned(), text.clone());
        Ok(text)
    }
}

fn load(path: &Path) -> Result<Zeroizing<String>, FleetError> {
    text::load(path, machine_config::LIMIT).map_err(|source| match source {
        LoadError::Text(error) => FleetError::Faulty {
            path: path.into(),
            fault: Fault::at(error.line(), error.message()),
        },
        source => FleetError::Read {
            path: path.into(),
            source,
        },
    })
}

/// Reads a patch: a tree in the fleet's file, or a text, by the grammar of `--config-patch`: `@FILE`, or the patch itself.
fn patch(path: &Path, folder: &Path, place: &str, node: yaml::Node) -> Result<(PathBuf, Patch), FleetError> {
    let Value::Scalar(scalar) = &node.value else {
        let patch = Patch::from_node(node).map_err(|fault| FleetError::Faulty {
            path: path.into(),
            fault: Fault {
                path: within(place, &fault.path),
                ..fault
            },
        })?;
        return Ok((path.into(), patch));
    };
    if let Some(file) = scalar.text.strip_prefix('@') {
        let file = folder.join(file);
        let patch = Patch::parse(&load(&file)?).map_err(|fault| FleetError::Faulty {
            path: file.clone(),
            fault,
        })?;
        return Ok((file, patch));
    }
    // Its lines are not those of the file: a text in a block has lost them.
    let patch = Patch::parse(&scalar.text).map_err(|fault| FleetError::Faulty {
        path: path.into(),
        fault: Fault {
            line: node.line,
            path: within(place, &fault.path),
            message: fault.message,
        },
    })?;
    Ok((path.into(), patch))
}

/// Joins the place of a patch and a path in it.
fn within(place: &str, path: &str) -> String {
    match path {
        "" => place.to_owned(),
        path if path.starts_with('[') => format!("{place}{path}"),
        path => format!("{place}.{path}"),
    }
}

/// Applies patch, hostname and address of a row to a config, and checks the result.
fn config(
    path: &Path,
    row: &Row,
    file: &Path,
    text: Zeroizing<String>,
    patch: Option<(PathBuf, Patch)>,
) -> Result<Injected, FleetError> {
    let of_row = |what, faults| FleetError::Row {
        path: path.into(),
        line: row.line,
        hostname: row.hostname.clone(),
        what,
        faults,
    };
    let is_patched = patch.is_some();
    let text = match patch {
        None => text,
        Some((place, patch)) => apply(&text, &[patch]).map_err(|error| match error {
            PatchError::Config(fault) => FleetError::Faulty {
                path: file.into(),
                fault,
            },
            PatchError::Patch { fault, .. } => FleetError::Faulty { path: place, fault },
        })?,
    };
    let overrides = Overrides {
        hostname: Some(row.hostname.clone()),
        interface: row.interface.clone(),
        address: row.address,
        gateway: row.gateway,
    };
    Injected::parse(file, text, &overrides).map_err(|error| match error {
        ConfigError::Override(faults) => of_row("hostname, address, gateway or interface", faults),
        ConfigError::Faulty { faults, .. } if is_patched => of_row("configPatch", faults),
        source => FleetError::Config {
            path: path.into(),
            line: row.line,
            hostname: row.hostname.clone(),
            source,
        },
    })
}
