//! Restores a snapshot with etcd's own tool.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use node::children::Children;
use node::last_words::Tail;
use sys::confine::Confinement;
use sys::process::{Exit, Stop};

/// Where the image has the tool.
pub const TOOL: &str = "/usr/bin/etcdutl";
/// How long it may take: it copies, reads and changes all data, on a card.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// How far revisions go on behind those of the snapshot: what was written after it had revisions, too, and whoever has seen
/// these must not take newer ones for them. etcd's own guide for Kubernetes has this number.
const BUMP: &str = "1000000000";

/// The reason why a snapshot could not be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("cannot start {}; does the image have it?", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} did not end within {} minutes, and was stopped; try again with a faster card or disk", program.display(), LIMIT.as_secs() / 60)]
    TooLong { program: PathBuf },
    #[error("{} cannot restore the snapshot ({exit}): {said}", program.display())]
    Failed {
        program: PathBuf,
        exit: Exit,
        said: String,
    },
}

/// The member that is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name of its node.
    pub name: String,
    /// Where other members reach it.
    pub peer_url: String,
    /// What no other cluster has. etcd makes its identity from it: members of the former cluster must not take this for theirs.
    pub token: String,
}

/// Runs etcd's tool.
#[derive(Clone)]
pub struct Restorer {
    children: Children,
    program: PathBuf,
}

impl Restorer {
    /// Makes one that starts this tool, `etcdutl`, as one of these children.
    pub fn new(children: Children, program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { children, program }
    }

    /// Makes etcd's data from a snapshot, in a folder that must not exist yet. When the caller stops waiting, the tool is killed.
    pub(crate) async fn restore(
        &self,
        snapshot: &Path,
        into: &Path,
        identity: &Identity,
    ) -> Result<(), RestoreError> {
        let program = || self.program.clone();
        let start = |source| RestoreError::Start {
            program: program(),
            source,
        };
        let said = into.with_extension("said");
        let log = std::fs::File::create(&said).map_err(start)?;
        let mut command = Command::new(&self.program);
        command
            .args(arguments(snapshot, into, identity))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(start)?)
            .stderr(log);
        // It reads what anybody may have written. Root's files are all that it takes.
        let nothing = Confinement {
            no_new_privileges: true,
            ..Confinement::default()
        };
        sys::confine::confine(&mut command, &nothing).map_err(|error| start(std::io::Error::other(error)))?;
        let mut child = self.children.spawn(&mut command).map_err(start)?;
        let _guard = KillOnDrop(&self.children, child.pid);
        match tokio::time::timeout(LIMIT, child.ended()).await {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(exit) => Err(RestoreError::Failed {
                program: program(),
                exit,
                said: last_words(&std::fs::read(&said).unwrap_or_default()),
            }),
            Err(_) => Err(RestoreError::TooLong { program: program() }),
        }
    }
}

struct KillOnDrop<'a>(&'a Children, u32);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        // A process that has ended is not hit, and an error leaves nothing to be done.
        let _ended = self.0.stop(self.1, Stop::Kill);
    }
}

fn arguments(snapshot: &Path, into: &Path, identity: &Identity) -> Vec<std::ffi::OsString> {
    let Identity {
        name,
        peer_url,
        token,
    } = identity;
    let words = [
        "--name",
        name,
        "--initial-cluster",
        &format!("{name}={peer_url}"),
        "--initial-advertise-peer-urls",
        peer_url,
        "--initial-cluster-token",
        token,
        "--bump-revision",
        BUMP,
        "--mark-compacted",
        "--data-dir",
    ];
    let mut arguments: Vec<_> = ["snapshot", "restore"].map(Into::into).into();
    arguments.push(snapshot.into());
    arguments.extend(words.map(Into::into));
    arguments.push(into.into());
    arguments
}

/// Returns the last line of what a program said, which is why it ended.
fn last_words(said: &[u8]) -> String {
    let mut tail = Tail::default();
    tail.add(said);
    let line = tail.line().unwrap_or_else(|| "it says nothing".to_owned());
    line.strip_prefix("Error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            name: "node1".into(),
            peer_url: "https://192.0.2.7:2380".into(),
            token: "home-2".into(),
        }
    }

    #[test]
    fn the_last_line_says_why() {
        assert_eq!(last_words(b"{\"info\"}\n\nError: no such file\n"), "no such file");
        assert_eq!(last_words(b" \n"), "it says nothing");
    }

    #[tokio::test]
    async fn a_tool_that_fails_or_is_not_there_is_named() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("etcd");
        let run = async |program: &str| {
            let restorer = Restorer::new(children.clone(), program);
            let ran = restorer.restore(Path::new("/nowhere"), &into, &identity()).await;
            ran.unwrap_err().to_string()
        };
        assert_eq!(
            run("/nowhere/etcdutl").await,
            "cannot start /nowhere/etcdutl; does the image have it?"
        );
        let failed = run("/bin/false").await;
        assert!(
            failed.contains("/bin/false cannot restore the snapshot") && failed.ends_with("it says nothing"),
            "{failed}"
        );
        reaper.abort();
    }
}
