//! Workloads on the bridge: one that is reached from outside by a published port, and by another one by its name.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{healthy, stage_of};
use crate::emulator::Emulator;
use crate::machine::PUBLISHED;
use crate::node::Node;
use crate::scenario::Stage;

const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the two: the node asks the first one by its address, the second one asks it by its name.
pub(super) fn workloads(image: &str) -> String {
    format!(
        "  - name: published
    image: {{bundled: \"{image}\"}}
    network: {{mode: bridge, ports: [{{container: 8080, host: {PUBLISHED}}}]}}
    healthCheck: {{tcp: 8080, interval: 2s, timeout: 60s, retries: 2}}
  - name: caller
    image: {{bundled: \"{image}\"}}
    environment: {{CHECK: \"published:8080\"}}
    network: {{mode: bridge}}
    dependsOn: [published]
    healthCheck: {{command: [/faulty, check], interval: 2s, timeout: 60s, retries: 2}}
"
    )
}

/// Waits for both, and asks the first one from outside.
pub(super) fn run(stage: &Stage, node: &Node, machine: &Emulator) -> Result<()> {
    for name in ["published", "caller"] {
        stage_of(node, name, "committed", healthy)?;
    }
    let until = stage.soon(SOON);
    while let Err(error) = ask(machine.published_port) {
        ensure!(
            Instant::now() < until,
            "nobody answers at port {PUBLISHED}: {error:#}"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
    stage
        .shown("a published port answers from outside, and a workload is reached by its name by another one");
    Ok(())
}

fn ask(port: u16) -> Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    // The emulator takes every connection, and closes it when nobody answers it.
    connection.read_to_string(&mut answer).context("no answer")?;
    ensure!(answer.ends_with("ok\n"), "the answer is {answer:?}");
    Ok(())
}
