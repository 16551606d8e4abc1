//! Runs one container in the foreground, from its start to its end.
//!
//! It is the program of the workload's service: the supervisor starts it again, asks it to end, checks its health and keeps
//! what it prints, as with every other service.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use containerd::{Containerd, ImageStore as _, WORKLOADS};
use node::last_words::Tail;
use state::ControllerError;
use sys::namespace::NetworkNamespace;
use tokio::net::UnixListener;

use crate::devices;
use crate::image::{Runnable, config_digest, runnable};
use crate::oci::{self, Folders};
use crate::settings::{Network, Settings};
use crate::usage;

const TERM: u32 = 15;
const KILL: u32 = 9;
/// How long containerd may be away, as when it is restarted, before its container counts as lost.
const AWAY: Duration = Duration::from_secs(60);
/// How long what a container printed last may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(200);
const PIECE: usize = 16 << 10;

/// Where things are on the node.
#[derive(Debug, Clone)]
pub struct Places {
    /// containerd's socket.
    pub socket: PathBuf,
    /// The folder, in memory, with a folder for each workload that runs.
    pub run: PathBuf,
    /// The folder with the volumes of all workloads.
    pub volumes: PathBuf,
    /// The file with the names of workloads on the bridge.
    pub hosts: PathBuf,
    /// Where the node's cgroups are.
    pub cgroups: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            socket: containerd::SOCKET.into(),
            run: "/run/bedplate/workloads".into(),
            volumes: "/var/lib/workloads/volumes".into(),
            hosts: "/run/bedplate/workloads.hosts".into(),
            cgroups: "/sys/fs/cgroup".into(),
        }
    }
}

