//! What is to be in the cluster.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use machine_config::MachineConfig;
use sha2::{Digest as _, Sha256};

use crate::object::{self, Object};

/// What Bedplate needs itself.
const OWN: &str = include_str!("own.yaml");
/// The name of that manifest. No name in a machine config has a colon.
const OWN_NAME: &str = "bedplate:nodes";
/// The service that reserves the addresses of the cluster's DNS.
const DNS: &str = include_str!("dns.yaml");
/// The name of that manifest.
const DNS_NAME: &str = "bedplate:dns";
/// The largest file of a manifest, in bytes: an object in a cluster has at most 1.5 MiB.
const LIMIT: u64 = 4 * 1024 * 1024;

/// A manifest, and what it holds.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its name.
    pub name: String,
    /// Where it comes from, for people.
    pub source: String,
    /// Its objects, or why there are none.
    pub objects: Result<Vec<Object>, String>,
}

/// All manifests, in order.
#[derive(Debug)]
pub(crate) struct List {
    pub manifests: Vec<Manifest>,
    /// What tells lists apart: of all their texts.
    pub digest: String,
}

/// Gathers the manifests of a node. `dns` are the addresses of the cluster's DNS. Files are those of the image that runs, below
/// `root`.
pub(crate) fn gather(config: &MachineConfig, dns: &[IpAddr], root: &Path) -> List {
    let mut digest = Sha256::new();
    let mut add = |name: &str, source: String, text: Result<String, String>| {
        for part in [name, text.as_deref().unwrap_or_default()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let objects = text.and_then(|text| object::parse(&text).map_err(|error| error.to_string()));
        Manifest {
            name: name.to_owned(),
            source,
            objects,
        }
    };
    let own = add(OWN_NAME, "Bedplate".to_owned(), Ok(OWN.to_owned()));
    let mut manifests = vec![own];
    if let Some(text) = dns_service(dns) {
        manifests.push(add(DNS_NAME, "Bedplate".to_owned(), Ok(text)));
    }
    for manifest in &config.cluster.manifests {
        let name = manifest.name.as_str();
        manifests.push(match (&manifest.contents, &manifest.file) {
            (Some(text), _) => add(name, "machine config".to_owned(), Ok(text.clone())),
            (None, Some(file)) => add(name, file.to_string(), read(root, file.as_str())),
            (None, None) => add(name, "machine config".to_owned(), Ok(String::new())),
        });
    }
    List {
        manifests,
        digest: hex::encode(&digest.finalize()[..16]),
    }
}

/// Returns the service of the cluster's DNS, with an address of each family.
fn dns_service(addresses: &[IpAddr]) -> Option<String> {
    let mut text = DNS.replace("ADDRESS", &addresses.first()?.to_string());
    if addresses.len() > 1 {
        let all: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let all = all.join(", ");
        text.push_str(&format!(
            "  clusterIPs: [{all}]\n  ipFamilyPolicy: PreferDualStack\n"
        ));
    }
    Some(text)
}

fn read(root: &Path, file: &str) -> Result<String, String> {
    let path = root.join(file.trim_start_matches('/'));
    let mut text = String::new();
    let opened =
        std::fs::File::open(path).map_err(|error| format!("the image has no file {file}: {error}"))?;
    let read = opened.take(LIMIT + 1).read_to_string(&mut text);
    let read = read.map_err(|error| format!("cannot read {file}: {error}"))?;
    match read as u64 > LIMIT {
        true => Err(format!("{file} is larger than {} MiB", LIMIT / 1024 / 1024)),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use machine_config::v1alpha1::Manifest as Configured;

    use super::*;

    fn configured(name: &str, contents: Option<&str>, file: Option<&str>) -> Configured {
        Configured {
            name: name.parse().unwrap(),
            contents: contents.map(str::to_owned),
            file: file.map(|file| file.parse().unwrap()),
        }
    }

    #[test]
    fn bedplate_s_own_come_first_and_a_wrong_one_leaves_the_others() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(
            root.path().join("b.yaml"),
            "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n",
        )
        .unwrap();
        let mut config = state::testkit::config();
        config.cluster.manifests = vec![
            configured("a", Some("kind: Pod"), None),
            configured("b", None, Some("/b.yaml")),
            configured("c", None, Some("/c.yaml")),
        ];
        let list = gather(&config, &[], root.path());
        let names: Vec<&str> = list
            .manifests
            .iter()
            .map(|manifest| manifest.name.as_str())
            .collect();
        assert_eq!(names, [OWN_NAME, "a", "b", "c"]);
        let counts: Vec<Option<usize>> = list
            .manifests
            .iter()
            .map(|manifest| manifest.objects.as_ref().ok().map(Vec::len))
            .collect();
        assert_eq!(counts, [Some(2), None, Some(1), None]);
        let error = list.manifests[3].objects.as_ref().unwrap_err();
        assert!(error.starts_with("the image has no file /c.yaml"), "{error}");

        let before = list.digest;
        std::fs::write(
            root.path().join("b.yaml"),
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
        )
        .unwrap();
        assert_ne!(gather(&config, &[], root.path()).digest, before);
    }

    #[test]
    fn the_addresses_of_the_dns_are_reserved() {
        let config = state::testkit::config();
        let spec = |dns: &[&str]| {
            let dns: Vec<IpAddr> = dns.iter().map(|text| text.parse().unwrap()).collect();
            let list = gather(&config, &dns, Path::new("/nowhere"));
            let found = list
                .manifests
                .into_iter()
                .find(|manifest| manifest.name == DNS_NAME)?;
            let mut objects = found.objects.unwrap();
            Some(objects.remove(0).content["spec"].clone())
        };
        assert_eq!(spec(&[]), None);
        let one = spec(&["10.96.0.10"]).unwrap();
        assert_eq!(one["clusterIP"], "10.96.0.10");
        assert_eq!(one.get("clusterIPs"), None);
        let two = spec(&["10.96.0.10", "fd00:96::a"]).unwrap();
        assert_eq!(two["clusterIPs"], serde_json::json!(["10.96.0.10", "fd00:96::a"]));
        let first = spec(&["fd00:96::a"]).unwrap();
        assert_eq!(first["clusterIP"], "fd00:96::a");
    }
}
