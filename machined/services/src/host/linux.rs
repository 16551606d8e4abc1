//! The machine itself.

use std::collections::HashMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use node::boot::etc;
use node::children::Children;
use node::logs::{Capture, Logs};
use service_definition::{Check, Definition, Directory, KillMode, User};
use state::kinds::{Rights, ServiceFile};
use sys::process::Stop;

use super::files::ServiceFiles;
use super::isolate::isolate;
use super::{Host, HostError, Process, probe};
use crate::cgroup::{Cgroups, PARENT};
use crate::writes::Written;
use crate::{containerd, rights};

/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// How often to check whether they are.
const LOOK: Duration = Duration::from_millis(20);

/// A host that runs services as processes of this machine, each in its cgroup, and logs what they write.
pub struct LinuxHost {
    children: Children,
    cgroups: Arc<dyn Cgroups>,
    logs: Logs,
    captures: Mutex<HashMap<String, Capture>>,
    files: ServiceFiles,
    /// Where users are listed. One at a time adds to it.
    etc: Mutex<PathBuf>,
}

impl LinuxHost {
    /// Makes a host whose processes are reaped by `children`, and speak into `logs`.
    pub fn new(children: Children, cgroups: Arc<dyn Cgroups>, logs: Logs) -> Self {
        LinuxHost {
            children,
            cgroups,
            logs,
            captures: Mutex::default(),
            files: ServiceFiles::below(Path::new("/")),
            etc: Mutex::new("/etc".into()),
        }
    }

    /// Keeps files of services and the list of users below `root` instead of `/`.
    #[must_use]
    pub fn below(self, root: &Path) -> Self {
        LinuxHost {
            files: ServiceFiles::below(root),
            etc: Mutex::new(root.join("etc")),
            ..self
        }
    }

    fn install(&self, service: &Definition, files: &[ServiceFile]) -> Result<(), HostError> {
        let installed = self
            .files
            .install(&service.name, service.run.user.as_ref(), files);
        installed.map_err(file_error)
    }

    /// Gives the user of a service a name, for programs that look for it. The number is what counts.
    fn name_user(&self, service: &Definition) {
        let Some(user) = &service.run.user else { return };
        let etc = self.etc.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = etc::add_users(&etc, [user]) {
            tracing::warn!(
                "{}: cannot list its user in {}: {error}",
                service.name,
                etc.display()
            );
        }
    }

    /// Returns the pipe for what a service says: the same one for all its processes, however often it starts.
    fn output(&self, name: &str) -> io::Result<(Stdio, Stdio)> {
        let mut captures = self.captures.lock().unwrap_or_else(PoisonError::into_inner);
        let capture = match captures.entry(name.to_owned()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Capture::start(self.logs.ring(name))?)
            }
        };
        Ok((capture.stdio()?, capture.stdio()?))
    }

    fn command(&self, service: &Definition, files: &[ServiceFile]) -> Result<Command, HostError> {
        self.name_user(service);
        for directory in &service.directories {
            make(directory, service.run.user.as_ref()).map_err(|source| HostError::Folder {
                path: directory.path.display().to_string(),
                source,
            })?;
        }
        self.install(service, files)?;
        let lacking = self.cgroups.prepare(&service.name, &service.resources)?;
        if !lacking.is_empty() {
            let name = &service.name;
            tracing::warn!(
                "{name}: this kernel knows no {}: runs without",
                lacking.join(", ")
            );
        }
        let (stdout, stderr) = self.output(&service.name).map_err(HostError::Capture)?;
        let mut command = Command::new(&service.run.program);
        command
            .args(&service.run.arguments)
            .env_clear()
            .envs(&service.run.environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        isolate(
            &mut command,
            &service.run,
            self.cgroups.folder(&service.name).as_deref(),
        )?;
        Ok(command)
    }
}