impl Places {
    /// Returns the folder of a workload that runs.
    pub fn of(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// Returns the socket that takes connections while the container runs.
    pub fn up(&self, name: &str) -> PathBuf {
        self.of(name).join("up")
    }

    /// Returns the file that says why the container did not start, or how it ended.
    pub fn reason(&self, name: &str) -> PathBuf {
        self.of(name).join("reason")
    }
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub code: u32,
    /// Set when the kernel killed something in it because its memory was used up.
    pub out_of_memory: bool,
    /// Set when it was asked to end.
    pub asked: bool,
}

/// Runs a container of these settings until it ends, or ends it when it is asked to.
///
/// # Errors
///
/// It cannot be started, or containerd was away for too long.
pub async fn run(
    settings: &Settings,
    places: &Places,
    asked: impl Future<Output = ()>,
) -> Result<Ended, ControllerError> {
    let containerd = Containerd::connect(&places.socket, WORKLOADS)
        .await?
        .with_lease(&settings.name);
    // What a runner that was killed left behind.
    containerd.remove(&settings.name).await?;
    fresh_folder(&places.of(&settings.name))?;
    let image = image(&containerd, settings).await?;
    let output = (
        places.of(&settings.name).join("out"),
        places.of(&settings.name).join("err"),
    );
    sys::fifo::make(&output.0)?;
    sys::fifo::make(&output.1)?;
    forward(&output.0, std::io::stdout())?;
    forward(&output.1, std::io::stderr())?;
    let created = create(&containerd, settings, places, &image, (&output.0, &output.1)).await;
    let ended = match created {
        Ok(()) => attend(&containerd, settings, places, &image, asked).await,
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(places.up(&settings.name));
    tokio::time::sleep(LAST_WORDS).await;
    let removed = containerd.remove(&settings.name).await;
    let ended = ended?;
    removed?;
    Ok(ended)
}

/// Reads the image, and unpacks it if it is not.
async fn image(containerd: &Containerd, settings: &Settings) -> Result<Runnable, ControllerError> {
    let name = &settings.image;
    let digest = containerd
        .digest(name)
        .await?
        .ok_or_else(|| ControllerError::msg(format!("the image {name} is not there")))?;
    let manifest = containerd.read(&digest).await?;
    let config = containerd.read(&config_digest(&manifest)?).await?;
    Ok(runnable(&manifest, &config)?)
}

async fn create(
    containerd: &Containerd,
    settings: &Settings,
    places: &Places,
    image: &Runnable,
    output: (&Path, &Path),
) -> Result<(), ControllerError> {
    let devices = devices::find(&settings.devices, Path::new("/dev"), Path::new("/sys"))?;
    let owner = oci::user(settings, &image.execution)?;
    let secrets = places.of(&settings.name).join("secrets");
    write_secrets(&secrets, settings, owner)?;
    make_volumes(&places.volumes, settings, owner)?;
    // Held until the container's first process is in it.
    let namespace = match &settings.network {
        Network::Bridge(place) => Some(place.join().await?),
        Network::None | Network::Host => None,
    };
    let folders = Folders {
        volumes: &places.volumes.display().to_string(),
        secrets: &secrets.display().to_string(),
        hosts: &places.hosts.display().to_string(),
        namespace: namespace.as_ref().map(NetworkNamespace::path),
    };
    let spec = oci::spec(settings, &image.execution, &devices, &folders)?;
    let chain = image
        .layers
        .last()
        .map(|layer| layer.chain.as_str())
        .unwrap_or_default();
    containerd.begin().await?;
    let started = async {
        containerd.unpack(&image.config_digest, &image.layers).await?;
        let spec = serde_json::to_vec(&spec)?;
        containerd
            .create(&settings.name, &settings.image, chain, spec, output)
            .await?;
        containerd.start(&settings.name, "").await
    };
    let started = started.await;
    drop(namespace);
    // From here on the container itself keeps what it needs.
    let ended = containerd.end().await;
    started.and(ended)
}

/// Waits for the end of a container, or brings it about when that is asked for.
async fn attend(
    containerd: &Containerd,
    settings: &Settings,
    places: &Places,
    image: &Runnable,
    asked: impl Future<Output = ()>,
) -> Result<Ended, ControllerError> {
    let listener = UnixListener::bind(places.up(&settings.name))?;
    let answering = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let ended = tokio::select! {
        // Not cancel safe, and need not be: what follows waits from scratch.
        code = wait(containerd, settings, places) => code.map(|code| (code, false)),
        // Cancel safe.
        () = asked => stop(containerd, settings, places, image).await.map(|code| (code, true)),
    };
    answering.abort();
    let (code, asked) = ended?;
    Ok(Ended {
        code,
        out_of_memory: out_of_memory(&places.cgroups, &settings.name),
        asked,
    })
}

async fn stop(
    containerd: &Containerd,
    settings: &Settings,
    places: &Places,
    image: &Runnable,
) -> Result<u32, ControllerError> {
    let named = image
        .execution
        .stop_signal
        .as_deref()
        .filter(|signal| !signal.is_empty())
        .and_then(number);
    let signal = settings.stop_signal.or(named).unwrap_or(TERM);
    containerd.signal(&settings.name, signal, false).await?;
    let grace = Duration::from_secs(settings.grace_seconds);
    match tokio::time::timeout(grace, wait(containerd, settings, places)).await {
        Ok(code) => code,
        Err(_) => {
            stdio::note(format!(
                "it did not end in {} s, and is killed",
                settings.grace_seconds
            ));
            containerd.signal(&settings.name, KILL, true).await?;
            wait(containerd, settings, places).await
        }
    }
}

/// Waits for the end of a container, also over a restart of containerd, which containers outlive.
async fn wait(containerd: &Containerd, settings: &Settings, places: &Places) -> Result<u32, ControllerError> {
    let mut failed = match containerd.wait(&settings.name, "").await {
        Ok(code) => return Ok(code),
        Err(error) => error,
    };
    let until = tokio::time::Instant::now() + AWAY;
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = async {
            let again = Containerd::connect(&places.socket, WORKLOADS).await?;
            again.wait(&settings.name, "").await
        };
        match again.await {
            Ok(code) => return Ok(code),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Returns the number of a signal by its name or number, as images have it.
fn number(name: &str) -> Option<u32> {
    let all = machine_config::v1alpha1::StopSignal::ALL;
    let named = all
        .iter()
        .find(|(known, _)| *known == name || known.strip_prefix("SIG") == Some(name));
    let number = || name.parse().ok().filter(|number| (1..=64).contains(number));
    named.map(|(_, signal)| signal.number()).or_else(number)
}

/// Tells whether the kernel killed something in a cgroup because its memory was used up.
fn out_of_memory(cgroups: &Path, name: &str) -> bool {
    let own = oci::cgroup(name);
    let file = cgroups.join(own.trim_start_matches('/')).join("memory.events");
    let text = fs::read_to_string(file).unwrap_or_default();
    usage::field(&text, "oom_kill").is_some_and(|count| count > 0)
}

fn fresh_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

fn write_secrets(folder: &Path, settings: &Settings, owner: (u32, u32)) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o500).create(folder)?;
    for secret in &settings.secrets {
        let path = folder.join(&secret.name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o400).open(&path)?;
        io::Write::write_all(&mut file, secret.value.as_bytes())?;
        std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))?;
    }
    std::os::unix::fs::chown(folder, Some(owner.0), Some(owner.1))
}

