//! A host without processes, for tests: it records its calls, and its processes end when the test says so.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use service_definition::{Check, Definition, KillMode};
use state::kinds::{Rights, ServiceFile};
use sys::process::Exit;
use tokio::sync::{oneshot, watch};

use super::{Host, HostError, Process};
use crate::writes::Written;

/// One call that a [`RecordingHost`] took: the service it was about comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCall {
    /// It was started.
    Spawn(String),
    /// It was asked to end.
    Terminate(String),
    /// It was killed.
    Kill(String),
    /// Its files were replaced while it ran.
    Refresh(String),
    /// What was made for it was removed.
    Forget(String),
}

/// A record of the calls to a host. Processes end when they are asked to, unless they are made stubborn.
pub struct RecordingHost {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    calls: Vec<HostCall>,
    running: BTreeMap<u32, (String, oneshot::Sender<Exit>)>,
    /// What each process runs: its command line without the program, and its files.
    programs: BTreeMap<u32, Program>,
    /// Services that had two processes at once.
    doubled: Vec<String>,
    started: u32,
    stubborn: Vec<String>,
    slow: BTreeMap<String, Duration>,
    panics: Vec<String>,
    missing: Vec<String>,
    unhealthy: BTreeMap<String, String>,
    checks: u32,
}

/// What a process was started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its files, as they were written last.
    pub files: Vec<ServiceFile>,
}

impl Default for RecordingHost {
    fn default() -> Self {
        RecordingHost {
            state: Mutex::default(),
            changes: watch::channel(0).0,
        }
    }
}

impl RecordingHost {
    /// Returns the calls so far, in order.
    pub fn calls(&self) -> Vec<HostCall> {
        self.state().calls.clone()
    }

    /// Returns the number of processes of a service that run.
    pub fn running(&self, name: &str) -> usize {
        let state = self.state();
        state
            .running
            .values()
            .filter(|(service, _)| service == name)
            .count()
    }

    /// Returns what the process of a service runs; none when it has none.
    pub fn program(&self, name: &str) -> Option<Program> {
        let state = self.state();
        let pid = state.pid(name)?;
        state.programs.get(&pid).cloned()
    }

    /// Names the services that ever had two processes at once.
    pub fn doubled(&self) -> Vec<String> {
        self.state().doubled.clone()
    }

    /// Ends the process of a service.
    pub fn end(&self, name: &str, exit: Exit) {
        let mut state = self.state();
        if let Some(pid) = state.pid(name) {
            state.end(pid, exit);
        }
    }

    /// Makes a service end only when it is killed.
    pub fn make_stubborn(&self, name: &str) {
        self.state().stubborn.push(name.to_owned());
    }

    /// Makes each start of a service take its time.
    pub fn make_slow(&self, name: &str, time: Duration) {
        self.state().slow.insert(name.to_owned(), time);
    }

    /// Makes the supervision of a service panic when its process has ended: an error of ours, for tests of what contains it.
    pub fn panic_at_next_end(&self, name: &str) {
        self.state().panics.push(name.to_owned());
    }

    /// Takes the program of a service away, or gives it back.
    pub fn set_missing(&self, name: &str, missing: bool) {
        let mut state = self.state();
        state.missing.retain(|other| other != name);
        if missing {
            state.missing.push(name.to_owned());
        }
    }

    /// Lets the checks of a service fail, or succeed again.
    pub fn set_health(&self, name: &str, health: Result<(), &str>) {
        let mut state = self.state();
        match health {
            Ok(()) => state.unhealthy.remove(name),
            Err(reason) => state.unhealthy.insert(name.to_owned(), reason.to_owned()),
        };
    }

    /// Returns how many checks were made.
    pub fn checks(&self) -> u32 {
        self.state().checks
    }