#[async_trait]
impl Host for LinuxHost {
    async fn spawn(&self, service: &Definition, files: &[ServiceFile]) -> Result<Process, HostError> {
        let mut command = self.command(service, files)?;
        let children = self.children.clone();
        // From a slow card, starting a program takes its time.
        let started = tokio::task::spawn_blocking(move || children.spawn(&mut command));
        let started = started.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let child = started.map_err(|source| HostError::Start {
            program: service.run.program.clone(),
            source,
        })?;
        if service.run.oom_score_adj != 0 {
            let path = format!("/proc/{}/oom_score_adj", child.pid);
            // The process may have ended already, which its exit reports.
            if let Err(error) = fs::write(&path, service.run.oom_score_adj.to_string()) {
                tracing::warn!("{}: cannot write {path}: {error}", service.name);
            }
        }
        Ok(Process {
            pid: child.pid,
            exit: child.into_exit(),
        })
    }

    fn refresh(&self, service: &Definition, files: &[ServiceFile]) -> Result<(), HostError> {
        self.install(service, files)
    }

    fn forget(&self, service: &Definition) -> Result<(), HostError> {
        self.files.remove(&service.name).map_err(file_error)?;
        // What a service left running, as its kill mode lets it, stays where it is.
        match self.cgroups.is_populated(&service.name) {
            true => Ok(()),
            false => Ok(self.cgroups.remove(&service.name)?),
        }
    }

    fn terminate(&self, pid: u32) -> Result<(), HostError> {
        Ok(self.children.stop(pid, Stop::Terminate)?)
    }

    fn kill(&self, service: &Definition, pid: u32) -> Result<(), HostError> {
        // The main process first, and in any case: there may be no cgroup.
        self.children.stop(pid, Stop::Kill)?;
        match service.kill_mode {
            KillMode::Cgroup => Ok(self.cgroups.kill(&service.name)?),
            KillMode::Process => Ok(()),
        }
    }

    async fn sweep(&self, service: &Definition) -> Result<(), HostError> {
        if service.kill_mode == KillMode::Process || !self.cgroups.is_populated(&service.name) {
            return Ok(());
        }
        self.cgroups.kill(&service.name)?;
        let gone = async {
            while self.cgroups.is_populated(&service.name) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(GONE, gone)
            .await
            .map_err(|_| HostError::Remains {
                service: service.name.clone(),
                seconds: GONE.as_secs(),
            })
    }

    async fn check(&self, service: &Definition, check: &Check) -> Result<(), String> {
        match check {
            Check::Cri(socket) => containerd::ready(socket).await,
            Check::UnixSocket(path) => probe::unix_socket(path).await,
            Check::Tcp(address) => probe::tcp(*address).await,
            Check::Http { address, path, tls } => probe::http(*address, path, tls.as_ref()).await,
            Check::Exec(command) => {
                let folder = self.cgroups.folder(&service.name);
                probe::exec(&self.children, command, &service.run, folder.as_deref()).await
            }
        }
    }

    fn memory(&self, service: &Definition) -> Option<u64> {
        self.cgroups.memory(&service.name)
    }

    fn written(&self, service: &Definition) -> Option<Written> {
        self.cgroups.written(&service.name)
    }

    fn rights(&self, pid: u32) -> Option<Rights> {
        rights::of(pid)
    }

    fn cgroup(&self, service: &Definition) -> String {
        match self.cgroups.folder(&service.name) {
            Some(_) => format!("/{PARENT}/{}", service.name),
            None => String::new(),
        }
    }
}

fn file_error((path, source): (PathBuf, io::Error)) -> HostError {
    HostError::File {
        path: path.display().to_string(),
        source,
    }
}

/// Makes a folder, with its parents. One that is there gets the mode and owner that it should have.
fn make(directory: &Directory, user: Option<&User>) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&directory.path)?;
    fs::set_permissions(&directory.path, fs::Permissions::from_mode(directory.mode))?;
    match user {
        Some(user) => chown(&directory.path, Some(user.id), Some(user.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
