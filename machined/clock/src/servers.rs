//! Who is asked for the time.

use machine_config::MachineConfig;
use state::kinds::clock::Origin;
use state::kinds::{Dhcp6Lease, DhcpLease};

/// The server that is asked when nobody named one.
pub const DEFAULT_SERVER: &str = "time.cloudflare.com";
/// How many servers are asked at most.
const MOST: usize = 4;

/// Chooses the servers: the config's, else those of leases, else the default one. `None` when the config says not to
/// ask. Pure.
pub(super) fn choose(
    config: Option<&MachineConfig>,
    leases: &[(String, DhcpLease)],
    leases6: &[(String, Dhcp6Lease)],
) -> Option<(Vec<String>, Origin)> {
    let time = config.map(|config| &config.machine.time);
    if time.is_some_and(|time| !time.enabled) {
        return None;
    }
    let listed = time
        .map_or(&[][..], |time| &time.servers)
        .iter()
        .map(ToString::to_string);
    let leased = leases
        .iter()
        .flat_map(|(_, lease)| &lease.time_servers)
        .map(ToString::to_string)
        .chain(
            leases6
                .iter()
                .flat_map(|(_, lease)| &lease.time_servers)
                .map(ToString::to_string),
        );
    for (servers, origin) in [(first(listed), Origin::Config), (first(leased), Origin::Dhcp)] {
        if !servers.is_empty() {
            return Some((servers, origin));
        }
    }
    Some((vec![DEFAULT_SERVER.to_owned()], Origin::Default))
}

/// Takes the first few, each once.
fn first(servers: impl Iterator<Item = String>) -> Vec<String> {
    let mut chosen = Vec::new();
    for server in servers {
        if chosen.len() < MOST && !chosen.contains(&server) {
            chosen.push(server);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use state::kinds::DhcpLease;

    use super::*;

    fn choose(
        config: Option<&MachineConfig>,
        leases: &[(String, DhcpLease)],
    ) -> Option<(Vec<String>, Origin)> {
        super::choose(config, leases, &[])
    }

    #[test]
    fn servers_by_dhcpv6_are_asked_beside_the_others() {
        let lease6 = Dhcp6Lease {
            time_servers: vec!["2001:db8::123".parse().unwrap()],
            ..Dhcp6Lease::default()
        };
        let chosen = super::choose(None, &[lease(&["10.0.2.4"])], &[("eth0".into(), lease6)]);
        let servers = vec!["10.0.2.4".to_owned(), "2001:db8::123".to_owned()];
        assert_eq!(chosen, Some((servers, Origin::Dhcp)));
    }

    fn lease(servers: &[&str]) -> (String, DhcpLease) {
        let lease = DhcpLease {
            address: "10.0.2.15/24".parse().unwrap(),
            routes: vec![],
            nameservers: vec![],
            search: vec![],
            time_servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            hostname: None,
            mtu: None,
            server: "10.0.2.2".parse().unwrap(),
            seconds: 60,
            remarks: vec![],
        };
        ("eth0".into(), lease)
    }

    #[test]
    fn named_servers_go_before_leased_before_default() {
        let mut config = state::testkit::config();
        let leases = [
            lease(&["10.0.0.1", "10.0.0.1", "10.0.0.2"]),
            lease(&["10.0.0.3", "10.0.0.4", "10.0.0.5"]),
        ];
        assert_eq!(
            choose(None, &[]),
            Some((vec![DEFAULT_SERVER.into()], Origin::Default))
        );
        let leased = choose(Some(&config), &leases).unwrap();
        assert_eq!(
            leased,
            (
                ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
                    .map(String::from)
                    .to_vec(),
                Origin::Dhcp
            )
        );
        config.machine.time.servers = vec!["ntp.example.org".parse().unwrap()];
        assert_eq!(
            choose(Some(&config), &leases),
            Some((vec!["ntp.example.org".into()], Origin::Config))
        );
        config.machine.time.enabled = false;
        assert_eq!(choose(Some(&config), &leases), None);
    }
}
