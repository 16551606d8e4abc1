//! `bedplate pcap`.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::v1alpha1::CaptureRequest;
use api::v1alpha1::packet_service_client::PacketServiceClient;
use clap::Args;

use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;
use crate::ui;

/// Captures packets.
#[derive(Debug, Args)]
pub struct Pcap {
    /// Interface of the node, such as eth0.
    #[arg(short, long, value_name = "NAME")]
    interface: String,
    /// File to write; - is standard output.
    #[arg(short = 'O', long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Only packets from or to this address.
    #[arg(long, value_name = "ADDRESS")]
    host: Option<std::net::IpAddr>,
    /// Only packets of TCP and UDP from or to this port.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Bytes of each packet that are kept.
    #[arg(long, value_name = "BYTES", default_value_t = 65_535, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    snapshot: u32,
    /// Number of packets after which it ends.
    #[arg(long, value_name = "COUNT")]
    count: Option<std::num::NonZeroU64>,
    /// Time after which it ends, at most an hour.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = quantity::time)]
    duration: Duration,
}

impl Pcap {
    /// Captures on the node, and writes what arrives.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("packets are captured on one node at a time")?;
        let mut out = Out::open(&self.file)?;
        let node = dial(&session).await.into_iter().next();
        let NodeResponse { result, .. } = node.context("no node to capture on")?;
        let node = result?;
        let request = CaptureRequest {
            interface: self.interface,
            host: self.host.map(|host| host.to_string()).unwrap_or_default(),
            port: self.port.map_or(0, u32::from),
            snapshot_bytes: self.snapshot,
            max_packets: self.count.map_or(0, Into::into),
            // 0 would be the node's own limit.
            max_time_ms: u64::try_from(self.duration.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
        };
        let started = PacketServiceClient::new(node.channel.clone())
            .capture(request)
            .await;
        let mut messages = started.map_err(|status| node.problem(&status))?.into_inner();
        let (mut packets, mut dropped) = (0, 0);
        while let Some(message) = messages.message().await.map_err(|status| node.problem(&status))? {
            out.write(&message.data)?;
            (packets, dropped) = (message.packets, message.dropped);
        }
        let lost = match dropped {
            0 => String::new(),
            lost => format!(", {lost} were lost on the way"),
        };
        ui::note(&format!("{packets} packets{lost}"));
        Ok(ExitCode::SUCCESS)
    }
}

/// Where packets go.
enum Out {
    Standard,
    File(PathBuf, File),
}

impl Out {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            anyhow::ensure!(
                !std::io::stdout().is_terminal(),
                "packets are no text for a terminal; use --file, or a pipe such as `bedplate pcap … | tcpdump -nr -`"
            );
            return Ok(Self::Standard);
        }
        // For its owner alone: packets contain passwords.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::File(path.to_owned(), file))
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Standard => ui::write(bytes),
            Self::File(path, file) => {
                let written = file.write_all(bytes);
                written.with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }
}
