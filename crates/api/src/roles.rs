//! The roles of client certificates.

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
}
