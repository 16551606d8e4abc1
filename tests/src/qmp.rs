//! Says something to a running emulator, in QEMU's machine protocol.
//!
//! Source of the protocol: QEMU's documentation, "QEMU Machine Protocol Specification".

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::pace;

/// How long the emulator may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Carries out one command on the emulator behind a socket.
pub fn execute(socket: &Path, command: &str, arguments: Value) -> Result<Value> {
    let shown = || format!("cannot talk to the emulator at {}", socket.display());
    let stream = UnixStream::connect(socket).with_context(shown)?;
    stream.set_read_timeout(Some(pace::stretch(ANSWER)))?;
    let mut talk = Talk {
        input: BufReader::new(stream.try_clone()?),
        output: stream,
    };
    talk.greeting().with_context(shown)?;
    talk.ask("qmp_capabilities", json!({}))?;
    talk.ask(command, arguments)
}

struct Talk {
    input: BufReader<UnixStream>,
    output: UnixStream,
}

impl Talk {
    fn greeting(&mut self) -> Result<()> {
        self.line().map(drop)
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        writeln!(
            self.output,
            "{}",
            json!({"execute": command, "arguments": arguments})
        )?;
        loop {
            let answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("the emulator refuses {command}: {error}");
            }
            // What stands between is an event.
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            bail!("the emulator hung up");
        }
        Ok(serde_json::from_str(&line)?)
    }
}
