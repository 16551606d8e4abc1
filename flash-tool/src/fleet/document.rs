//! The file `fleet.yaml`: one row a card.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::Hash;
use std::net::IpAddr;
use std::path::PathBuf;

use machine_config::value::{HostName, InterfaceName, IpPrefix};
use serde::Deserialize;
use yaml::{Fault, Node, Scalar, Value};

/// The version of the document.
pub const API_VERSION: &str = machine_config::v1alpha1::API_VERSION;
/// Its kind.
pub const KIND: &str = "Fleet";

/// The longest file, in bytes.
pub const LIMIT: usize = 1024 * 1024;
/// The most rows.
const ROWS: usize = 1000;
/// The longest serial number, port or label, in bytes.
const TEXT: usize = 128;
/// The most labels of a row.
const LABELS: usize = 32;

/// A fleet whose rows do not contradict each other.
#[derive(Debug)]
pub struct Fleet {
    /// The machine config of rows that name none.
    pub config: Option<PathBuf>,
    /// The rows, in the order of the file.
    pub rows: Vec<Row>,
}

/// What one card gets.
#[derive(Debug)]
pub struct Row {
    /// The line it begins on.
    pub line: usize,
    /// The node's name, which also names the row.
    pub hostname: HostName,
    /// The node's only static address, instead of DHCP.
    pub address: Option<IpPrefix>,
    /// The gateway for it.
    pub gateway: Option<IpAddr>,
    /// The interface for both.
    pub interface: Option<InterfaceName>,
    /// Its machine config, if it is not that of the fleet.
    pub config: Option<PathBuf>,
    /// A patch of the machine config, and the path of it in the document.
    pub patch: Option<(String, Node)>,
    /// The card that it is for; any if it says nothing.
    pub wants: Wants,
    /// What the receipt repeats.
    pub labels: BTreeMap<String, String>,
}

