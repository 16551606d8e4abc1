//! Makes and checks the file systems of volumes, with the tools of e2fsprogs.

use std::path::Path;
use std::process::Command;

use async_trait::async_trait;
use node::children::{Children, Output};
use state::kinds::Volume;
use sys::confine::Confinement;
use sys::process::Exit;

use super::content::Step;

const MKE2FS: &str = "/usr/sbin/mke2fs";
const E2FSCK: &str = "/usr/sbin/e2fsck";

/// Runs programs to their end.
#[async_trait]
pub trait Tools: Send + Sync {
    /// Runs one program with these arguments.
    async fn run(&self, program: &'static str, arguments: Vec<String>) -> std::io::Result<Output>;
}

#[async_trait]
impl Tools for Children {
    async fn run(&self, program: &'static str, arguments: Vec<String>) -> std::io::Result<Output> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        // The factory's own defaults, whatever else may stand in /etc.
        command.env("MKE2FS_CONFIG", "/usr/share/factory/etc/mke2fs.conf");
        // They read disks that anybody may have written. Root's files and devices are all that it takes.
        let nothing = Confinement {
            no_new_privileges: true,
            ..Confinement::default()
        };
        sys::confine::confine(&mut command, &nothing).map_err(std::io::Error::other)?;
        self.run_to_end(command).await
    }
}

/// Says why a volume cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program did not start.
    #[error("cannot start {program}; does the image have it?")]
    Start {
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The program says no.
    #[error("{program} on {device} ended with {exit}: {text}")]
    Tool {
        /// The program.
        program: &'static str,
        /// The partition.
        device: String,
        /// How it ended.
        exit: Exit,
        /// What it said.
        text: String,
    },
    /// There is something on it that we did not make.
    #[error(
        "{device} holds neither zeros nor a file system that can be rescued ({text}); if nothing on it matters, recreate it: bedplate reset --scope data, or --scope all for STATE"
    )]
    Unknown {
        /// The partition.
        device: String,
        /// What e2fsck said.
        text: String,
    },
}

/// Says what was done to a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prepared {
    /// A file system was made.
    pub formatted: bool,
    /// The file system had faults, and has none now.
    pub repaired: bool,
}

/// Does a step to a volume, so that it can be mounted.
pub async fn prepare(
    tools: &dyn Tools,
    volume: Volume,
    device: &Path,
    step: Step,
) -> Result<Prepared, Error> {
    match step {
        Step::Format => format(tools, volume, device).await,
        Step::Check => check(tools, device, &[GENTLE, THOROUGH]).await,
        Step::Rescue => check(tools, device, &[THOROUGH])
            .await
            .map_err(|error| match error {
                Error::Tool { device, text, .. } => Error::Unknown { device, text },
                other => other,
            }),
    }
}

async fn format(tools: &dyn Tools, volume: Volume, device: &Path) -> Result<Prepared, Error> {
    let output = run(tools, MKE2FS, format_arguments(volume, device)).await?;
    match output.exit {
        Exit::Code(0) => Ok(Prepared {
            formatted: true,
            repaired: false,
        }),
        exit => Err(failed(MKE2FS, device, exit, output.text)),
    }
}

