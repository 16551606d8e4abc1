//! Roles, and the table of methods with the least role of each.

use std::fmt;
use std::str::FromStr;

use Role::{Admin, Operator, Reader};

/// A role of a client certificate. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads state, statistics and logs. Sees no secrets.
    Reader,
    /// Also operates the node: services, reboot, shutdown, upgrades, file contents.
    Operator,
    /// Also administers the node: config with its secrets, reset, forced upgrades.
    Admin,
}

/// The states of a node in which a method answers callers without a client certificate. A configured node requires one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// Never.
    Never,
    /// While the node waits for its first config: harmless reads, and the config itself.
    InMaintenance,
    /// Also when the node is locked and has no CA to verify callers with: what shows that it is.
    WhenLocked,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Returns the size limit of a method's request messages, in bytes.
pub fn largest_message(path: &str) -> usize {
    let large = LARGE.iter().find(|(known, _)| *known == path);
    large.map_or(crate::MAX_SMALL_MESSAGE, |(_, bytes)| *bytes)
}

/// Returns who may call a method; `None` if it is not served.
pub fn method(path: &str) -> Option<(Role, Open)> {
    METHODS
        .iter()
        .find(|(known, _, _)| *known == path)
        .map(|(_, role, open)| (*role, *open))
}

/// A word that is not a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRole(String);

impl Role {
    /// All roles, the least first.
    pub const ALL: [Role; 3] = [Reader, Operator, Admin];

    /// Returns the Organization entry of a certificate that carries this role.
    pub fn organization(self) -> &'static str {
        match self {
            Reader => "bedplate:reader",
            Operator => "bedplate:operator",
            Admin => "bedplate:admin",
        }
    }

    /// Returns the role of an Organization entry; `None` if it is unknown.
    pub fn from_organization(organization: &str) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| role.organization() == organization)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reader => "reader",
            Operator => "operator",
            Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        let known = Role::ALL.into_iter().find(|role| role.to_string() == word);
        known.ok_or_else(|| UnknownRole(word.to_owned()))
    }
}

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a role; use reader, operator or admin", self.0)
    }
}

impl std::error::Error for UnknownRole {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_survive_the_certificate() {
        assert!(Reader < Operator && Operator < Admin);
        for role in Role::ALL {
            assert_eq!(Role::from_organization(role.organization()), Some(role));
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!(Role::from_organization("bedplate:root"), None);
        assert_eq!(
            "root".parse::<Role>().unwrap_err().to_string(),
            "\"root\" is not a role; use reader, operator or admin"
        );
    }

    #[test]
    fn no_read_takes_a_large_request() {
        for (path, _) in LARGE {
            assert!(method(path).is_some_and(|(least, _)| least > Reader), "{path}");
        }
        assert_eq!(
            largest_message("/grpc.health.v1.Health/Check"),
            crate::MAX_SMALL_MESSAGE
        );
    }

    #[test]
    fn requests_with_documents_and_bundles_may_be_large() {
        let large = [
            (
                "/bedplate.v1alpha1.MachineService/ApplyConfig",
                crate::MAX_MESSAGE,
            ),
            (
                "/bedplate.v1alpha1.UpgradeService/Upgrade",
                crate::MAX_UPGRADE_MESSAGE,
            ),
        ];
        assert_eq!(LARGE, large);
    }

    #[test]
    fn the_only_change_that_maintenance_allows_is_a_config() {
        let changes = METHODS
            .iter()
            .filter(|(_, role, open)| *role > Reader && *open != Open::Never);
        let paths: Vec<&str> = changes.map(|(path, _, _)| *path).collect();
        assert_eq!(paths, ["/bedplate.v1alpha1.MachineService/ApplyConfig"]);
    }

    #[test]
    fn a_locked_node_shows_strangers_its_state_and_no_more() {
        let open = METHODS.iter().filter(|(_, _, open)| *open == Open::WhenLocked);
        let paths: Vec<&str> = open.map(|(path, _, _)| *path).collect();
        assert_eq!(
            paths,
            [
                "/bedplate.v1alpha1.MachineService/Version",
                "/bedplate.v1alpha1.MachineService/Status"
            ]
        );
    }
}
