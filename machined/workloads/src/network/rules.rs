//! The rules by which workloads on the bridge reach the world, and are reached at ports of the node. Pure.

use std::net::Ipv4Addr;

use machine_config::v1alpha1::PublishedPort;
use machine_config::value::IpPrefix;

use super::BRIDGE;

/// The table that is ours alone.
const TABLE: &str = "table inet bedplate-workloads";

/// Makes the file for `nft` that removes the rules.
pub fn none() -> String {
    // Adding it first makes the removal succeed where there is none.
    format!("{TABLE}\ndelete {TABLE}\n")
}

/// Makes the file for `nft` that puts the rules of a network in force, with ports and the workloads that they lead to.
pub fn ruleset(subnet: IpPrefix, ports: &[(Ipv4Addr, &PublishedPort)]) -> String {
    let translated: String = ports
        .iter()
        .map(|(to, port)| {
            let at = match port.address {
                Some(address) => format!("ip daddr {address}"),
                None => "meta nfproto ipv4 fib daddr type local".to_owned(),
            };
            let (protocol, host, container) = (port.protocol.name(), port.host(), port.container);
            format!("    {at} {protocol} dport {host} dnat ip to {to}:{container}\n")
        })
        .collect();
    let none = none();
    // `prerouting` is for what comes from elsewhere, `output` for what the node itself sends.
    format!(
        "{none}{TABLE} {{
  chain raw {{
    type filter hook prerouting priority raw; policy accept;
    iifname != \"lo\" ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
{translated}  }}
  chain output {{
    type nat hook output priority -100; policy accept;
{translated}  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname \"{BRIDGE}\" ct state established,related accept
    oifname \"{BRIDGE}\" ct status dnat accept
    oifname \"{BRIDGE}\" iifname != \"{BRIDGE}\" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} ip daddr != 224.0.0.0/4 oifname != \"{BRIDGE}\" masquerade
    ip saddr 127.0.0.0/8 oifname \"{BRIDGE}\" masquerade
    ip saddr {subnet} oifname \"{BRIDGE}\" ct status dnat masquerade
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use machine_config::v1alpha1::PortProtocol;

    use super::*;

    #[test]
    fn a_port_is_translated_for_the_world_and_for_the_node_itself() {
        let port = |host, protocol, address| PublishedPort {
            container: 80,
            host,
            protocol,
            address,
        };
        let everywhere = port(Some(8080), PortProtocol::Tcp, None);
        let one = port(None, PortProtocol::Udp, Some(Ipv4Addr::LOCALHOST));
        let to = Ipv4Addr::new(10, 87, 0, 2);
        let text = ruleset("10.87.0.0/24".parse().unwrap(), &[(to, &everywhere), (to, &one)]);
        for rule in [
            "meta nfproto ipv4 fib daddr type local tcp dport 8080 dnat ip to 10.87.0.2:80",
            "ip daddr 127.0.0.1 udp dport 80 dnat ip to 10.87.0.2:80",
        ] {
            let found = text.lines().filter(|line| line.trim() == rule);
            assert_eq!(found.count(), 2, "{rule}\n{text}");
        }
        assert!(text.starts_with(&none()), "what was before goes");
        assert!(!ruleset("10.87.0.0/24".parse().unwrap(), &[]).contains("dnat ip"));
    }
}
