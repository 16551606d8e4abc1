//! A config at an address: `bedplate.config=https://boards.example.org/${mac}.yaml`.
//!
//! | placeholder | what stands there |
//! |---|---|
//! | `${mac}` | the hardware address of the first Ethernet interface that has a cable: `02:00:00:00:00:01` |
//! | `${uuid}` | the machine's UUID, as its firmware tells it |
//! | `${serial}` | the machine's serial number, as its firmware or device tree tells it |
//!
//! An `https` server is checked against the public authorities. With `http` whoever is on the way can give the node a config of theirs,
//! as they can in maintenance mode: use it on networks that you trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use http::StatusCode;
use remote::{Cause, Error, Options, read_small};
use state::kinds::{LinkKind, LinkStatus};
use state::{Store, chain};

use super::Platform;

/// How long each step of a request may take.
const STEP: Duration = Duration::from_secs(15);
/// Files that tell the machine's UUID and serial number, the first that there is.
const UUID: &[&str] = &["sys/class/dmi/id/product_uuid"];
const SERIAL: &[&str] = &[
    "sys/class/dmi/id/product_serial",
    "proc/device-tree/serial-number",
];

/// The config at an address.
pub(super) struct Url {
    template: String,
    root: PathBuf,
}

impl Url {
    /// Makes one for an address with placeholders.
    pub(super) fn new(template: &str) -> Self {
        Url {
            template: template.to_owned(),
            root: "/".into(),
        }
    }
}

#[async_trait]
impl Platform for Url {
    fn name(&self) -> String {
        remote::shown(&self.template)
    }

    async fn config(&self, store: &Store) -> Result<Option<String>, String> {
        let address = filled(&self.template, |name| fact(name, &self.root, store))?;
        let cancelled = CancelOnDrop(Arc::default());
        let stop = cancelled.0.clone();
        let fetched = tokio::task::spawn_blocking(move || fetch(&address, stop)).await;
        fetched.map_err(|error| chain(&error))?
    }
}

/// Ends a request whose answer nobody waits for any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn fetch(address: &str, stop: Arc<AtomicBool>) -> Result<Option<String>, String> {
    let options = Options {
        // The next round is the next try.
        tries: 2,
        tries_to_open: 1,
        connect: STEP,
        answer: STEP,
        stall: STEP,
        stop,
        ..Options::default()
    };
    let text = match read_small(address, options, machine_config::LIMIT) {
        Err(Error::Refused { source, .. } | Error::RetriesExhausted { source, .. })
            if matches!(source, Cause::Status(StatusCode::NOT_FOUND)) =>
        {
            return Ok(None);
        }
        read => read.map_err(|error| chain(&error))?,
    };
    let text = machine_config::decode(&text).map_err(|error| chain(&error))?;
    Ok(Some(text.to_owned()))
}

/// Fills in the placeholders of an address. Pure.
fn filled(template: &str, fact: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("{} has a \"${{\" without its \"}}\"", remote::shown(template)))?;
        filled.push_str(before);
        filled.push_str(&fact(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Returns what stands in the place of a placeholder.
fn fact(name: &str, root: &Path, store: &Store) -> Result<String, String> {
    match name {
        "mac" => hardware_address(store)
            .ok_or_else(|| "no Ethernet interface has a cable yet, for ${mac}".to_owned()),
        "uuid" => told(root, UUID).ok_or_else(|| "the firmware tells no ${uuid}".to_owned()),
        "serial" => told(root, SERIAL).ok_or_else(|| "firmware and device tree tell no ${serial}".to_owned()),
        other => Err(format!(
            "${{{other}}} is not a placeholder; use ${{mac}}, ${{uuid}} or ${{serial}}"
        )),
    }
}

fn hardware_address(store: &Store) -> Option<String> {
    let links = store.list::<LinkStatus>().into_iter().map(|(_, link)| link);
    let cables = links.filter(|link| link.kind == LinkKind::Ethernet && link.carrier);
    let first = cables.min_by_key(|link| link.index)?;
    first.mac_address.map(|address| address.to_string())
}

/// Reads the first of these files that says something. Only what may stand in an address counts.
fn told(root: &Path, files: &[&str]) -> Option<String> {
    let read = |file: &&str| -> io::Result<String> { fs::read_to_string(root.join(file)) };
    let texts = files.iter().filter_map(|file| read(file).ok());
    let mut texts = texts.map(|text| text.trim_matches(['\0', '\n', ' ']).to_lowercase());
    texts.find(|text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        !text.is_empty() && text.chars().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use machine_config::value::MacAddress;

    use super::*;

    fn link(index: u32, kind: LinkKind, carrier: bool) -> LinkStatus {
        LinkStatus {
            index,
            mac_address: Some(MacAddress([2, 0, 0, 0, 0, index as u8])),
            mtu: 1500,
            max_mtu: None,
            refused_mtu: None,
            up: true,
            carrier,
            kind,
            ipv6: None,
        }
    }

    #[test]
    fn placeholders_are_filled_in() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("proc/device-tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("serial-number"), "10000000ABCD\0").unwrap();
        let store = Store::new();
        for (name, link) in [
            ("eth0", link(2, LinkKind::Ethernet, false)),
            ("eth1", link(3, LinkKind::Ethernet, true)),
            ("lo", link(1, LinkKind::Loopback, true)),
        ] {
            store.put("links", name, link).unwrap();
        }
        let fill = |template: &str| filled(template, |name| fact(name, root.path(), &store));
        assert_eq!(fill("http://a/x").unwrap(), "http://a/x");
        assert_eq!(
            fill("http://a/${serial}/${mac}.yaml").unwrap(),
            "http://a/10000000abcd/02:00:00:00:00:03.yaml"
        );
        for (wrong, part) in [
            ("http://a/${uuid}", "no ${uuid}"),
            ("http://a/${name}", "is not a placeholder; use ${mac}"),
            ("http://a/${mac", "without its"),
            ("http://user:secret@a/${mac?token=secret", "without its"),
        ] {
            let error = fill(wrong).unwrap_err();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_serial_number_that_is_no_part_of_an_address_is_none() {
        let root = tempfile::tempdir().unwrap();
        let dmi = root.path().join("sys/class/dmi/id");
        fs::create_dir_all(&dmi).unwrap();
        for odd in ["To be filled by O.E.M.", "../../x", "a?b", ""] {
            fs::write(dmi.join("product_serial"), odd).unwrap();
            assert_eq!(told(root.path(), SERIAL), None, "{odd}");
        }
    }
}
