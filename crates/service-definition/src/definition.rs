//! The checked form: services that can be run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Collector;
use crate::fields::{HOUR, command, is_plain_path};
use crate::health::{self, Health};
use crate::raw::{FolderToMake, KillMode, Restart, Service, User};
use crate::rights::{self, Rights};
use crate::{Fault, Faults, Limits, order};

/// The longest name: it becomes a file, a folder and a cgroup.
const LONGEST_NAME: usize = 63;
/// The source of machined's own log, which no service may take.
const RESERVED: &str = "machined";
/// Less memory than this runs nothing.
const LEAST_MEMORY: u64 = 1 << 20;
/// A service that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What is started, and how.
    pub run: Run,
    /// Directories that are created before it starts.
    pub directories: Vec<Directory>,
    /// Services it requires; all of them are defined, and there are no cycles.
    pub depends_on: Vec<String>,
    /// Services that start first if they run at all.
    pub after: Vec<String>,
    /// How to find out whether it is healthy.
    pub health: Option<Health>,
    /// What to do when it exits.
    pub restart: Restart,
    /// Its resource limits.
    pub resources: Resources,
    /// Set when it runs unless the machine config turns it off.
    pub enabled: bool,
    /// How long it has to exit before it is killed.
    pub stop_timeout: Duration,
    /// Which of its processes are stopped with it.
    pub kill_mode: KillMode,
}

/// What is started, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The program, absolute.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its complete environment.
    pub environment: BTreeMap<String, String>,
    /// The user it runs as; root if none.
    pub user: Option<User>,
    /// What it may do beyond what its user may.
    pub rights: Rights,
    /// How readily the kernel kills it when memory runs out.
    pub oom_score_adj: i16,
}

/// A directory that is created before a service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path: absolute, without `..`.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// The resource limits of a service; none means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory_max: Option<u64>,
    /// Its share of a busy processor: 1 to 10 000; the default is 100.
    pub cpu_weight: Option<u32>,
    /// Its share of a busy disk: 1 to 10 000; the default is 100.
    pub io_weight: Option<u32>,
    /// Number of processes and threads.
    pub pids_max: Option<u64>,
}

/// All services of a node, each after those it waits for. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions(Vec<Definition>);

impl Definitions {
    /// Lists the services in an order in which they can start.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Definition> {
        self.0.iter()
    }

    /// Finds a service.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.0.iter().find(|definition| definition.name == name)
    }
}

impl IntoIterator for Definitions {
    type Item = Definition;
    type IntoIter = std::vec::IntoIter<Definition>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Checks a list of services as a whole, and reports all faults at once.
pub fn check(services: Vec<Service>) -> Result<Definitions, Faults> {
    let mut faults = Vec::new();
    rights::check_users(&services, &mut faults);
    let names: BTreeSet<String> = services.iter().map(|service| service.name.clone()).collect();
    let mut found = BTreeMap::new();
    for service in services {
        let name = service.name.clone();
        let mut collector = Collector {
            service: &name,
            faults: &mut faults,
        };
        check_names(&service, &names, &mut collector);
        if found.contains_key(&name) {
            collector.fault("name", "is listed twice; give each service its own name");
        }
        let definition = definition(service, &mut collector);
        found.insert(name, definition);
    }
    let sorted = if faults.is_empty() {
        sort(&found)
            .map_err(|fault| faults.push(fault))
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    Ok(Definitions(
        sorted.iter().filter_map(|name| found.remove(name)).collect(),
    ))
}

fn sort(found: &BTreeMap<String, Definition>) -> Result<Vec<String>, Fault> {
    let waits_for = found
        .iter()
        .map(|(name, one)| {
            let others = one.depends_on.iter().chain(&one.after);
            (name.as_str(), others.map(String::as_str).collect())
        })
        .collect();
    order::sort(&waits_for).map_err(|circle| Fault {
        service: circle[0].clone(),
        field: "dependsOn, after".to_owned(),
        text: format!("waits for itself: {}; remove one of these", circle.join(" → ")),
    })
}

fn check_names(service: &Service, names: &BTreeSet<String>, faults: &mut Collector<'_>) {
    let name = service.name.as_str();
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if !(letters && ends && (1..=LONGEST_NAME).contains(&name.len())) {
        faults.fault(
            "name",
            "must be 1 to 63 lower-case letters, digits and inner hyphens: it also names a folder",
        );
    }
    if name == RESERVED {
        faults.fault("name", "is the name of machined's own log; choose another");
    }
    for other in &service.depends_on {
        if !names.contains(other) {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            faults.fault(
                "dependsOn",
                format!("{other:?} not found; known: {}", known.join(", ")),
            );
        }
    }
}

fn definition(service: Service, faults: &mut Collector<'_>) -> Definition {
    faults.within("stopSeconds", service.stop_seconds, 1, HOUR);
    faults.within("oomScoreAdj", service.oom_score_adj, -1000, 1000);
    Definition {
        directories: service
            .directories
            .iter()
            .map(|folder| directory(folder, faults))
            .collect(),
        health: service.health.as_ref().map(|raw| health::checked(raw, faults)),
        resources: resources(&service.limits, faults),
        restart: service.restart,
        enabled: service.enabled,
        stop_timeout: Duration::from_secs(u64::from(service.stop_seconds)),
        kill_mode: service.kill_mode,
        depends_on: service.depends_on.clone(),
        after: service.after.clone(),
        name: service.name.clone(),
        run: run(service, faults),
    }
}

fn run(service: Service, faults: &mut Collector<'_>) -> Run {
    let rights = rights::checked(&service, faults);
    let mut words = command("command", service.command, faults).into_iter();
    for (name, value) in &service.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            faults.fault("environment", format!("{name:?} is not the name of a variable"));
        }
    }
    Run {
        rights,
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        environment: service.environment,
        user: service.user,
        oom_score_adj: service.oom_score_adj,
    }
}

fn directory(folder: &FolderToMake, faults: &mut Collector<'_>) -> Directory {
    if !is_plain_path(&folder.path) {
        faults.fault(
            "directories",
            format!("{:?} is not an absolute path without \"..\"", folder.path),
        );
    }
    let mode = u32::from_str_radix(&folder.mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    if mode.is_none() {
        faults.fault(
            "directories",
            format!(
                "{:?} is not a mode; write it in octal, such as \"0750\"",
                folder.mode
            ),
        );
    }
    Directory {
        path: PathBuf::from(&folder.path),
        mode: mode.unwrap_or(0o755),
    }
}

fn resources(limits: &Limits, faults: &mut Collector<'_>) -> Resources {
    if let Some(memory) = limits.memory.filter(|memory| memory.0 < LEAST_MEMORY) {
        faults.fault(
            "limits.memory",
            format!("{memory} is less than 1MiB, which runs nothing"),
        );
    }
    if let Some(weight) = limits.cpu_weight {
        faults.within("limits.cpuWeight", weight, 1, 10_000);
    }
    if let Some(weight) = limits.io_weight {
        faults.within("limits.ioWeight", weight, 1, 10_000);
    }
    if let Some(tasks) = limits.tasks {
        faults.within("limits.tasks", tasks, 1, 4_194_304);
    }
    Resources {
        memory_max: limits.memory.map(|size| size.0),
        cpu_weight: limits.cpu_weight,
        io_weight: limits.io_weight,
        pids_max: limits.tasks,
    }
}
