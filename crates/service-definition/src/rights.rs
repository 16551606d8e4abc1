//! What a service may do, and as which user.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Fault;
use crate::capability::Capabilities;
use crate::faults::Collector;
use crate::fields::is_plain_path;
use crate::raw::{Service, User};

/// The range of user numbers: below those of people and containers.
const FIRST_ID: u32 = 1;
const LAST_ID: u32 = 999;
/// The longest user name that common programs accept.
const LONGEST_NAME: usize = 32;

/// What a service may do beyond what its user may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The capabilities that it, and everything it starts, can have.
    pub capabilities: Capabilities,
    /// Set when no program it starts can have more privileges than the service itself.
    pub no_new_privileges: bool,
    /// Files and directories that it sees read-only, with everything below.
    pub read_only_paths: Vec<PathBuf>,
    /// Set when it has its own `/tmp` and `/var/tmp`.
    pub private_tmp: bool,
}

/// Checks what a service may do.
pub(crate) fn checked(service: &Service, faults: &mut Collector<'_>) -> Rights {
    if let Some(user) = &service.user {
        check_user(user, faults);
    }
    let capabilities = capabilities(&service.capabilities, faults);
    let paths = &service.read_only_paths;
    for path in paths.iter().filter(|path| !is_plain_path(path)) {
        faults.fault(
            "readOnlyPaths",
            format!("{path:?} is not an absolute path without \"..\""),
        );
    }
    let admin = Capabilities::named("SYS_ADMIN").is_some_and(|admin| capabilities.contains(admin));
    if admin && !paths.is_empty() {
        faults.fault(
            "readOnlyPaths",
            "has no effect with the capability SYS_ADMIN, which can make them writable; remove one of the two",
        );
    }
    Rights {
        capabilities,
        no_new_privileges: service.no_new_privileges,
        read_only_paths: paths.iter().map(PathBuf::from).collect(),
        private_tmp: service.private_tmp,
    }
}

fn capabilities(names: &[String], faults: &mut Collector<'_>) -> Capabilities {
    let mut all = Capabilities::default();
    for name in names {
        match Capabilities::named(name) {
            Some(one) if all.contains(one) => {
                faults.fault("capabilities", format!("{name:?} is listed twice"));
            }
            Some(one) => all = all.with(one),
            None => faults.fault("capabilities", unknown(name)),
        }
    }
    all
}

fn unknown(name: &str) -> String {
    let plain = name.trim().to_ascii_uppercase();
    let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
    match Capabilities::named(plain) {
        Some(_) => format!("{name:?} is not a capability; write {plain}"),
        None => {
            let known: Vec<&str> = Capabilities::known().collect();
            format!("{name:?} is not a capability; known: {}", known.join(", "))
        }
    }
}

fn check_user(user: &User, faults: &mut Collector<'_>) {
    faults.within("user.id", user.id, FIRST_ID, LAST_ID);
    let letters = user
        .name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let start = user.name.starts_with(|first: char| first.is_ascii_lowercase());
    if !(letters && start && user.name.len() <= LONGEST_NAME) {
        let name = &user.name;
        faults.fault(
            "user.name",
            format!(
                "{name:?} is not a user's name: write up to 32 lower-case letters, digits and hyphens, a letter first"
            ),
        );
    }
    if user.name == "root" {
        faults.fault("user.name", "is root, which is the default; leave user out");
    }
}

/// Finds users that share a number, and names with two numbers: files would change owners.
pub(crate) fn check_users(services: &[Service], faults: &mut Vec<Fault>) {
    let mut ids: BTreeMap<u32, &str> = BTreeMap::new();
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    for service in services {
        let Some(user) = &service.user else { continue };
        let other = *ids.entry(user.id).or_insert(&user.name);
        let id = *names.entry(&user.name).or_insert(user.id);
        let text = if other != user.name {
            format!("{} is already the number of {other:?}; choose another", user.id)
        } else if id != user.id {
            format!("{:?} has the number {id} elsewhere; use that", user.name)
        } else {
            continue;
        };
        faults.push(Fault {
            service: service.name.clone(),
            field: "user.id".to_owned(),
            text,
        });
    }
}
