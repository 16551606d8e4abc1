//! `bedplate etcd snapshot`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use api::v1alpha1::EtcdSnapshotRequest;
use api::v1alpha1::etcd_service_client::EtcdServiceClient;
use clap::Args;
use sha2::{Digest as _, Sha256};

use crate::fan_out::{NodeResponse, dial};
use crate::session::Session;

/// Length of the SHA-256 with which a snapshot ends.
const HASH: usize = 32;

/// Saves a snapshot.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// File to write. It must not exist yet.
    file: PathBuf,
    /// Save this one of those that the node keeps, in place of a new one. `bedplate etcd snapshots` lists them.
    #[arg(long, value_name = "NAME")]
    kept: Option<String>,
}

impl Snapshot {
    /// Reads from one node, verifies, and writes.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("a snapshot is of one member's data, which all have")?;
        let [NodeResponse { result, .. }] = <[_; 1]>::try_from(dial(&session).await)
            .map_err(|_| anyhow::anyhow!("there is no node to call; name one with --nodes"))?;
        let node = result?;
        let part = part_of(&self.file);
        anyhow::ensure!(
            !self.file.exists(),
            "{} exists already; choose another name",
            self.file.display()
        );
        let mut options = OpenOptions::new();
        let opened = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part);
        let mut file = opened.with_context(|| format!("cannot create {}", part.display()))?;
        let name = self.kept.unwrap_or_default();
        let asked = EtcdServiceClient::new(node.channel.clone())
            .etcd_snapshot(EtcdSnapshotRequest { name })
            .await;
        let mut pieces = asked.map_err(|status| node.problem(&status))?.into_inner();
        let (mut hash, mut held, mut length) = (Sha256::new(), Vec::new(), 0_u64);
        while let Some(piece) = pieces.message().await.map_err(|status| node.problem(&status))? {
            file.write_all(&piece.data)
                .with_context(|| format!("cannot write {}", part.display()))?;
            length += piece.data.len() as u64;
            held.extend(piece.data);
            // The last bytes are the hash of those before them.
            let sure = held.len().saturating_sub(HASH);
            hash.update(&held[..sure]);
            held.drain(..sure);
        }
        if hash.finalize().as_slice() != held.as_slice() {
            let _of_no_use = fs::remove_file(&part);
            anyhow::bail!("the snapshot arrived damaged or incomplete; try again");
        }
        file.sync_all()
            .with_context(|| format!("cannot write {}", part.display()))?;
        fs::rename(&part, &self.file).with_context(|| format!("cannot create {}", self.file.display()))?;
        stdio::note(format_args!("{length} bytes, verified by their SHA-256"));
        crate::ui::write(format!("{}\n", self.file.display()).as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the name that a file has until it is complete.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
