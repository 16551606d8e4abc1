//! How pods reach the world: under the node's address. Pods and nodes of the cluster see who really speaks to them. And how
//! the node itself, with its pods on the host's network, reaches the cluster's DNS past kube-proxy.

use std::net::IpAddr;

use machine_config::value::IpPrefix;

use crate::conflist::BRIDGE;

/// The table that is ours alone.
const TABLE: &str = "table inet bedplate-pods";

/// Makes the rules for clusters whose pods have these networks, and whose DNS these addresses, as a file for `nft`, which puts
/// it in force as a whole. Pure.
pub(crate) fn ruleset(pods: &[IpPrefix], dns: &[IpAddr]) -> String {
    // Adding it first makes the removal succeed where there is none.
    let mut text = format!("{TABLE}\ndelete {TABLE}\n");
    let chains = [postrouting(pods), output(dns)].concat();
    if !chains.is_empty() {
        text += &format!("{TABLE} {{\n{chains}}}\n");
    }
    text
}

/// Makes the chain by which pods reach the world.
fn postrouting(pods: &[IpPrefix]) -> String {
    if pods.is_empty() {
        return String::new();
    }
    let rules: String = pods
        .iter()
        .map(|network| {
            let (family, multicast) = match network.address.is_ipv4() {
                true => ("ip", "224.0.0.0/4"),
                false => ("ip6", "ff00::/8"),
            };
            format!(
                "    {family} saddr {network} {family} daddr != {{ {network}, {multicast} }} oifname != \"{BRIDGE}\" masquerade\n"
            )
        })
        .collect();
    format!(
        "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n{rules}  }}\n"
    )
}

/// Makes the chain by which the node reaches the DNS on itself. kube-proxy, in its nftables mode, drops new connections of the
/// node to addresses of services that it does not know; one that is not tracked is none.
fn output(dns: &[IpAddr]) -> String {
    if dns.is_empty() {
        return String::new();
    }
    let rules: String = dns
        .iter()
        .map(|address| {
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            let port = "meta l4proto { tcp, udp } th";
            format!(
                "    oifname \"lo\" {family} daddr {address} {port} dport 53 notrack\n    \
                 oifname \"lo\" {family} saddr {address} {port} sport 53 notrack\n"
            )
        })
        .collect();
    format!("  chain output {{\n    type filter hook output priority raw; policy accept;\n{rules}  }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_cluster_is_masqueraded() {
        let pods = ["10.244.0.0/16", "fd01::/48"].map(|text| text.parse().unwrap());
        let text = ruleset(&pods, &["10.96.0.10".parse().unwrap()]);
        let rules: Vec<_> = text
            .lines()
            .filter(|line| line.contains("masquerade"))
            .map(str::trim)
            .collect();
        assert_eq!(
            rules,
            [
                "ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 224.0.0.0/4 } oifname != \"cni0\" masquerade",
                "ip6 saddr fd01::/48 ip6 daddr != { fd01::/48, ff00::/8 } oifname != \"cni0\" masquerade",
            ]
        );
        let untracked = text.lines().filter(|line| line.contains("notrack"));
        assert_eq!(untracked.count(), 2, "{text}");
        assert!(!ruleset(&[], &[]).contains("chain"));
    }
}
