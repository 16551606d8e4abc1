//! What happened on the node, for people: one line per event, in order.

use serde::Serialize;

use crate::logs::{Reader, Ring, uptime_ms};

/// How many events are kept.
const KEPT: usize = 500;

/// The severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// As it should be.
    Info,
    /// Not as it should be, and it may help itself.
    Warning,
    /// Somebody should look.
    Error,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since the kernel started; see [`crate::logs::unix_ms`].
    pub uptime_ms: u64,
    /// Good or bad news.
    pub severity: Severity,
    /// The part of the node: a controller, a service.
    pub source: String,
    /// One sentence.
    pub message: String,
}

/// The newest events. Clones share them.
#[derive(Clone)]
pub struct Events {
    ring: Ring<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            ring: Ring::new(KEPT),
        }
    }
}

impl Events {
    /// Makes an empty ring of events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the events from the last `tail` on, or from the oldest kept. An event's id is its number plus one.
    pub fn follow(&self, tail: Option<usize>) -> Reader<Event> {
        self.ring.reader(tail)
    }

    /// Reports something that is as it should be.
    pub fn info(&self, source: &str, message: impl Into<String>) {
        self.publish(Severity::Info, source, message.into());
    }

    /// Reports something that may pass by itself.
    pub fn warning(&self, source: &str, message: impl Into<String>) {
        self.publish(Severity::Warning, source, message.into());
    }

    /// Reports something that needs attention.
    pub fn error(&self, source: &str, message: impl Into<String>) {
        self.publish(Severity::Error, source, message.into());
    }

    fn publish(&self, severity: Severity, source: &str, message: String) {
        match severity {
            Severity::Info => tracing::info!("{source}: {message}"),
            Severity::Warning => tracing::warn!("{source}: {message}"),
            Severity::Error => tracing::error!("{source}: {message}"),
        }
        let event = Event {
            uptime_ms: uptime_ms(),
            severity,
            source: source.to_owned(),
            message,
        };
        self.ring.push(event, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_and_kept() {
        let events = Events::new();
        events.info("network", "eth0 is up");
        events.error("containerd", "ended");
        let read = events.follow(Some(1)).try_next().unwrap();
        assert_eq!(
            (read.number, read.item.severity, read.item.source.as_str()),
            (1, Severity::Error, "containerd")
        );
    }
}