    /// Waits until the calls so far satisfy a condition.
    pub async fn until(&self, condition: impl Fn(&[HostCall]) -> bool) {
        let mut changes = self.changes.subscribe();
        while !condition(&self.calls()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn record(&self, call: HostCall) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.calls.push(call);
        self.changes.send_modify(|count| *count += 1);
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pid(&self, name: &str) -> Option<u32> {
        let mut running = self.running.iter();
        running
            .find(|(_, (service, _))| service == name)
            .map(|(pid, _)| *pid)
    }

    fn end(&mut self, pid: u32, exit: Exit) {
        if let Some((_, sender)) = self.running.remove(&pid) {
            // Whoever started it may have lost interest.
            let _nobody = sender.send(exit);
        }
    }

    fn name(&self, pid: u32) -> String {
        self.running
            .get(&pid)
            .map_or_else(String::new, |(name, _)| name.clone())
    }
}

#[async_trait]
impl Host for RecordingHost {
    async fn spawn(&self, service: &Definition, files: &[ServiceFile]) -> Result<Process, HostError> {
        let time = self.state().slow.get(&service.name).copied();
        if let Some(time) = time {
            tokio::time::sleep(time).await;
        }
        let mut state = self.record(HostCall::Spawn(service.name.clone()));
        if state.missing.contains(&service.name) {
            return Err(HostError::Start {
                program: service.run.program.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            });
        }
        if state.pid(&service.name).is_some() {
            state.doubled.push(service.name.clone());
        }
        state.started += 1;
        let pid = 1000 + state.started;
        let (sender, exit) = oneshot::channel();
        state.running.insert(pid, (service.name.clone(), sender));
        let program = Program {
            arguments: service.run.arguments.clone(),
            files: files.to_vec(),
        };
        state.programs.insert(pid, program);
        Ok(Process { pid, exit })
    }

    fn refresh(&self, service: &Definition, files: &[ServiceFile]) -> Result<(), HostError> {
        let mut state = self.record(HostCall::Refresh(service.name.clone()));
        let pid = state.pid(&service.name);
        if let Some(program) = pid.and_then(|pid| state.programs.get_mut(&pid)) {
            program.files = files.to_vec();
        }
        Ok(())
    }

    fn forget(&self, service: &Definition) -> Result<(), HostError> {
        drop(self.record(HostCall::Forget(service.name.clone())));
        Ok(())
    }

    fn terminate(&self, pid: u32) -> Result<(), HostError> {
        let name = self.state().name(pid);
        let mut state = self.record(HostCall::Terminate(name.clone()));
        if !state.stubborn.contains(&name) {
            state.end(pid, Exit::Signal(15));
        }
        Ok(())
    }

    fn kill(&self, service: &Definition, pid: u32) -> Result<(), HostError> {
        self.record(HostCall::Kill(service.name.clone()))
            .end(pid, Exit::Signal(9));
        Ok(())
    }

    async fn sweep(&self, service: &Definition) -> Result<(), HostError> {
        let mut state = self.state();
        let panics = state.panics.iter().position(|name| *name == service.name);
        if let Some(index) = panics {
            state.panics.remove(index);
            panic!("as the test wants it");
        }
        Ok(())
    }

    async fn check(&self, service: &Definition, _check: &Check) -> Result<(), String> {
        let mut state = self.state();
        state.checks += 1;
        // An error of ours, for the test of what contains it.
        assert_ne!(
            state.unhealthy.get(&service.name).map(String::as_str),
            Some("PANIC")
        );
        state
            .unhealthy
            .get(&service.name)
            .map_or(Ok(()), |reason| Err(reason.clone()))
    }

    fn memory(&self, service: &Definition) -> Option<u64> {
        (service.kill_mode == KillMode::Cgroup).then_some(5 << 20)
    }

    fn written(&self, service: &Definition) -> Option<Written> {
        (service.kill_mode == KillMode::Cgroup).then_some(Written::Whole(9 << 20))
    }

    fn rights(&self, _pid: u32) -> Option<Rights> {
        Some(Rights::default())
    }

    fn cgroup(&self, _service: &Definition) -> String {
        String::new()
    }
}
