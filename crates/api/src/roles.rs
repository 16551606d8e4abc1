//! Who may call what.

use std::fmt;
use std::str::FromStr;

use Role::{Admin, Operator, Reader};

/// What a client certificate lets its holder do. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks: state, statistics, logs. Sees no secret.
    Reader,
    /// Also runs the node: services, reboot, shutdown, upgrades, file contents.
    Operator,
    /// Also decides what the node is: config with its secrets, reset, upgrades in spite of refusals.
    Admin,
}

/// When a method answers somebody without a client certificate. A node that is configured asks everybody for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// Never.
    Never,
    /// While the node waits for its first config: a harmless look, or the config itself.
    InMaintenance,
    /// Also when the node is locked and knows of nobody it could ask: what tells that it is.
    WhenLocked,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Returns how many bytes one message of a request may have.
pub fn largest_message(path: &str) -> usize {
    let large = LARGE.iter().find(|(known, _)| *known == path);
    large.map_or(crate::MAX_SMALL_MESSAGE, |(_, bytes)| *bytes)
}

/// Looks a method up.
pub fn method(path: &str) -> Option<(Role, Open)> {
    METHODS
        .iter()
        .find(|(known, _, _)| *known == path)
        .map(|(_, role, open)| (*role, *open))
}

/// Says that a word is no role.
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

    /// Reads an Organization entry. An unknown one gives no role.
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
        write!(f, "no role {:?}; there are reader, operator and admin", self.0)
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
            "no role \"root\"; there are reader, operator and admin"
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
