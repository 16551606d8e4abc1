//! Reads a document of this version, and enforces its rules.
//!
//! A rule about several fields is checked only when all of them could be read, so that no fault is a consequence of
//! another.

mod cluster;
mod firmware;
mod kubernetes;
mod lifecycle;
mod limits;
mod network;
mod registries;
mod secrets;
mod upgrades;
mod within;
mod workload_network;
mod workloads;

use std::collections::BTreeMap;

pub(crate) use self::secrets::Marks;
use self::secrets::{authority, secret};
use super::types::*;
use super::{Check, Health};
use crate::decode::{Cursor, Object};
use crate::secret::Secret;

/// Reads the body.
pub(crate) fn decode(root: Cursor<'_>, marks: Marks<'_>) -> Option<MachineConfig> {
    let mut document = root.object()?;
    // Read before the version was chosen; asked for again so that they count as known.
    document.field("apiVersion");
    document.field("kind");
    let machine = document
        .required("machine", "it holds the configuration of the node")
        .and_then(|c| machine(c, marks));
    let worker = machine.as_ref().is_some_and(|m| m.role == Role::Worker);
    if worker && !document.has("cluster") {
        document.missing("cluster.endpoint", cluster::ENDPOINT_NEEDED);
    }
    let role = machine.as_ref().map(|machine| machine.role);
    let cluster = document
        .field("cluster")
        .and_then(|c| cluster::cluster(c, role, marks));
    let kubernetes = role != Some(Role::Standalone) && cluster.as_ref().is_some_and(|c| c.ca.is_some());
    let hostname = machine.as_ref().and_then(|machine| machine.hostname.as_ref());
    if let Some(name) = hostname.filter(|_| kubernetes) {
        // Kubernetes takes every other host name as it is.
        let lower = name.as_str().to_ascii_lowercase();
        if lower != name.as_str() {
            let text = format!(
                "is not a name that Kubernetes takes, which has lower-case letters only; write {lower}"
            );
            document.fault_in("machine", "hostname", text);
        }
    }
    let workloads = document
        .field("workloads")
        .map(|c| workloads::workloads(c, marks))
        .unwrap_or_default();
    document.finish();
    Some(MachineConfig {
        api_version: ApiVersion::V1Alpha1,
        kind: Kind::MachineConfig,
        machine: machine?,
        cluster: cluster.unwrap_or_default(),
        workloads,
    })
}

fn machine(cursor: Cursor<'_>, marks: Marks<'_>) -> Option<Machine> {
    let mut o = cursor.object()?;
    let role = o
        .required("role", "choose controlPlane, worker or standalone")
        .and_then(|c| c.choice(&Role::ALL));
    let hostname = o.field("hostname").and_then(|c| c.parsed());
    let ca = o
        .required(
            "ca",
            "it signs the API's certificates; `bedplate gen secrets` makes one",
        )
        .and_then(|c| authority(c, role, marks, |config| Some(&config.machine.ca)));
    let token = o.field("token").and_then(|c| token(&c, marks));
    if role.is_some_and(|role| role != Role::Standalone) && !o.has("token") {
        o.missing(
            "token",
            "nodes join their cluster by it; `bedplate gen secrets` makes one",
        );
    }
    let cert_sans = o.field("certSANs").map(Cursor::list_of).unwrap_or_default();
    let network = o.field("network").and_then(network::network).unwrap_or_default();
    let time = o.field("time").and_then(time).unwrap_or_default();
    let sysctls = o.field("sysctls").map(sysctls).unwrap_or_default();
    let modules = o.field("modules").map(Cursor::list_of).unwrap_or_default();
    let health = o.field("health").and_then(health).unwrap_or_default();
    let upgrades = o
        .field("upgrades")
        .and_then(upgrades::upgrades)
        .unwrap_or_default();
    let firmware = o
        .field("firmware")
        .and_then(firmware::firmware)
        .unwrap_or_default();
    let services = o.field("services").map(services).unwrap_or_default();
    let node_labels = o.field("nodeLabels").map(|c| kubernetes::labels(c, role));
    let node_taints = o.field("nodeTaints").map(kubernetes::taints).unwrap_or_default();
    let kubelet = o
        .field("kubelet")
        .and_then(kubernetes::kubelet)
        .unwrap_or_default();
    let registries = o
        .field("registries")
        .map(|c| registries::registries(c, marks))
        .unwrap_or_default();
    o.finish();
    let (role, ca) = (role?, ca?);
    Some(Machine {
        role,
        hostname,
        ca,
        token,
        cert_sans,
        network,
        time,
        sysctls,
        modules,
        health,
        upgrades,
        firmware,
        services,
        node_labels: node_labels.unwrap_or_default(),
        node_taints,
        kubelet,
        registries,
    })
}

