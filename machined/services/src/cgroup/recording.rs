//! Cgroups for tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use service_definition::Resources;

use super::{CgroupError, Cgroups, Written};

/// One call that [`RecordingCgroups`] took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupCall {
    /// A cgroup was made and limited.
    Prepare(String, Resources),
    /// Everything in it was killed.
    Kill(String),
    /// It was removed.
    Remove(String),
}

/// A record of what was done with cgroups; it makes none.
#[derive(Debug, Default)]
pub struct RecordingCgroups {
    calls: Mutex<Vec<CgroupCall>>,
    populated: Mutex<BTreeMap<String, bool>>,
}

impl RecordingCgroups {
    /// Returns the calls so far, in order.
    pub fn calls(&self) -> Vec<CgroupCall> {
        lock(&self.calls).clone()
    }

    /// Leaves a process in the cgroup of a service, until it is killed.
    pub fn populate(&self, name: &str) {
        lock(&self.populated).insert(name.to_owned(), true);
    }
}

impl Cgroups for RecordingCgroups {
    fn prepare(&self, name: &str, resources: &Resources) -> Result<Vec<&'static str>, CgroupError> {
        lock(&self.calls).push(CgroupCall::Prepare(name.to_owned(), *resources));
        Ok(Vec::new())
    }

    fn folder(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    fn kill(&self, name: &str) -> Result<(), CgroupError> {
        lock(&self.calls).push(CgroupCall::Kill(name.to_owned()));
        lock(&self.populated).insert(name.to_owned(), false);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), CgroupError> {
        lock(&self.calls).push(CgroupCall::Remove(name.to_owned()));
        Ok(())
    }

    fn is_populated(&self, name: &str) -> bool {
        lock(&self.populated).get(name).copied().unwrap_or(false)
    }

    fn memory(&self, _name: &str) -> Option<u64> {
        None
    }

    fn written(&self, _name: &str) -> Option<Written> {
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
