//! The clock of a container: the host's.

use async_trait::async_trait;
use state::kinds::{NODE, TimeFrom, TimeStatus, clock::Origin};
use state::{Action, Controller, ControllerError, Resource, Store};

/// Tells that the host keeps the clock. Sole owner of [`TimeStatus`] in a container, where nothing asks a time server.
pub struct HostTime;

#[async_trait]
impl Controller for HostTime {
    fn name(&self) -> &'static str {
        "time-sync"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[TimeStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let status = TimeStatus {
            synchronised: true,
            source: TimeFrom::Host,
            server: None,
            offset_nanos: 0,
            last_sync_unix: None,
            servers: Vec::new(),
            servers_from: Origin::Default,
            reason: None,
        };
        store.put(self.name(), NODE, status)?;
        Ok(Action::WaitForChange)
    }
}
