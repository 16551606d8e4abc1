//! The request to stop: reboot, shutdown, reset. Others request it, PID 1 alone does it.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How the machine is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Stop {
    /// Stop everything and start again.
    Reboot,
    /// Stop everything and switch off.
    Shutdown,
    /// Stop everything, forget, and then start again or switch off.
    Reset {
        /// What is forgotten.
        scope: ResetScope,
        /// Switch off in place of starting again.
        shutdown: bool,
    },
}

/// What a reset forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResetScope {
    /// Identity, keys and machine config.
    State,
    /// Containers, images, volumes and logs. Identity, keys and machine config stay.
    Data,
    /// Both.
    All,
}

/// The request to stop the machine. Clones share it.
#[derive(Clone)]
pub struct Power {
    request: watch::Sender<Option<Stop>>,
}

impl Default for Power {
    fn default() -> Self {
        Power {
            request: watch::channel(None).0,
        }
    }
}

impl Power {
    /// Makes a switch that nobody has touched.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop, and returns at once. The first request counts; returns whether this was it.
    pub fn request(&self, stop: Stop) -> bool {
        self.request.send_if_modified(|request| {
            let first = request.is_none();
            request.get_or_insert(stop);
            first
        })
    }

    /// Returns the request, if there is one.
    pub fn requested(&self) -> Option<Stop> {
        *self.request.borrow()
    }

    /// Waits for a request. Cancel safe.
    pub async fn wait(&self) -> Stop {
        let mut request = self.request.subscribe();
        let found = request
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|request| *request);
        // We hold the sender, so that waiting cannot end without a request.
        found.unwrap_or(Stop::Reboot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_wish_counts() {
        let power = Power::new();
        assert_eq!(power.requested(), None);
        assert!(power.request(Stop::Reboot));
        assert!(!power.request(Stop::Shutdown));
        assert_eq!(power.wait().await, Stop::Reboot);
    }
}