fn token(cursor: &Cursor<'_>, marks: Marks<'_>) -> Option<Secret> {
    let token = secret(cursor, marks, |config| config.machine.token.as_ref())?;
    let fine = token.is_redacted()
        || (16..=256).contains(&token.expose().len()) && token.expose().bytes().all(|b| b.is_ascii_graphic());
    if !fine {
        cursor.fault("is not a token; expected 16 to 256 printable characters without spaces");
    }
    fine.then_some(token)
}

fn time(cursor: Cursor<'_>) -> Option<Time> {
    let mut o = cursor.object()?;
    let enabled = o.field("enabled").and_then(|c| c.boolean()).unwrap_or(true);
    let servers = o.field("servers").map(Cursor::list_of).unwrap_or_default();
    o.finish();
    Some(Time { enabled, servers })
}

fn sysctls(cursor: Cursor<'_>) -> BTreeMap<crate::value::SysctlName, SysctlValue> {
    let mut sysctls: BTreeMap<crate::value::SysctlName, SysctlValue> = BTreeMap::new();
    for (name, value) in cursor.entries() {
        let name = name
            .parse::<crate::value::SysctlName>()
            .inspect_err(|error| value.fault(format!("{name:?} is not {error}")));
        let text = value.literal();
        if text.is_some_and(|text| text.contains(['\n', '\0'])) {
            value.fault("the value of a kernel parameter is one line");
        }
        if let (Ok(name), Some(text)) = (name, text) {
            if sysctls.contains_key(&name) {
                value.fault(format!(
                    "{name} is listed twice, once with slashes and once with dots"
                ));
            }
            sysctls.insert(name, SysctlValue(text.to_owned()));
        }
    }
    sysctls
}

fn health(cursor: Cursor<'_>) -> Option<Health> {
    let mut o = cursor.object()?;
    let commit_after = o.field("commitAfter").map(|c| (c.period(), c));
    let timeout_field = o.field("timeout").and_then(|c| c.period());
    let require = o.field("require").map(|c| checks(&mut c.items().into_iter()));
    let wanted = Health::default();
    let timeout = timeout_field.unwrap_or(wanted.timeout);
    let commit_after = commit_after.and_then(|(period, cursor)| {
        if period.is_some_and(|period| period >= timeout) {
            cursor.fault(format!("must be shorter than the timeout ({timeout})"));
        }
        period
    });
    o.finish();
    Some(Health {
        commit_after: commit_after.unwrap_or(wanted.commit_after),
        timeout,
        require: require.unwrap_or(wanted.require),
    })
}

fn checks<'a>(items: &mut dyn Iterator<Item = Cursor<'a>>) -> Vec<Check> {
    let mut checks = Vec::new();
    for cursor in items {
        let Some(check) = cursor.choice(&Check::ALL) else {
            continue;
        };
        if checks.contains(&check) {
            cursor.fault("is listed twice");
        } else {
            checks.push(check);
        }
    }
    checks
}

fn services(cursor: Cursor<'_>) -> BTreeMap<crate::value::Name, Service> {
    let mut services = BTreeMap::new();
    for (name, cursor) in cursor.entries() {
        let name = name
            .parse()
            .inspect_err(|error| cursor.fault(format!("{name:?} is not {error}")));
        let service = cursor.object().and_then(service);
        if let (Ok(name), Some(service)) = (name, service) {
            services.insert(name, service);
        }
    }
    services
}

fn service(mut o: Object<'_>) -> Option<Service> {
    let enabled = o
        .required("enabled", "set it to true or false")
        .and_then(|c| c.boolean());
    o.finish();
    Some(Service { enabled: enabled? })
}
