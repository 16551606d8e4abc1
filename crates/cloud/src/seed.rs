//! NoCloud's address, as the kernel's command line or the firmware's serial number name it: `ds=nocloud;s=http://10.0.0.1/node1/`.

use crate::meta_data::label;

/// Where a NoCloud server has an instance's files, and what the instance is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The address before the files' names.
    pub address: String,
    /// The host name, if it is named here.
    pub host_name: Option<String>,
}

/// Reads a word of the command line, or a serial number. `None` when it names no NoCloud server: without an address the files are
/// on a volume.
pub fn read(word: &str) -> Option<Seed> {
    let mut parts = word.trim().split(';');
    let source = parts.next()?.strip_prefix("ds=")?;
    // The older name for what needs the network.
    if !["nocloud", "nocloud-net"].contains(&source.to_ascii_lowercase().as_str()) {
        return None;
    }
    let (mut address, mut host_name) = (None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("s" | "seedfrom", value)) => address = Some(value),
            Some(("h" | "local-hostname", value)) => host_name = label(value),
            // The instance's id, and what is for others.
            _ => {}
        }
    }
    let address =
        address.filter(|address| address.starts_with("http://") || address.starts_with("https://"))?;
    Some(Seed {
        address: address.to_owned(),
        host_name,
    })
}

impl Seed {
    /// Returns the address of one of the files.
    pub fn file(&self, name: &str) -> String {
        match self.address.ends_with(['/', '=']) {
            true => format!("{}{name}", self.address),
            false => format!("{}/{name}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_named_in_either_way() {
        for (word, address, name) in [
            (
                "ds=nocloud;s=http://10.0.0.1/a/",
                "http://10.0.0.1/a/user-data",
                None,
            ),
            ("ds=nocloud-net;s=https://a/b", "https://a/b/user-data", None),
            (
                "ds=nocloud;h=Node1.lan;i=x;seedfrom=http://a/",
                "http://a/user-data",
                Some("node1"),
            ),
            (
                " ds=NoCloud;s=http://a/?file=\n",
                "http://a/?file=user-data",
                None,
            ),
        ] {
            let seed = read(word).unwrap();
            assert_eq!(
                (seed.file("user-data").as_str(), seed.host_name.as_deref()),
                (address, name)
            );
        }
    }

    #[test]
    fn other_words_name_none() {
        for word in [
            "",
            "ds=nocloud",
            "ds=nocloud;s=/seed/",
            "ds=nocloud;s=file:///etc/",
            "ds=openstack;s=http://a/",
            "VMware-56 4d",
            "nocloud;s=http://a/",
        ] {
            assert_eq!(read(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_only_web_addresses_are_named(rest in "[ -~]{0,60}") {
            for word in [rest.clone(), format!("ds=nocloud;{rest}"), format!("ds=nocloud;s={rest}")] {
                if let Some(seed) = read(&word) {
                    prop_assert!(seed.file("x").starts_with("http"));
                }
            }
        }
    }
}
