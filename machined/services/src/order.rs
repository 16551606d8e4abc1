//! Decides what is wanted of a service.

use machine_config::MachineConfig;
use node::requests::Wish;
use service_definition::Definition;

/// Is what is wanted of one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// Whether it is to run.
    pub wanted: bool,
    /// How many starts were asked for so far.
    pub starts: u64,
    /// How many restarts were asked for so far.
    pub restarts: u64,
}

/// Decides what is wanted of a service: what people ask for stands above the machine config, and that above the
/// image. Without a machine config nothing runs by itself, and on the way to a reboot nothing runs at all.
pub fn order(definition: &Definition, config: Option<&MachineConfig>, wish: Wish, closing: bool) -> Order {
    let by_config = config.is_some_and(|config| {
        let services = &config.machine.services;
        let said = services.iter().find(|(name, _)| name.as_str() == definition.name);
        said.map_or(definition.enabled, |(_, service)| service.enabled)
    });
    Order {
        wanted: !closing && wish.run.unwrap_or(by_config),
        starts: wish.starts,
        restarts: wish.restarts,
    }
}

/// Lists the services that a machine config mentions and this image does not have.
pub fn unknown(config: &MachineConfig, known: impl Fn(&str) -> bool) -> Vec<&str> {
    let names = config.machine.services.keys().map(|name| name.as_str());
    names.filter(|name| !known(name)).collect()
}

#[cfg(test)]
mod tests {
    use service_definition::{Service, check};

    use super::super::testing::config;
    use super::*;

    #[test]
    fn requests_stand_above_config_and_config_above_image() {
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
            let mut service = Service::new("a", ["/a"]);
            service.enabled = enabled;
            let all = check(vec![service]).unwrap();
            let wish = Wish {
                run,
                starts: 1,
                restarts: 2,
            };
            let found = order(all.get("a").unwrap(), config, wish, false);
            let expected = Order {
                wanted,
                starts: 1,
                restarts: 2,
            };
            assert_eq!(found, expected, "{enabled} {run:?}");
            assert!(
                !order(all.get("a").unwrap(), config, wish, true).wanted,
                "closing"
            );
        }
    }

    #[test]
    fn services_that_the_image_lacks_are_named() {
        let config = config("{a: {enabled: true}, etcd: {enabled: true}}");
        assert_eq!(unknown(&config, |name| name == "a"), ["etcd"]);
    }
}
