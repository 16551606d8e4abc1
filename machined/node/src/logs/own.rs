//! Where machined's own messages go: its ring, and the kernel's log, which is also the console; in a container, its
//! output.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Line, Logs, OWN, Ring, say};
use crate::boot::container;

/// Starts taking machined's own messages. A second call does nothing.
pub fn install(logs: &Logs) {
    let in_container = container::engine().is_some();
    let place = if in_container {
        "/proc/self/fd/2"
    } else {
        "/dev/kmsg"
    };
    let writer = Sink {
        ring: logs.ring(OWN),
        place: File::options().append(true).open(place).ok().map(Arc::new),
        format: if in_container { plain } else { record },
    };
    let format = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .without_time()
        .with_target(false);
    let _already = tracing_subscriber::registry()
        .with(filter())
        .with(format)
        .try_init();
}

/// Libraries that say at `info` what they do, to nobody's use: they are heard when something is wrong.
const CHATTY: [&str; 8] = [
    "h2",
    "hickory_proto",
    "hickory_server",
    "hyper",
    "hyper_util",
    "rustls",
    "tonic",
    "tower",
];

/// Decides what is taken: from all crates of the agent what they say at `info`, as a person would want to read it.
fn filter() -> Targets {
    let chatty = CHATTY.map(|library| (library, LevelFilter::WARN));
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(chatty)
        // They call each failed request an error, while a cluster starts every second: whoever asked says what is missing.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::OFF)
}

#[derive(Clone)]
struct Sink {
    ring: Ring<Line>,
    place: Option<Arc<File>>,
    format: fn(u8, &str) -> String,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Message;

    fn make_writer(&'a self) -> Message {
        Message {
            sink: self.clone(),
            severity: 6,
            bytes: Vec::new(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Message {
        let mut message = self.make_writer();
        message.severity = severity(*metadata.level());
        message
    }
}

/// One message that is being collected; it is passed on as a whole when it is complete.
struct Message {
    sink: Sink,
    severity: u8,
    bytes: Vec<u8>,
}

impl Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        for line in text.lines() {
            say(&self.sink.ring, line.trim_start());
            if let Some(place) = &self.sink.place {
                // The kernel refuses what comes too fast; the ring has it then.
                let _refused = (&mut &**place).write_all((self.sink.format)(self.severity, line).as_bytes());
            }
        }
    }
}

/// Formats a record for `/dev/kmsg`: facility 3 is that of daemons.
pub fn record(severity: u8, line: &str) -> String {
    format!("<{}>machined: {}\n", 3 * 8 + severity, without_level(line.trim()))
}

/// Formats a line for the log of a container.
fn plain(_: u8, line: &str) -> String {
    format!("machined: {}\n", line.trim())
}

/// Returns a line without its level: the kernel has the severity already.
fn without_level(line: &str) -> &str {
    let levels = ["ERROR ", "WARN ", "INFO ", "DEBUG "];
    levels
        .iter()
        .find_map(|level| line.strip_prefix(level))
        .unwrap_or(line)
        .trim_start()
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_agent_is_heard_and_libraries_only_in_need() {
        let takes = |target, level| filter().would_enable(target, &level);
        for part in ["machined::run", "network::links", "storage::controller", "etcd"] {
            assert!(takes(part, Level::INFO), "{part}");
            assert!(!takes(part, Level::DEBUG), "{part}");
        }
        assert!(takes("h2::client", Level::WARN) && !takes("h2::client", Level::INFO));
        assert!(!takes("kube_client::client::builder", Level::ERROR));
    }

    #[test]
    fn kernel_records_have_severity_once() {
        assert_eq!(record(4, " WARN no route\n"), "<28>machined: no route\n");
    }
}
