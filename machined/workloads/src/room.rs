//! Whether DATA has room for another image. Pure.

use state::Store;
use state::kinds::{RoomStatus, Volume};

/// Says why no image is brought here while DATA is full, and what to do.
pub(crate) fn full(store: &Store) -> Option<String> {
    let status: RoomStatus = store.get(Volume::Data.partition())?;
    status.full.then(|| {
        format!(
            "DATA is full ({} % is free), so no image is fetched; remove images (`bedplate images remove`) or what a workload has in \
             its volumes",
            status.free_percent
        )
    })
}