/// Makes the folders of volumes that are not there; one that is keeps its owner.
fn make_volumes(root: &Path, settings: &Settings, owner: (u32, u32)) -> io::Result<()> {
    for mount in &settings.mounts {
        let mut folder = root.to_owned();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder)?;
        for part in mount.volume.split('/') {
            folder.push(part);
            match fs::symlink_metadata(&folder) {
                // A workload that writes to an outer folder could lead another one elsewhere.
                Ok(meta) if !meta.is_dir() => {
                    let text = format!("{} is not a folder", folder.display());
                    return Err(io::Error::other(text));
                }
                Ok(_) => {}
                Err(_) => {
                    fs::DirBuilder::new().mode(0o750).create(&folder)?;
                    std::os::unix::fs::chown(&folder, Some(owner.0), Some(owner.1))?;
                }
            }
        }
    }
    Ok(())
}

/// Hands on what arrives in a FIFO, in a thread of its own that lives as long as the process.
fn forward(fifo: &Path, mut to: impl io::Write + Send + 'static) -> io::Result<()> {
    // Also open for writing here, so that it never seems to end.
    let mut from = fs::OpenOptions::new().read(true).write(true).open(fifo)?;
    std::thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || {
            let mut piece = vec![0; PIECE];
            // When nobody takes it any more, there is nothing left to do with it.
            while let Ok(count) = io::Read::read(&mut from, &mut piece) {
                if to.write_all(&piece[..count]).and_then(|()| to.flush()).is_err() {
                    break;
                }
            }
        })?;
    Ok(())
}

/// Asks a program in a running container how it is.
///
/// # Errors
///
/// It cannot be run, or ends with something else than 0.
pub async fn check(settings: &Settings, places: &Places) -> Result<(), ControllerError> {
    let containerd = Containerd::connect(&places.socket, WORKLOADS).await?;
    let image = image(&containerd, settings).await?;
    let process = oci::process(settings, &image.execution, &settings.check)?;
    let name = format!("check-{}", std::process::id());
    let output = places.of(&settings.name).join(&name);
    sys::fifo::make(&output)?;
    let said = Said::default();
    let code = async {
        forward(&output, said.clone())?;
        let process = serde_json::to_vec(&process)?;
        containerd.exec(&settings.name, &name, process, &output).await?;
        let code = async {
            containerd.start(&settings.name, &name).await?;
            containerd.wait(&settings.name, &name).await
        };
        let code = code.await;
        // It has said everything when it is gone.
        containerd.remove_exec(&settings.name, &name).await?;
        code
    };
    let code = code.await;
    let _ = fs::remove_file(&output);
    match code? {
        0 => Ok(()),
        code => {
            tokio::time::sleep(LAST_WORDS).await;
            let why = said.line().map(|line| format!(": {line}"));
            Err(ControllerError::msg(format!(
                "the check ended with {code}{}",
                why.unwrap_or_default()
            )))
        }
    }
}

/// What a check says, taken by the thread that reads it.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Tail>>);

impl Said {
    fn line(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).line()
    }
}

impl io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
