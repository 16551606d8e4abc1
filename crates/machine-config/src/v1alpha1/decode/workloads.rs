//! Reads workloads.

use std::collections::{BTreeMap, BTreeSet};

use service_definition::Capabilities;

use super::kubernetes::{map_of, unique};
use super::lifecycle::health;
use super::limits::{logs, resources};
use super::secrets::Marks;
use super::within::{device, mount, tmpfs, workload_secret};
use super::workload_network::{network, published};
use crate::decode::Cursor;
use crate::v1alpha1::workloads::{grace, trial};
use crate::v1alpha1::{
    RestartPolicy, Seccomp, StopSignal, Tmpfs, Workload, WorkloadDevice, WorkloadImage, WorkloadMount,
};
use crate::value::{Name, Period};

/// The most workloads of a node, registries, and things of one workload: a bound on what a config makes a board do.
const MOST: usize = 64;
/// The longest name: with `workload-` in front it still names a service.
const LONGEST_NAME: usize = 48;
pub(super) const HOUR: Period = Period::seconds(3600);
const DAY: Period = Period::seconds(24 * 3600);
pub(super) const SECOND: Period = Period::seconds(1);

pub(super) fn workloads(cursor: Cursor<'_>, marks: Marks<'_>) -> Vec<Workload> {
    bounded(&cursor, "workloads");
    let items = cursor.clone().items();
    let list = unique(cursor, |item| workload(item, marks), |one| one.name.to_string());
    let at: BTreeMap<&str, &Cursor<'_>> = list.iter().map(|one| one.name.as_str()).zip(&items).collect();
    // What a list with a fault lacks is no fault of those that depend on it.
    if list.len() == items.len() {
        order(&list, &at);
        published(&list, &at);
    }
    list
}

/// Checks that dependencies exist and have no circle.
fn order(list: &[Workload], at: &BTreeMap<&str, &Cursor<'_>>) {
    let names: BTreeSet<&str> = list.iter().map(|one| one.name.as_str()).collect();
    let mut unknown = false;
    for one in list {
        for other in &one.depends_on {
            if !names.contains(other.as_str()) {
                unknown = true;
                let hint = yaml::did_you_mean(other.as_str(), names.iter().copied());
                at[one.name.as_str()]
                    .fault(format!("depends on {other}, which is not a workload here{hint}"));
            }
        }
    }
    // Whoever has all its dependencies behind it is taken away; what stays is a circle, or waits for one.
    let mut left: Vec<&Workload> = list.iter().collect();
    loop {
        let names: BTreeSet<&str> = left.iter().map(|one| one.name.as_str()).collect();
        let before = left.len();
        left.retain(|one| one.depends_on.iter().any(|other| names.contains(other.as_str())));
        if left.len() == before {
            break;
        }
    }
    if let (Some(one), false) = (left.first(), unknown) {
        let names: Vec<&str> = left.iter().map(|one| one.name.as_str()).collect();
        let text = format!(
            "waits for itself: {}; remove one of their dependsOn",
            names.join(", ")
        );
        at[one.name.as_str()].fault(text);
    }
}

