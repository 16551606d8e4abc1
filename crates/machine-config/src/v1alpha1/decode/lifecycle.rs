//! Reads when a workload is healthy.

use super::workloads::{HOUR, SECOND, span, words};
use crate::decode::Cursor;
use crate::v1alpha1::lifecycle::{check_timeout, interval, retries};
use crate::v1alpha1::{HttpCheck, NetworkMode, WorkloadHealth};

pub(super) fn health(cursor: Cursor<'_>, network: NetworkMode) -> Option<WorkloadHealth> {
    let mut o = cursor.object()?;
    let command = o.field("command").map(|c| {
        let command = words(c.clone());
        if command.is_empty() {
            c.fault("is empty; name a program of the container");
        }
        command
    });
    let http = o.field("http").and_then(http);
    let tcp = o.field("tcp").and_then(|c| c.number(1, 65_535));
    let given = ["command", "http", "tcp"].into_iter().filter(|name| o.has(name));
    if given.count() != 1 {
        o.here().fault("needs exactly one of command, http and tcp");
    }
    if (o.has("http") || o.has("tcp")) && network == NetworkMode::None {
        o.here().fault(
            "http and tcp ask a port, which a workload has with network.mode: bridge or host; use command",
        );
    }
    let period = |c: Option<Cursor<'_>>, usual| c.and_then(|c| span(&c, SECOND, HOUR)).unwrap_or(usual);
    let interval = period(o.field("interval"), interval());
    let timeout = period(o.field("timeout"), check_timeout());
    let retries = o
        .field("retries")
        .and_then(|c| c.number(1, 100))
        .unwrap_or(retries());
    o.finish();
    Some(WorkloadHealth {
        command: command.unwrap_or_default(),
        http,
        tcp,
        interval,
        timeout,
        retries,
    })
}

fn http(cursor: Cursor<'_>) -> Option<HttpCheck> {
    let mut o = cursor.object()?;
    let port = o
        .required("port", "give the port on which it listens")
        .and_then(|c| c.number(1, 65_535));
    let path = o.field("path").and_then(|c| {
        let path = c.text()?;
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            c.fault(format!(
                "{path:?} is not a path; expected one such as /healthz, with %20 for a space"
            ));
        }
        Some(path.to_owned())
    });
    o.finish();
    Some(HttpCheck { port: port?, path })
}