fn format_arguments(volume: Volume, device: &Path) -> Vec<String> {
    // STATE is small: with small blocks it has several groups, and so spare superblocks, by which it can be rescued.
    // It has no reserve for root, who is all there is.
    // Cards erase 4 MiB at a time: the stripe width makes allocation group its writes by that. What is left for
    // later (lazy) is written when the node is idle, so that a first boot does not wait for it.
    let (block, reserve, extended) = match volume {
        Volume::State => (
            "1024",
            "0",
            "stripe_width=4096,lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        ),
        Volume::Data => (
            "4096",
            "1",
            "stripe_width=1024,lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        ),
    };
    let device = device.display().to_string();
    let mut arguments = vec!["-q", "-F", "-t", "ext4", "-b", block, "-m", reserve];
    arguments.extend(["-L", volume.partition(), "-E", extended]);
    arguments.push(&device);
    arguments.into_iter().map(str::to_owned).collect()
}

/// Repairs what can be repaired without loss, as after a power cut.
const GENTLE: &[&str] = &["-p"];
/// Repairs everything, from a spare superblock if need be: nobody is there to be asked.
const THOROUGH: &[&str] = &["-f", "-y"];

/// Checks in one pass after the other until nothing is left to repair.
async fn check(tools: &dyn Tools, device: &Path, passes: &[&[&str]]) -> Result<Prepared, Error> {
    let mut last = (Exit::Code(0), String::new());
    for (number, modes) in passes.iter().enumerate() {
        let mut arguments: Vec<String> = modes.iter().map(|mode| (*mode).to_owned()).collect();
        arguments.push(device.display().to_string());
        let output = run(tools, E2FSCK, arguments).await?;
        match output.exit {
            Exit::Code(0) => {
                return Ok(Prepared {
                    formatted: false,
                    repaired: number > 0,
                });
            }
            // 1: faults were repaired; 2: and the machine should restart, which only matters for a mounted one.
            Exit::Code(1..=3) => {
                return Ok(Prepared {
                    formatted: false,
                    repaired: true,
                });
            }
            exit => last = (exit, output.text),
        }
    }
    Err(failed(E2FSCK, device, last.0, last.1))
}

async fn run(tools: &dyn Tools, program: &'static str, arguments: Vec<String>) -> Result<Output, Error> {
    tools
        .run(program, arguments)
        .await
        .map_err(|source| Error::Start { program, source })
}

fn failed(program: &'static str, device: &Path, exit: Exit, text: String) -> Error {
    let last = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .to_owned();
    Error::Tool {
        program,
        device: device.display().to_string(),
        exit,
        text: last,
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::Mutex;

    use super::*;

    /// Answers with given exits, and remembers what was run.
    #[derive(Default)]
    pub struct RecordingTools {
        pub exits: Mutex<Vec<i32>>,
        pub calls: Mutex<Vec<String>>,
    }

    impl RecordingTools {
        pub fn answering(exits: &[i32]) -> Self {
            RecordingTools {
                exits: Mutex::new(exits.iter().rev().copied().collect()),
                calls: Mutex::default(),
            }
        }
    }

    #[async_trait]
    impl Tools for RecordingTools {
        async fn run(&self, program: &'static str, arguments: Vec<String>) -> std::io::Result<Output> {
            self.calls
                .lock()
                .unwrap()
                .push(format!("{program} {}", arguments.join(" ")));
            let exit = Exit::Code(self.exits.lock().unwrap().pop().unwrap_or(0));
            Ok(Output {
                exit,
                text: "what it said".into(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::testing::RecordingTools;
    use super::*;
    use crate::content::{decide, look, read_head};

    async fn prepared(step: Step, exits: &[i32]) -> (Result<Prepared, Error>, Vec<String>) {
        let tools = RecordingTools::answering(exits);
        let result = prepare(&tools, Volume::State, Path::new("/dev/vda6"), step).await;
        (result, tools.calls.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_blank_volume_gets_a_file_system() {
        let (result, calls) = prepared(Step::Format, &[0]).await;
        assert_eq!(
            result.unwrap(),
            Prepared {
                formatted: true,
                repaired: false
            }
        );
        assert!(
            calls[0].starts_with("/usr/sbin/mke2fs -q -F -t ext4 -b 1024"),
            "{calls:?}"
        );
        assert!(
            calls[0].ends_with("/dev/vda6") && calls[0].contains(" -L STATE "),
            "{calls:?}"
        );
    }

    #[tokio::test]
    async fn checks_gently_then_thoroughly_then_gives_up() {
        let gentle = "/usr/sbin/e2fsck -p /dev/vda6".to_owned();
        let thorough = "/usr/sbin/e2fsck -f -y /dev/vda6".to_owned();
        let (clean, repaired) = (
            Prepared::default(),
            Prepared {
                formatted: false,
                repaired: true,
            },
        );
        for (exits, outcome, tries) in [
            (&[0][..], Some(clean), 1),
            (&[1], Some(repaired), 1),
            (&[4, 1], Some(repaired), 2),
            (&[4, 0], Some(repaired), 2),
            (&[4, 4], None, 2),
            (&[8, 1], Some(repaired), 2),
            (&[8, 8], None, 2),
        ] {
            let (result, calls) = prepared(Step::Check, exits).await;
            assert_eq!(result.ok(), outcome, "{exits:?}");
            assert_eq!(calls, [gentle.clone(), thorough.clone()][..tries], "{exits:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_rescued_is_left_alone_with_advice() {
        let (result, calls) = prepared(Step::Rescue, &[8]).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("bedplate reset --scope data"), "{error}");
        assert!(calls.iter().all(|call| !call.contains("mke2fs")), "{calls:?}");
    }

    #[tokio::test]
    async fn programs_that_read_disks_have_no_capabilities() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        let cat: &dyn Tools = &children;
        let said = cat.run("/bin/cat", vec!["/proc/self/status".to_owned()]).await;
        let said = said.unwrap().text;
        reaper.abort();
        for none in [
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(said.contains(none), "{none}: {said}");
        }
    }

    /// With the real programs, on a file.
    #[tokio::test]
    async fn a_volume_survives_the_loss_of_its_first_block() {
        let children = Children::new();
        let reaper = tokio::spawn(children.clone().reap_forever());
        for volume in Volume::ALL {
            let file = tempfile::NamedTempFile::new().unwrap();
            let len = if volume == Volume::State { 64 } else { 300 };
            file.as_file().set_len(len * 1024 * 1024).unwrap();
            let found = |written| decide(look(&read_head(file.path()).unwrap()), written);
            assert_eq!(found(false), Step::Format);
            let made = prepare(&children, volume, file.path(), Step::Format)
                .await
                .unwrap();
            assert!(made.formatted);
            assert_eq!(found(true), Step::Check);
            assert_eq!(
                prepare(&children, volume, file.path(), Step::Check)
                    .await
                    .unwrap(),
                Prepared::default()
            );
            for byte in [7, 0] {
                file.as_file().write_all_at(&[byte; 4096], 0).unwrap();
                assert_eq!(found(true), Step::Rescue);
                let rescued = prepare(&children, volume, file.path(), Step::Rescue)
                    .await
                    .unwrap();
                assert!(rescued.repaired && !rescued.formatted);
                assert_eq!(found(true), Step::Check);
            }
        }
        reaper.abort();
    }
}
