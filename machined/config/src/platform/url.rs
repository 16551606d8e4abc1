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

use std::time::Duration;

use async_trait::async_trait;
use state::Store;
use state::kinds::{LinkKind, LinkStatus};

use super::machine::Machine;
use super::web::{self, Get};
use super::{Answer, Offer, Platform};

/// How long the request may take.
const WITHIN: Duration = Duration::from_secs(45);

/// The config at an address.
pub(super) struct Url {
    template: String,
    machine: Machine,
}

impl Url {
    /// Makes one for an address with placeholders.
    pub(super) fn new(template: &str, machine: Machine) -> Self {
        Url {
            template: template.to_owned(),
            machine,
        }
    }
}

#[async_trait]
impl Platform for Url {
    fn name(&self) -> String {
        remote::shown(&self.template)
    }

    async fn config(&self, store: &Store) -> Result<Answer, String> {
        let url = filled(&self.template, |name| fact(name, &self.machine, store))?;
        let get = Get {
            url,
            headers: Vec::new(),
            most: machine_config::LIMIT,
            within: WITHIN,
            redirects: true,
        };
        let Some(bytes) = web::get(get).await? else {
            return Ok(Answer::Nothing);
        };
        Offer::of_user_data(&bytes)
    }
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
fn fact(name: &str, machine: &Machine, store: &Store) -> Result<String, String> {
    match name {
        "mac" => hardware_address(store)
            .ok_or_else(|| "no Ethernet interface has a cable yet, for ${mac}".to_owned()),
        "uuid" => machine
            .uuid()
            .ok_or_else(|| "the firmware tells no ${uuid}".to_owned()),
        "serial" => machine
            .serial()
            .ok_or_else(|| "firmware and device tree tell no ${serial}".to_owned()),
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

#[cfg(test)]
mod tests {
    use std::fs;

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
        let fill = |template: &str| filled(template, |name| fact(name, &Machine::below(root.path()), &store));
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
}
