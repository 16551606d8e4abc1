//! Decides whether a service is to run.

use machine_config::MachineConfig;
use node::requests::Request;

/// What is wanted of one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// Set when it is to run.
    pub wanted: bool,
    /// How many starts were asked for so far.
    pub starts: u64,
    /// How many restarts were asked for so far.
    pub restarts: u64,
    /// Set when nobody defines it any longer: once it is stopped, it is forgotten.
    pub removed: bool,
}

/// Decides what is wanted of a service: a request overrides the machine config, and that overrides `enabled` of the
/// definition. Without a machine config nothing runs by itself, and on the way to a reboot nothing runs at all.
pub fn order(
    name: &str,
    enabled: bool,
    config: Option<&MachineConfig>,
    request: Request,
    closing: bool,
) -> Order {
    let by_config = config.is_some_and(|config| {
        let services = &config.machine.services;
        let listed = services.iter().find(|(listed, _)| listed.as_str() == name);
        listed.map_or(enabled, |(_, service)| service.enabled)
    });
    Order {
        wanted: !closing && request.run.unwrap_or(by_config),
        starts: request.starts,
        restarts: request.restarts,
        removed: false,
    }
}

/// Lists the services that a machine config mentions and this node does not have.
pub fn unknown(config: &MachineConfig, known: impl Fn(&str) -> bool) -> Vec<String> {
    let names = config.machine.services.keys().map(|name| name.as_str());
    names.filter(|name| !known(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;

    #[test]
    fn requests_override_config_and_config_overrides_the_definition() {
        let (nothing, on, off) = (
            config("{}"),
            config("{a: {enabled: true}}"),
            config("{a: {enabled: false}}"),
        );
        let table = [
            (true, None, None, false),
            (true, Some(&nothing), None, true),
            (false, Some(&nothing), None, false),
            (true, Some(&off), None, false),
            (false, Some(&on), None, true),
            (true, Some(&off), Some(true), true),
            (true, Some(&on), Some(false), false),
            (false, None, Some(true), true),
        ];
        for (enabled, config, run, wanted) in table {
            let request = Request {
                run,
                starts: 1,
                restarts: 2,
            };
            let expected = Order {
                wanted,
                starts: 1,
                restarts: 2,
                removed: false,
            };
            assert_eq!(
                order("a", enabled, config, request, false),
                expected,
                "{enabled} {run:?}"
            );
            assert!(!order("a", enabled, config, request, true).wanted, "closing");
        }
    }

    #[test]
    fn services_that_the_node_lacks_are_named() {
        let config = config("{a: {enabled: true}, etcd: {enabled: true}}");
        assert_eq!(unknown(&config, |name| name == "a"), ["etcd"]);
    }
}
