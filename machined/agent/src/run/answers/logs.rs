//! Shows the rings of logs and events.

use api::v1alpha1::{EventsResponse, LogsResponse};
use backend::{Answers, BackendError, Logs as Api};
use futures::stream;
use node::Node;
use node::events::{Event, Events, Severity};
use node::logs::{Line, Logs, Read, Reader, unix_ms};

pub(super) struct NodeLogs {
    logs: Logs,
    events: Events,
}

impl NodeLogs {
    pub(super) fn new(node: &Node) -> Self {
        NodeLogs {
            logs: node.logs.clone(),
            events: node.events.clone(),
        }
    }
}

impl Api for NodeLogs {
    fn sources(&self) -> Vec<String> {
        self.logs.sources()
    }

    fn open(
        &self,
        source: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<Answers<LogsResponse>, BackendError> {
        let Some(reader) = self.logs.follow(source, tail) else {
            let known = self.logs.sources().join(", ");
            return Err(BackendError::NotFound(format!(
                "log {source:?} not found; known: {known}"
            )));
        };
        Ok(answers(reader, follow, line))
    }

    fn events(&self, tail: Option<usize>, follow: bool) -> Answers<EventsResponse> {
        answers(self.events.follow(tail), follow, event)
    }
}

/// Turns a reader into a stream: what is kept, then, to follow, what comes.
fn answers<T, R>(reader: Reader<T>, follow: bool, show: fn(Read<T>) -> R) -> Answers<R>
where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
{
    Box::pin(stream::unfold(reader, move |mut reader| async move {
        let read = match reader.try_next() {
            Some(read) => read,
            None if follow => reader.next().await,
            None => return None,
        };
        Some((show(read), reader))
    }))
}

fn line(read: Read<Line>) -> LogsResponse {
    LogsResponse {
        unix_ms: unix_ms(read.item.uptime_ms),
        line: read.item.text,
        dropped: read.dropped,
    }
}

fn event(read: Read<Event>) -> EventsResponse {
    let severity = match read.item.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    EventsResponse {
        id: read.number + 1,
        unix_ms: unix_ms(read.item.uptime_ms),
        severity: severity.to_owned(),
        source: read.item.source,
        message: read.item.message,
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use node::logs::say;
    use release_file::Release;

    use super::*;

    #[tokio::test]
    async fn the_tail_then_what_comes() {
        let node = Node::new(Release::default());
        let api = NodeLogs::new(&node);
        let ring = node.logs.ring("containerd");
        say(&ring, "one");
        say(&ring, "two");
        let kept: Vec<String> = api
            .open("containerd", None, false)
            .unwrap()
            .map(|line| line.line)
            .collect()
            .await;
        assert_eq!(kept, ["one", "two"]);
        let mut followed = api.open("containerd", Some(1), true).unwrap();
        assert_eq!(followed.next().await.unwrap().line, "two");
        say(&ring, "three");
        assert_eq!(followed.next().await.unwrap().line, "three");
        let error = api.open("contained", None, false).err().unwrap();
        assert_eq!(
            error.to_string(),
            "log \"contained\" not found; known: containerd"
        );
    }

    #[tokio::test]
    async fn events_count_from_one() {
        let node = Node::new(Release::default());
        node.events.info("boot", "started");
        let events: Vec<EventsResponse> = NodeLogs::new(&node).events(None, false).collect().await;
        assert_eq!((events[0].id, events[0].severity.as_str()), (1, "info"));
    }
}
