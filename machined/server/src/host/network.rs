//! Network interfaces, from `/sys/class/net`.

use std::collections::BTreeMap;

use api::v1alpha1::{NetworkInterface, NetworkResponse};

use super::{Host, entries, number, text};

impl Host {
    /// Lists interfaces with their traffic. The kernel shows addresses by netlink only: the caller gives them, by
    /// interface.
    pub fn network(&self, addresses: &BTreeMap<String, Vec<String>>) -> NetworkResponse {
        let folder = self.sys.join("class/net");
        let interface = |name: String| {
            let of = |file: &str| folder.join(&name).join(file);
            let counter = |file: &str| number::<u64>(&of("statistics").join(file));
            NetworkInterface {
                mac_address: text(&of("address")),
                mtu: number(&of("mtu")),
                state: text(&of("operstate")),
                addresses: addresses.get(&name).cloned().unwrap_or_default(),
                // The kernel says -1 for a link that is down.
                speed_mbits: u64::try_from(number::<i64>(&of("speed"))).unwrap_or(0),
                received_bytes: counter("rx_bytes"),
                sent_bytes: counter("tx_bytes"),
                received_packets: counter("rx_packets"),
                sent_packets: counter("tx_packets"),
                receive_errors: counter("rx_errors"),
                send_errors: counter("tx_errors"),
                name,
            }
        };
        // Files such as `bonding_masters` stand beside the interfaces.
        let names = entries(&folder)
            .into_iter()
            .filter(|name| folder.join(name).join("mtu").exists());
        NetworkResponse {
            interfaces: names.map(interface).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_interface() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/net/eth0");
        std::fs::create_dir_all(folder.join("statistics")).unwrap();
        std::fs::create_dir_all(root.path().join("sys/class/net/bonding_masters")).unwrap();
        for (file, content) in [
            ("mtu", "1500\n"),
            ("speed", "-1"),
            ("operstate", "up"),
            ("statistics/rx_bytes", "7"),
        ] {
            std::fs::write(folder.join(file), content).unwrap();
        }
        let addresses = BTreeMap::from([("eth0".to_owned(), vec!["10.0.0.2/24".to_owned()])]);
        let interfaces = Host::at(root.path()).network(&addresses).interfaces;
        assert_eq!(interfaces.len(), 1);
        let eth0 = &interfaces[0];
        assert_eq!((eth0.mtu, eth0.speed_mbits, eth0.received_bytes), (1500, 0, 7));
        assert_eq!(
            (eth0.state.as_str(), eth0.addresses.as_slice()),
            ("up", ["10.0.0.2/24".to_owned()].as_slice())
        );
    }
}