/// What a row says of its card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The serial number of the card, or of the reader where cards do not show theirs.
    pub serial: Option<String>,
    /// The USB port that the card's reader is plugged into.
    pub port: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawFleet {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    config: Option<String>,
    interface: Option<InterfaceName>,
    gateway: Option<IpAddr>,
    cards: Vec<RawRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRow {
    hostname: HostName,
    address: Option<IpPrefix>,
    gateway: Option<IpAddr>,
    interface: Option<InterfaceName>,
    config: Option<String>,
    /// Taken out of the tree before: a patch is a tree of its own.
    #[serde(rename = "configPatch")]
    _config_patch: Option<()>,
    serial: Option<String>,
    port: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Reads the text of a fleet.
///
/// # Errors
///
/// The first fault, with its line and path: what is not YAML or not of this form, and two rows that contradict each other.
pub fn parse(text: &str) -> Result<Fleet, Fault> {
    if text.len() > LIMIT {
        let message = format!("the file has {} bytes; at most {LIMIT} are allowed", text.len());
        return Err(Fault::at(0, message));
    }
    let mut root = yaml::read(text)?;
    if let Some(fault) = yaml::wrong_header(&root, API_VERSION, KIND).into_iter().next() {
        return Err(fault);
    }
    let mut patches = take_patches(&mut root);
    let raw: RawFleet = yaml::from_node(&root)?;
    let nodes = root
        .entry("cards")
        .and_then(|(_, cards)| cards.items().ok())
        .unwrap_or_default();
    if raw.cards.is_empty() || raw.cards.len() > ROWS {
        let message = match raw.cards.len() {
            0 => "lists no card; each row begins with `- hostname: NAME`".to_owned(),
            rows => format!("has {rows} rows; at most {ROWS} are allowed: divide the fleet"),
        };
        let line = root.entry("cards").map_or(root.line, |(key, _)| key.line);
        return Err(Fault {
            line,
            path: "cards".into(),
            message,
        });
    }
    let rows = raw.cards.into_iter().zip(nodes).enumerate();
    let rows: Vec<Row> = rows
        .map(|(index, (row, node))| {
            check_texts(index, &row, node)?;
            Ok(Row {
                line: node.line,
                hostname: row.hostname,
                // What the fleet says of all is for rows that have an address.
                gateway: row.gateway.or(row.address.and(raw.gateway)),
                interface: row.interface.or(row.address.and(raw.interface.clone())),
                address: row.address,
                config: row.config.map(PathBuf::from),
                patch: patches
                    .remove(&index)
                    .map(|patch| (format!("cards[{index}].configPatch"), patch)),
                wants: Wants {
                    serial: row.serial,
                    port: row.port,
                },
                labels: row.labels,
            })
        })
        .collect::<Result<_, Fault>>()?;
    distinct(&rows, nodes, "hostname", |row| {
        Some(row.hostname.as_str().to_ascii_lowercase())
    })?;
    distinct(&rows, nodes, "address", |row| {
        row.address.map(|address| address.address)
    })?;
    distinct(&rows, nodes, "serial", |row| {
        row.wants.serial.as_ref().map(|serial| serial.to_lowercase())
    })?;
    Ok(Fleet {
        config: raw.config.map(PathBuf::from),
        rows,
    })
}

/// Takes the patches out of the tree, by the number of their row.
fn take_patches(root: &mut Node) -> HashMap<usize, Node> {
    let mut patches = HashMap::new();
    let Value::Map(entries) = &mut root.value else {
        return patches;
    };
    let cards = entries.iter_mut().filter(|(key, _)| key.name == "cards");
    let rows = cards.filter_map(|(_, node)| match &mut node.value {
        Value::List(rows) => Some(rows),
        _ => None,
    });
    for (index, row) in rows.flatten().enumerate() {
        let Value::Map(fields) = &mut row.value else {
            continue;
        };
        for (_, node) in fields.iter_mut().filter(|(key, _)| key.name == "configPatch") {
            if !node.is_null() {
                let nothing = Node {
                    line: node.line,
                    value: Value::Scalar(Scalar {
                        text: String::new().into(),
                        plain: true,
                    }),
                };
                patches.insert(index, std::mem::replace(node, nothing));
            }
        }
    }
    patches
}

/// Checks what is printed or compared and has no type of its own.
fn check_texts(index: usize, row: &RawRow, node: &Node) -> Result<(), Fault> {
    let texts = [("serial", row.serial.as_deref()), ("port", row.port.as_deref())];
    let labels = row
        .labels
        .iter()
        .flat_map(|(name, value)| [("labels", Some(name.as_str())), ("labels", Some(value.as_str()))]);
    let wrong = texts
        .into_iter()
        .chain(labels)
        .find(|(name, text)| text.is_some_and(|text| !is_printable(name, text)));
    let fault = |name: &str, message: String| Fault {
        line: node.entry(name).map_or(node.line, |(key, _)| key.line),
        path: format!("cards[{index}].{name}"),
        message,
    };
    if let Some((name, _)) = wrong {
        let message = format!("expected 1 to {TEXT} bytes of text without control characters");
        return Err(fault(name, message));
    }
    if row.labels.len() > LABELS {
        return Err(fault("labels", format!("at most {LABELS} labels are allowed")));
    }
    Ok(())
}

/// Returns true for what can be shown on one line; the value of a label may be empty.
fn is_printable(name: &str, text: &str) -> bool {
    (!text.is_empty() || name == "labels") && text.len() <= TEXT && !text.chars().any(char::is_control)
}

/// Refuses two rows with the same value of a field, and names both lines.
fn distinct<K: Hash + Eq + Display>(
    rows: &[Row],
    nodes: &[Node],
    field: &str,
    key: impl Fn(&Row) -> Option<K>,
) -> Result<(), Fault> {
    let mut seen: HashMap<K, usize> = HashMap::new();
    for (index, (row, node)) in rows.iter().zip(nodes).enumerate() {
        let Some(key) = key(row) else { continue };
        let line = node.entry(field).map_or(row.line, |(key, _)| key.line);
        if let Some(first) = seen.get(&key) {
            return Err(Fault {
                line,
                path: format!("cards[{index}].{field}"),
                message: format!("{key} is listed twice; first on line {first}"),
            });
        }
        seen.insert(key, line);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
