//! Decides which certificates a worker should have, when it asks for new ones, and whom. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use kubernetes::cluster::is_link_local;
use kubernetes::config::wanted;
use kubernetes::{NodeName, identity};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use pki::authority::SERVER_LIFE;
use state::kinds::ClusterMember;

use super::keep::Kept;
use super::vouch::Authorities;
use crate::policy::{API, API_NAME, LOOPBACK};
use crate::serve::endpoint_host;

/// The most addresses that a node asks for: a certificate has room for some more.
const MAX_ADDRESSES: usize = 16;
/// The most control planes that are asked in a row.
const MAX_PLANES: usize = 16;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A certificate that the node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As `COMPONENT/FILE`.
    pub which: String,
    /// The common name.
    pub name: String,
    /// The organization.
    pub organization: Option<String>,
    /// Names and addresses that it serves under.
    pub alternative_names: Vec<String>,
}

impl Wanted {
    /// Returns whom and what it names, as control planes write it.
    pub fn names(&self) -> Vec<String> {
        let subject = [format!("CN={}", self.name)].into_iter();
        let subject = subject.chain(self.organization.iter().map(|name| format!("O={name}")));
        subject.chain(self.alternative_names.iter().cloned()).collect()
    }
}

/// What a node is to do about joining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it signs its certificates itself.
    Nothing,
    /// It cannot ask yet; says what it waits for, one sentence.
    NotYet(String),
    /// It has these certificates, or asks for them.
    Join(Vec<Wanted>),
}

/// Decides what certificates a node should have.
pub fn need(
    config: Option<&MachineConfig>,
    member: Option<&ClusterMember>,
    hostname: &str,
    addresses: &[IpAddr],
) -> Need {
    let Some(config) = config.filter(|config| config.machine.role == Role::Worker) else {
        return Need::Nothing;
    };
    let cluster = match (&config.cluster.ca, member) {
        (Some(_), None) => {
            return Need::NotYet("waiting for a name and an address that Kubernetes takes".to_owned());
        }
        (Some(_), Some(member)) => match wanted(config, &member.node, &member.addresses) {
            Ok(wanted) => wanted,
            Err(error) => return Need::NotYet(error.to_string()),
        },
        (None, _) => None,
    };
    let name = match &cluster {
        Some(wanted) => Ok(wanted.node.name.clone()),
        None => hostname.parse::<NodeName>(),
    };
    let name = match name {
        Ok(name) => name,
        Err(error) => return Need::NotYet(error.to_string()),
    };
    let mut names = LOOPBACK.map(str::to_owned).to_vec();
    names.push(name.to_string());
    names.extend(config.machine.cert_sans.iter().map(ToString::to_string));
    // Its own address in the cluster first: it is taken for that by whoever signs.
    let own = cluster.iter().flat_map(|wanted| wanted.node.addresses());
    let networks = cluster
        .iter()
        .flat_map(|wanted| wanted.cluster.pods().iter().chain(wanted.cluster.services()));
    let others = addresses.iter().filter(|address| {
        let address = **address;
        let inside = networks.clone().any(|network| network.contains(address));
        !inside && !address.is_loopback() && !is_link_local(address)
    });
    let others = own.chain(others).map(ToString::to_string).take(MAX_ADDRESSES);
    names.extend(others);
    let mut alternative_names: Vec<String> = Vec::new();
    for name in names {
        if !alternative_names.contains(&name) {
            alternative_names.push(name);
        }
    }
    let mut certificates = vec![Wanted {
        which: API.to_owned(),
        name: API_NAME.to_owned(),
        organization: None,
        alternative_names,
    }];
    let components = cluster
        .iter()
        .flat_map(|wanted| identity::of_worker(&wanted.node));
    certificates.extend(components.map(|(which, identity)| Wanted {
        which,
        name: identity.name,
        organization: identity.organization,
        alternative_names: identity.alternative_names,
    }));
    Need::Join(certificates)
}

/// Decides when a node asks for new certificates: at once where one is missing, is for other names, or is of an authority that
/// does not sign any more; else when half of the life of the first is over. `now` is the time, `certain` whether it is known for certain, `age` how long the node has
/// had them in this boot.
///
/// Without a clock nobody knows when half is over: then they are new at each boot, and after half a day.
pub fn due(
    kept: &Kept,
    wanted: &[Wanted],
    authorities: &Authorities,
    now: SystemTime,
    certain: bool,
    age: Option<Duration>,
) -> Option<Duration> {
    let mut left = match age {
        Some(age) => (SERVER_LIFE / 2).checked_sub(age)?,
        None if certain => SERVER_LIFE / 2,
        None => return None,
    };
    for one in wanted {
        let held = kept
            .certificates
            .get(&one.which)
            .filter(|held| held.names == one.names() && authorities.would_sign(&one.which, held))?;
        if certain {
            let [from, until] = [held.not_before, held.not_after].map(super::keep::moment);
            let life = until.duration_since(from).unwrap_or_default();
            // A clock that was ahead when it was signed is not waited for.
            now.duration_since(from).ok()?;
            left = left.min((from + life / 2).duration_since(now).ok()?);
        }
    }
    (!left.is_zero()).then_some(left)
}

/// Returns the pause after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    let (first, longest) = PAUSES;
    first
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(longest)
}

/// Begins a list with another one at each turn: of many that only say that they are control planes, each is asked at some time.
pub fn in_turn(mut found: Vec<IpAddr>, turn: u32) -> Vec<IpAddr> {
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    if let Some(by) = turn.checked_rem(count) {
        found.rotate_left(usize::try_from(by).unwrap_or_default());
    }
    found
}

/// Returns the hosts that are asked, in order and each once: the one that answered last, the one in the cluster's endpoint,
/// those that were told, and those that were found.
pub fn hosts(
    config: &MachineConfig,
    last: Option<&str>,
    known: &[(String, Vec<IpAddr>)],
    found: &[IpAddr],
) -> Vec<String> {
    let told = known.iter().flat_map(|(_, addresses)| addresses);
    let all = last.map(str::to_owned).into_iter().chain(endpoint_host(config));
    let all = all.chain(told.chain(found).map(IpAddr::to_string));
    let mut hosts: Vec<String> = Vec::new();
    for host in all {
        if !hosts.contains(&host) && hosts.len() < MAX_PLANES {
            hosts.push(host);
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn however_many_say_that_they_are_control_planes_each_is_asked_and_the_endpoint_always() {
        let mut config = state::testkit::config();
        config.cluster.endpoint = "https://10.0.0.5:6443".parse().ok();
        let found: Vec<IpAddr> = (0..64).map(|last| [10, 0, 1, last].into()).collect();
        let mut asked = BTreeSet::new();
        for turn in 0..64 {
            let hosts = hosts(&config, None, &[], &in_turn(found.clone(), turn));
            assert_eq!(hosts[0], "10.0.0.5");
            assert_eq!(hosts.len(), MAX_PLANES);
            asked.extend(hosts);
        }
        assert_eq!(asked.len(), 65);
        assert_eq!(in_turn(Vec::new(), 3), Vec::<IpAddr>::new());
    }
}
