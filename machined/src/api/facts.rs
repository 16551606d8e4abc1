//! What the API takes out of other parts' resources.

use std::collections::BTreeMap;

use ::api::v1alpha1::TimeResponse;

use crate::network::AddressStatus;
use crate::resource::Store;
use crate::time::{TimeFrom, TimeStatus};

/// Tells how the clock is kept; the time itself is filled in by the caller.
pub fn time(store: &Store) -> TimeResponse {
    let Some(status) = store.get::<TimeStatus>(crate::time::ID) else {
        return TimeResponse::default();
    };
    let source = match status.source {
        TimeFrom::Ntp => "ntp",
        TimeFrom::Rtc => "rtc",
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
