//! The table of methods: who may call each, and how large its requests may be.
//!
//! It is generated from the option `(bedplate.access)` of the methods in the `.proto` files.

use crate::Role;

/// A method that a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Path of the method, `/PACKAGE.SERVICE/METHOD`.
    pub path: &'static str,
    /// Least role that may call it.
    pub role: Role,
    /// The states of a node in which callers without a client certificate are answered.
    pub open: Open,
    /// Size limit of each request message, in bytes.
    pub max_request_bytes: usize,
    /// Messages after the first are sent only when the node requests them.
    pub paced: bool,
}

/// The states of a node in which a method answers callers without a client certificate. A configured node requires one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// None.
    Never,
    /// While the node waits for its first config: harmless reads, and the config itself.
    InMaintenance,
    /// Also when the node is locked and has no CA to verify callers with: what shows that it is.
    WhenLocked,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Returns the method of a path; `None` if it is not served.
pub fn method(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

/// Returns the methods of a service, given its full name.
pub fn methods_of(service: &str) -> impl Iterator<Item = &'static Method> {
    let is_of = move |method: &&Method| {
        let rest = method
            .path
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(service));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    METHODS.iter().filter(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(which: impl Fn(&Method) -> bool) -> Vec<&'static str> {
        METHODS
            .iter()
            .filter(|method| which(method))
            .map(|method| method.path)
            .collect()
    }

    #[test]
    fn requests_with_documents_and_bundles_may_be_large() {
        let large: Vec<(&str, usize)> = METHODS
            .iter()
            .filter(|method| method.max_request_bytes > crate::MAX_SMALL_MESSAGE)
            .map(|method| (method.path, method.max_request_bytes))
            .collect();
        let expected = [
            (
                "/bedplate.v1alpha1.EtcdService/EtcdRecover",
                crate::MAX_UPGRADE_MESSAGE,
            ),
            (
                "/bedplate.v1alpha1.ImageService/Import",
                crate::MAX_UPGRADE_MESSAGE,
            ),
            (
                "/bedplate.v1alpha1.MachineService/ApplyConfig",
                crate::MAX_MESSAGE,
            ),
            (
                "/bedplate.v1alpha1.UpgradeService/Upgrade",
                crate::MAX_UPGRADE_MESSAGE,
            ),
        ];
        assert_eq!(large, expected);
    }

    #[test]
    fn no_read_takes_a_large_request() {
        for method in METHODS.iter().filter(|method| method.role == Role::Reader) {
            assert_eq!(
                method.max_request_bytes,
                crate::MAX_SMALL_MESSAGE,
                "{}",
                method.path
            );
        }
    }

    #[test]
    fn only_pushed_files_and_tunnels_are_paced_by_the_node() {
        assert_eq!(
            paths(|method| method.paced),
            [
                "/bedplate.v1alpha1.EtcdService/EtcdRecover",
                "/bedplate.v1alpha1.ImageService/Import",
                "/bedplate.v1alpha1.PeerService/Tunnel",
                "/bedplate.v1alpha1.UpgradeService/Upgrade"
            ]
        );
    }

    #[test]
    fn the_only_change_that_maintenance_allows_is_a_config() {
        let changes = paths(|method| method.role > Role::Reader && method.open != Open::Never);
        assert_eq!(changes, ["/bedplate.v1alpha1.MachineService/ApplyConfig"]);
    }

    #[test]
    fn a_locked_node_shows_strangers_its_state_and_no_more() {
        assert_eq!(
            paths(|method| method.open == Open::WhenLocked),
            [
                "/bedplate.v1alpha1.MachineService/Version",
                "/bedplate.v1alpha1.MachineService/Status"
            ]
        );
    }

    #[test]
    fn a_service_is_known_by_its_full_name() {
        assert_eq!(methods_of("bedplate.v1alpha1.FileService").count(), 4);
        for name in [
            "",
            "bedplate.v1alpha1",
            "bedplate.v1alpha1.File",
            "bedplate.v1alpha1.FileService/List",
        ] {
            assert_eq!(methods_of(name).count(), 0, "{name:?}");
        }
    }
}