fn workload(cursor: Cursor<'_>, marks: Marks<'_>) -> Option<Workload> {
    let mut o = cursor.object()?;
    let name = o
        .required("name", "logs and commands name the workload by it")
        .and_then(|c| {
            let name: Name = c.parsed()?;
            if name.as_str().len() > LONGEST_NAME {
                c.fault(format!(
                    "has {} characters; at most {LONGEST_NAME} are allowed",
                    name.as_str().len()
                ));
            }
            Some(name)
        });
    let image = o
        .required("image", "give reference, file or bundled in it")
        .and_then(image);
    let command = o.field("command").map(words).unwrap_or_default();
    let args = o.field("args").map(words).unwrap_or_default();
    let working_dir = o.field("workingDir").and_then(|c| c.parsed());
    let environment = o.field("environment").map(environment).unwrap_or_default();
    let secrets = o
        .field("secrets")
        .map(|c| {
            bounded(&c, "secrets");
            let read = |item| workload_secret(item, name.as_ref(), marks);
            unique(c, read, |one| one.name.to_string())
        })
        .unwrap_or_default();
    let mounts = o
        .field("mounts")
        .map(|c| {
            bounded(&c, "mounts");
            unique(c, mount, |one: &WorkloadMount| one.target.to_string())
        })
        .unwrap_or_default();
    let tmpfs = o
        .field("tmpfs")
        .map(|c| {
            bounded(&c, "folders in memory");
            unique(c, tmpfs, |one: &Tmpfs| one.target.to_string())
        })
        .unwrap_or_default();
    let devices = o
        .field("devices")
        .map(|c| {
            bounded(&c, "devices");
            unique(c, device, |one: &WorkloadDevice| match (&one.path, &one.usb) {
                (Some(path), _) => path.to_string(),
                (None, usb) => usb.as_ref().map(ToString::to_string).unwrap_or_default(),
            })
        })
        .unwrap_or_default();
    let network = o.field("network").and_then(network).unwrap_or_default();
    let resources = o.field("resources").and_then(resources).unwrap_or_default();
    let user = o.field("user").and_then(|c| c.parsed());
    let capabilities = o.field("capabilities").map(capabilities).unwrap_or_default();
    let seccomp = o
        .field("seccomp")
        .and_then(|c| c.choice(&Seccomp::ALL))
        .unwrap_or_default();
    let read_only_root_filesystem = o
        .field("readOnlyRootFilesystem")
        .and_then(|c| c.boolean())
        .unwrap_or(true);
    let restart_policy = o
        .field("restartPolicy")
        .and_then(|c| c.choice(&RestartPolicy::ALL))
        .unwrap_or_default();
    let health_check = o.field("healthCheck").and_then(|c| health(c, network.mode));
    let stop_signal = o.field("stopSignal").and_then(|c| c.choice(&StopSignal::ALL));
    let stop_grace_period = o
        .field("stopGracePeriod")
        .and_then(|c| span(&c, SECOND, HOUR))
        .unwrap_or(grace());
    let depends_on = o
        .field("dependsOn")
        .map(|c| {
            bounded(&c, "dependencies");
            unique(c, |item| item.parsed(), Name::to_string)
        })
        .unwrap_or_default();
    let logs = o.field("logs").and_then(logs).unwrap_or_default();
    let trial_period = o
        .field("trialPeriod")
        .and_then(|c| span(&c, Period::seconds(10), DAY))
        .unwrap_or(trial());
    for secret in &secrets {
        if let Some(variable) = secret
            .variable
            .as_ref()
            .filter(|name| environment.contains_key(name))
        {
            o.here().fault(format!(
                "{variable} is listed twice, in environment and in secrets"
            ));
        }
    }
    for folder in &tmpfs {
        if mounts.iter().any(|mount| mount.target == folder.target) {
            o.here().fault(format!(
                "{} is listed twice, in mounts and in tmpfs",
                folder.target
            ));
        }
    }
    o.finish();
    Some(Workload {
        name: name?,
        image: image?,
        command,
        args,
        working_dir,
        environment,
        secrets,
        mounts,
        tmpfs,
        devices,
        network,
        resources,
        user,
        capabilities,
        seccomp,
        read_only_root_filesystem,
        restart_policy,
        health_check,
        stop_signal,
        stop_grace_period,
        depends_on,
        logs,
        trial_period,
    })
}

fn image(cursor: Cursor<'_>) -> Option<WorkloadImage> {
    let mut o = cursor.object()?;
    let reference = o.field("reference").and_then(|c| c.parsed());
    let file = o.field("file").and_then(|c| c.parsed());
    let bundled = o.field("bundled").and_then(|c| c.parsed());
    let given = ["reference", "file", "bundled"]
        .into_iter()
        .filter(|name| o.has(name));
    if given.count() != 1 {
        o.here().fault("needs exactly one of reference, file and bundled");
    }
    o.finish();
    Some(WorkloadImage {
        reference,
        file,
        bundled,
    })
}

/// Reads the words of a command line. A bare number or boolean is a word there, as in every other tool.
pub(super) fn words(cursor: Cursor<'_>) -> Vec<String> {
    let word = |item: Cursor<'_>| {
        let text = item.literal()?;
        if text.contains('\0') {
            item.fault("contains a NUL, which no program can be given");
        }
        Some(text.to_owned())
    };
    cursor.items().into_iter().filter_map(word).collect()
}

fn environment(cursor: Cursor<'_>) -> BTreeMap<crate::value::VariableName, String> {
    map_of(cursor, |_, value| {
        let text = value.literal()?;
        if text.contains('\0') {
            value.fault("contains a NUL, which no variable can have");
        }
        Some(text.to_owned())
    })
}

fn capabilities(cursor: Cursor<'_>) -> Vec<String> {
    let capability = |item: Cursor<'_>| {
        let name = item.text()?;
        if Capabilities::named(name).is_none() {
            let plain = name.to_ascii_uppercase();
            let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
            let hint = yaml::did_you_mean(plain, Capabilities::known());
            item.fault(format!(
                "{name:?} is not a capability; expected the kernel's name without CAP_, such as NET_BIND_SERVICE{hint}"
            ));
        }
        Some(name.to_owned())
    };
    unique(cursor, capability, String::clone)
}

pub(super) fn span(cursor: &Cursor<'_>, least: Period, most: Period) -> Option<Period> {
    let span = cursor.period()?;
    if !(least..=most).contains(&span) {
        cursor.fault(format!("must be from {least} to {most}"));
    }
    Some(span)
}

/// Records a list that is too long.
pub(super) fn bounded(cursor: &Cursor<'_>, what: &str) {
    let count = cursor.clone().items().len();
    if count > MOST {
        cursor.fault(format!("lists {count} {what}; at most {MOST} are allowed"));
    }
}
