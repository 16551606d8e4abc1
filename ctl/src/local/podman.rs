//! Nodes as privileged containers of Podman.

mod host;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use self::host::Host;
use super::image_builder;
use super::plan::Node;
use super::provisioner::{Provisioner, State};
use crate::ui;

/// The label with the cluster's name on everything that is made.
const CLUSTER: &str = "bedplate.cluster";
/// The label with the node's name on containers.
const NODE: &str = "bedplate.node";
/// The oldest Podman that is known to work: the first with the network stack that knows labels and fixed addresses.
const OLDEST: u64 = 4;
/// How long a node has to stop, in seconds.
const PATIENCE: &str = "20";
/// The image that is used unless another is named.
const IMAGE: &str = concat!("localhost/bedplate:", env!("CARGO_PKG_VERSION"));
/// How long healthy nodes are waited for.
const HEALTHY: Duration = Duration::from_secs(10 * 60);
/// Where machined looks for its config.
const CONFIG: &str = "/config/machine.yaml";

/// Podman on this host.
pub struct Podman;

impl Podman {
    /// Returns whether there is a Podman, of whatever version.
    pub fn is_installed() -> bool {
        let version = Command::new("podman").arg("--version").output();
        !version.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }
}

/// Runs podman, and returns what it wrote.
fn podman<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> anyhow::Result<String> {
    let mut command = Command::new("podman");
    command.args(arguments);
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("there is no podman: install it (`apt install podman`)"),
        _ => anyhow::Error::new(error).context("cannot run podman"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let what = command
        .get_args()
        .take(2)
        .collect::<Vec<_>>()
        .join(OsStr::new(" "));
    anyhow::bail!("podman {}: {}", what.display(), last_line(&said))
}

/// Returns the line of a program's complaint that says most.
fn last_line(said: &str) -> &str {
    let lines = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    lines
        .unwrap_or("it failed, and said nothing")
        .trim_start_matches("Error: ")
}

/// Returns the name of a network, or of the container of a node.
fn name(cluster: &str, node: Option<&str>) -> String {
    match node {
        Some(node) => format!("bedplate-{cluster}-{node}"),
        None => format!("bedplate-{cluster}"),
    }
}

fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// Returns the arguments that start a node. Pure.
fn run(host: &Host, cluster: &str, node: &Node, image: &str, config: &Path) -> Vec<String> {
    let own = name(cluster, Some(&node.name));
    let mut arguments = Vec::new();
    if host.needs_runc {
        arguments.extend(["--runtime", "runc"].map(str::to_owned));
    }
    arguments.extend(["run", "--detach", "--privileged", "--cgroupns", "private"].map(str::to_owned));
    for (kind, limit) in host.limits.iter().flatten() {
        arguments.extend(["--ulimit".to_owned(), format!("{kind}={limit}:{limit}")]);
    }
    let mut option = |key: &str, value: String| arguments.extend([key.to_owned(), value]);
    option("--name", own.clone());
    option("--hostname", node.name.clone());
    option("--label", label(CLUSTER, cluster));
    option("--label", label(NODE, &node.name));
    option("--network", name(cluster, None));
    option("--ip", node.address.to_string());
    // A node that restarts itself ends with an exit code, and one that is shut down stays down.
    option("--restart", "on-failure".to_owned());
    option("--tmpfs", "/run".to_owned());
    option("--volume", format!("{own}-data:/var:exec,suid,dev"));
    option("--volume", format!("{own}-state:/var/lib/bedplate"));
    option("--volume", format!("{}:{CONFIG}:ro", config.display()));
    arguments.push(image.to_owned());
    arguments
}

/// Lists what has the cluster's label, by the names or numbers that removing takes.
fn labelled(list: &[&str], cluster: &str) -> anyhow::Result<Vec<String>> {
    let filter = format!("label={}", label(CLUSTER, cluster));
    let text = podman(
        list.iter()
            .copied()
            .chain(["--filter", &filter, "--format", "{{.Name}}"]),
    )?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn containers(cluster: &str) -> anyhow::Result<BTreeMap<String, State>> {
    let filter = format!("label={}", label(CLUSTER, cluster));
    read::containers(
        &podman(["ps", "--all", "--filter", &filter, "--format", "json"])?,
        NODE,
    )
}

impl Provisioner for Podman {
    fn check(&self) -> anyhow::Result<()> {
        let version = podman(["version", "--format", "{{.Client.Version}}"])?;
        let major = version
            .trim()
            .split('.')
            .next()
            .and_then(|major| major.parse::<u64>().ok());
        anyhow::ensure!(
            major.is_some_and(|major| major >= OLDEST),
            "Podman {} is too old: clusters need {OLDEST}.0 or newer",
            version.trim()
        );
        let rootless = podman(["info", "--format", "{{.Host.Security.Rootless}}"])?;
        anyhow::ensure!(
            rootless.trim() == "false",
            "nodes are privileged containers, and rootless Podman cannot run them: run this as root (`sudo -E bedplate …`)"
        );
        Ok(())
    }

    fn usual_image(&self) -> String {
        IMAGE.to_owned()
    }

    fn build(&self, cluster: &str, kubernetes: &str, folder: &Path) -> anyhow::Result<String> {
        let file = folder.join("image.tar");
        let name = format!("localhost/bedplate-{cluster}:{}", env!("CARGO_PKG_VERSION"));
        let mut words = ["container", "--overlay", "kubernetes", "--kubernetes", kubernetes]
            .map(OsStr::new)
            .to_vec();
        words.extend([
            "--name".as_ref(),
            name.as_ref(),
            "--out".as_ref(),
            file.as_os_str(),
        ]);
        image_builder::run(words)?;
        ui::note("loading the image");
        let loaded = self.load(cluster, &file)?;
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        Ok(loaded)
    }

    fn load(&self, _: &str, file: &Path) -> anyhow::Result<String> {
        let text = podman([
            OsStr::new("load"),
            OsStr::new("--quiet"),
            OsStr::new("--input"),
            file.as_os_str(),
        ])
        .with_context(|| format!("cannot load {}", file.display()))?;
        let loaded = text.lines().find_map(|line| line.strip_prefix("Loaded image: "));
        loaded
            .map(str::to_owned)
            .with_context(|| format!("{} holds no image with a name", file.display()))
    }

    fn has(&self, image: &str) -> anyhow::Result<()> {
        podman(["image", "inspect", "--format", "{{.Id}}", image])
            .map(drop)
            .with_context(|| {
                format!(
                    "there is no image {image}: give its file with --image, or build one by --kubernetes PATH"
                )
            })
    }

    fn make_network(&self, cluster: &str) -> anyhow::Result<String> {
        let own = name(cluster, None);
        // Podman finds addresses that nothing else on this host uses.
        podman([
            "network",
            "create",
            "--disable-dns",
            "--label",
            &label(CLUSTER, cluster),
            &own,
        ])?;
        read::subnet(&podman(["network", "inspect", &own])?)
    }

    fn patience(&self) -> Duration {
        HEALTHY
    }

    fn start(&self, cluster: &str, node: &mut Node, image: &str, config: &Path) -> anyhow::Result<()> {
        let own = name(cluster, Some(&node.name));
        for part in ["data", "state"] {
            let volume = format!("{own}-{part}");
            podman(["volume", "create", "--label", &label(CLUSTER, cluster), &volume])?;
        }
        podman(run(&Host::look()?, cluster, node, image, config)).map(drop)
    }

    fn observe(&self, cluster: &str) -> anyhow::Result<BTreeMap<String, State>> {
        containers(cluster)
    }

    fn clusters(&self) -> anyhow::Result<Vec<String>> {
        let mut found = BTreeSet::new();
        let filter = format!("label={CLUSTER}");
        for list in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
            let arguments = list
                .iter()
                .copied()
                .chain(["--filter", &filter, "--format", "json"]);
            found.extend(read::labels(&podman(arguments)?, CLUSTER)?);
        }
        Ok(found.into_iter().collect())
    }

    fn destroy(&self, cluster: &str) -> anyhow::Result<Vec<String>> {
        let mut removed = Vec::new();
        let mut problems = Vec::new();
        let mut remove = |what: &[&str], names: Vec<String>| {
            for name in names {
                match podman(what.iter().copied().chain([name.as_str()])) {
                    Ok(_) => removed.push(name),
                    Err(error) => problems.push(format!("{error:#}")),
                }
            }
        };
        let nodes = containers(cluster)?.into_keys();
        let nodes: Vec<String> = nodes.map(|node| name(cluster, Some(&node))).collect();
        // First all that run, so that none is started again meanwhile.
        remove(&["rm", "--force", "--time", PATIENCE, "--volumes"], nodes);
        remove(
            &["volume", "rm", "--force"],
            labelled(&["volume", "ls"], cluster)?,
        );
        remove(
            &["network", "rm", "--force"],
            labelled(&["network", "ls"], cluster)?,
        );
        match problems.is_empty() {
            true => Ok(removed),
            false => Err(anyhow::anyhow!("{}", problems.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_started_with_everything_that_it_is_found_by() {
        let node = Node {
            name: "worker-1".into(),
            control_plane: false,
            address: [10, 89, 3, 12].into(),
            forwarded: None,
        };
        let arguments = |host: &Host| {
            run(
                host,
                "lab",
                &node,
                "localhost/bedplate:1",
                Path::new("/s/worker.yaml"),
            )
            .join(" ")
        };
        let plain = Host {
            needs_runc: false,
            limits: None,
        };
        assert_eq!(
            arguments(&plain),
            "run --detach --privileged --cgroupns private --name bedplate-lab-worker-1 --hostname worker-1 \
             --label bedplate.cluster=lab --label bedplate.node=worker-1 --network bedplate-lab --ip 10.89.3.12 \
             --restart on-failure --tmpfs /run --volume bedplate-lab-worker-1-data:/var:exec,suid,dev \
             --volume bedplate-lab-worker-1-state:/var/lib/bedplate --volume /s/worker.yaml:/config/machine.yaml:ro \
             localhost/bedplate:1"
        );
        let confined = Host {
            needs_runc: true,
            limits: Some([("nofile", 20_000), ("nproc", 16_384)]),
        };
        let text = arguments(&confined);
        assert!(text.starts_with("--runtime runc run "), "{text}");
        assert!(
            text.contains(" --ulimit nofile=20000:20000 --ulimit nproc=16384:16384 "),
            "{text}"
        );
    }

    #[test]
    fn the_reason_is_the_last_line() {
        assert_eq!(
            last_line("WARN[0000] x\nError: no such image\n\n"),
            "no such image"
        );
        assert_eq!(last_line(""), "it failed, and said nothing");
    }
}
