//! The config of the CNI plugins.

use machine_config::value::IpPrefix;
use serde_json::json;

/// The bridge that a node's pods are at.
pub(crate) const BRIDGE: &str = "cni0";
/// Where addresses that were handed out are written down: in memory, since no pod outlives a restart of the node.
const LEASES: &str = "/run/cni/networks";

/// Makes the config for a node whose pods have their addresses in these networks, with packets of so many bytes. Pure.
pub(crate) fn conflist(pods: &[IpPrefix], mtu: Option<u32>) -> String {
    let ranges: Vec<_> = pods
        .iter()
        .map(|network| json!([{ "subnet": network.to_string() }]))
        .collect();
    let mut bridge = json!({
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": true,
        // The node may be given other networks, and the bridge has an address of the old ones then.
        "forceAddress": true,
        // A pod may reach itself by a service.
        "hairpinMode": true,
        // Packets to pods of other nodes keep their source: see `masquerade`.
        "ipMasq": false,
        "ipam": { "type": "host-local", "dataDir": LEASES, "ranges": ranges },
    });
    if let Some(mtu) = mtu {
        bridge["mtu"] = json!(mtu);
    }
    let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true });
    let list = json!({ "cniVersion": "1.0.0", "name": "bedplate", "plugins": [bridge, ports] });
    format!("{list:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_a_range_of_its_own() {
        let pods = ["10.244.1.0/24", "fd01:0:0:1::/64"].map(|text| text.parse().unwrap());
        let list: serde_json::Value = serde_json::from_str(&conflist(&pods, Some(1400))).unwrap();
        let bridge = &list["plugins"][0];
        assert_eq!(bridge["mtu"], 1400);
        assert_eq!(
            bridge["ipam"]["ranges"],
            json!([[{ "subnet": "10.244.1.0/24" }], [{ "subnet": "fd01:0:0:1::/64" }]])
        );
        let without: serde_json::Value = serde_json::from_str(&conflist(&pods[..1], None)).unwrap();
        assert_eq!(without["plugins"][0].get("mtu"), None);
    }
}
