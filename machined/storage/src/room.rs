//! Tells when a volume is full. What is full does not stop a node, but nobody looks before something else fails.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use node::events::Events;
use state::kinds::{RoomStatus, Volume, VolumeState, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::filesystem::Room;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// A volume with less than this share free is full, in percent.
const LITTLE: u64 = 2;
/// One that was full has room again with so much, so that nothing is told to and fro.
const ENOUGH: u64 = 5;

type Look = fn(&Path) -> sys::Result<Room>;

/// Sole owner of [`RoomStatus`].
pub struct WatchRoom {
    look: Look,
    events: Events,
}

impl WatchRoom {
    /// Makes the controller.
    pub fn new(events: Events) -> Self {
        WatchRoom {
            look: sys::filesystem::room,
            events,
        }
    }
}

#[async_trait]
impl Controller for WatchRoom {
    fn name(&self) -> &'static str {
        "room"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[VolumeStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[RoomStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        for volume in Volume::ALL {
            let name = volume.partition();
            let status: Option<VolumeStatus> = store.get(name);
            if !status.is_some_and(|status| matches!(status.state, VolumeState::Ready { .. })) {
                continue;
            }
            let before: Option<RoomStatus> = store.get(name);
            let was_full = before.is_some_and(|status| status.full);
            let status = judge((self.look)(Path::new(volume.target()))?, was_full);
            if status.full && !was_full {
                let way_out = "remove what is not needed, or take a larger medium";
                self.events.error(
                    self.name(),
                    format!("{name} is full: {} % is free; {way_out}", status.free_percent),
                );
            }
            if was_full && !status.full {
                self.events.info(self.name(), format!("{name} has room again"));
            }
            store.put(self.name(), name, status)?;
        }
        Ok(Action::After(EVERY))
    }
}

/// Decides whether a volume is full.
fn judge(room: Room, was_full: bool) -> RoomStatus {
    let free_percent = room.available.saturating_mul(100) / room.total.max(1);
    let least = if was_full { ENOUGH } else { LITTLE };
    RoomStatus {
        free_percent,
        full: free_percent < least,
    }
}

#[cfg(test)]
mod tests {
    use state::testkit::settle_one;

    use super::*;

    fn room(available: u64) -> Room {
        Room {
            total: 1000,
            free: available + 10,
            available,
        }
    }

    #[test]
    fn full_is_told_once_and_so_is_room() {
        let mut full = false;
        let mut told = Vec::new();
        for available in [500, 20, 19, 25, 49, 50, 20] {
            full = judge(room(available), full).full;
            told.push(full);
        }
        assert_eq!(told, [false, false, true, true, true, false, false]);
    }

    #[tokio::test]
    async fn a_volume_that_memory_stands_in_for_is_not_judged() {
        let store = Store::new();
        let volume = |state| VolumeStatus {
            target: "/var".into(),
            device: None,
            size: 0,
            state,
        };
        let events = Events::new();
        let mut watch = WatchRoom {
            look: |_| Ok(room(0)),
            events: events.clone(),
        };
        let volatile = VolumeState::Volatile {
            reason: String::new(),
        };
        store.put("storage", "DATA", volume(volatile)).unwrap();
        settle_one(&store, &mut watch).await.unwrap();
        assert_eq!(store.get::<RoomStatus>("DATA"), None);
        let ready = VolumeState::Ready {
            formatted: false,
            repaired: false,
        };
        store.put("storage", "DATA", volume(ready)).unwrap();
        settle_one(&store, &mut watch).await.unwrap();
        assert!(store.get::<RoomStatus>("DATA").unwrap().full);
        let said = events.follow(None).try_next().unwrap().item.message;
        assert!(said.starts_with("DATA is full: 0 % is free"), "{said}");
    }
}
