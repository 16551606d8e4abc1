//! What the API takes out of other parts' resources.

use std::collections::BTreeMap;

use api::v1alpha1::{Health, HealthState, TimeResponse};
use state::Store;
use state::kinds::{AddressStatus, TimeFrom, TimeStatus};

/// Tells how the clock is kept; the time itself is filled in by the caller.
pub fn time(store: &Store) -> TimeResponse {
    let Some(status) = store.get::<TimeStatus>(state::kinds::NODE) else {
        return TimeResponse::default();
    };
    let source = match status.source {
        TimeFrom::Ntp => "ntp",
        TimeFrom::Rtc => "rtc",
        TimeFrom::Host => "host",
        TimeFrom::Saved => "saved",
        TimeFrom::Build => "build",
        TimeFrom::None => "none",
    };
    TimeResponse {
        unix_nanos: 0,
        synchronised: status.synchronised,
        server: status.server.unwrap_or_default(),
        offset_nanos: status.offset_nanos,
        source: source.to_owned(),
    }
}

/// Lists addresses with their prefix lengths, by interface.
pub fn addresses(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, status) in store.list::<AddressStatus>() {
        found
            .entry(status.link)
            .or_default()
            .push(status.address.to_string());
    }
    found
}

/// What a problem of the machine config is called among the reasons of health.
const CONFIG: &str = "config";

/// Takes out of a node's health what quotes its machine config, for callers without a certificate. That the config cannot
/// be used is left.
pub fn hide_config(health: &mut Health) {
    health
        .reasons
        .retain(|reason| reason.source != CONFIG || reason.state() == HealthState::Unhealthy);
}

#[cfg(test)]
mod tests {
    use api::v1alpha1::HealthReason;

    use super::*;

    #[test]
    fn strangers_read_that_the_config_is_bad_and_not_what_stands_in_it() {
        let reason = |source: &str, state: HealthState, text: &str| HealthReason {
            source: source.into(),
            state: state.into(),
            text: text.into(),
        };
        let locked = reason(CONFIG, HealthState::Unhealthy, "the node is locked");
        let network = reason("network", HealthState::Degraded, "no address");
        let quoted = reason(CONFIG, HealthState::Degraded, "config.yaml: machine.hostnme: …");
        let mut health = Health {
            reasons: vec![locked.clone(), quoted, network.clone()],
            ..Health::default()
        };
        hide_config(&mut health);
        assert_eq!(health.reasons, [locked, network]);
    }
}
