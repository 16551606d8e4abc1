//! What people request of services, against what definition and machine config say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The requests about services. Clones share them.
#[derive(Clone, Default)]
pub struct Requests {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    services: Mutex<BTreeMap<String, Service>>,
    bell: Arc<Notify>,
}

/// A service that requests can name.
#[derive(Default)]
struct Service {
    request: Request,
    /// Set when nobody defines it any longer, and it is still being stopped.
    leaving: bool,
}

/// What is requested of one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Set when it should run; none leaves it to definition and machine config.
    pub run: Option<bool>,
    /// How many starts were requested: a change is one more, and ends a pause after a failure.
    pub starts: u64,
    /// How many restarts were requested.
    pub restarts: u64,
}

/// A request about a service that the node does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {name:?} not found; known: {known}")]
pub struct Unknown {
    name: String,
    known: String,
}

impl Requests {
    /// Makes a set for these services.
    pub fn new(services: impl IntoIterator<Item = String>) -> Self {
        let requests = Requests::default();
        let services = services.into_iter().map(|name| (name, Service::default()));
        requests.services().extend(services);
        requests
    }

    /// Makes these the services that requests can name. What was requested of the others is kept until
    /// [`Requests::forget`], in case they come back.
    pub fn set_services<'a>(&self, names: impl IntoIterator<Item = &'a String>) {
        let names: BTreeSet<&String> = names.into_iter().collect();
        let mut services = self.services();
        for (name, service) in services.iter_mut() {
            service.leaving = !names.contains(name);
        }
        for name in names {
            services.entry(name.clone()).or_default();
        }
    }

    /// Forgets what was requested of a service that nobody defines any longer.
    pub fn forget(&self, name: &str) {
        self.services()
            .retain(|known, service| known != name || !service.leaving);
    }

    /// Requests that a service runs.
    ///
    /// # Errors
    ///
    /// [`Unknown`] when the node has no such service.
    pub fn start(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |request| {
            request.run = Some(true);
            request.starts += 1;
        })
    }

    /// Requests that a service stays stopped until it is started again or the node reboots.
    ///
    /// # Errors
    ///
    /// [`Unknown`] when the node has no such service.
    pub fn stop(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |request| request.run = Some(false))
    }

    /// Requests that a service is stopped and started again.
    ///
    /// # Errors
    ///
    /// [`Unknown`] when the node has no such service.
    pub fn restart(&self, name: &str) -> Result<(), Unknown> {
        self.change(name, |request| {
            request.run = Some(true);
            request.restarts += 1;
        })
    }

    /// Returns what is requested of a service.
    pub fn of(&self, name: &str) -> Request {
        let services = self.services();
        services
            .get(name)
            .map(|service| service.request)
            .unwrap_or_default()
    }

    /// Returns the bell that rings at each new request.
    pub fn bell(&self) -> Arc<Notify> {
        self.shared.bell.clone()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Request)) -> Result<(), Unknown> {
        let mut services = self.services();
        let Some(service) = services.get_mut(name).filter(|service| !service.leaving) else {
            let known = services.iter().filter(|(_, service)| !service.leaving);
            let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
            return Err(Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        change(&mut service.request);
        drop(services);
        self.shared.bell.notify_one();
        Ok(())
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, Service>> {
        self.shared
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_add_up_and_unknown_names_are_answered_with_the_known() {
        let requests = Requests::new(["containerd".to_owned()]);
        requests.stop("containerd").unwrap();
        requests.restart("containerd").unwrap();
        requests.restart("containerd").unwrap();
        let expected = Request {
            run: Some(true),
            starts: 0,
            restarts: 2,
        };
        assert_eq!(requests.of("containerd"), expected);
        let error = requests.start("containered").unwrap_err().to_string();
        assert_eq!(error, "service \"containered\" not found; known: containerd");
    }

    #[test]
    fn services_come_and_go() {
        let (containerd, etcd) = ("containerd".to_owned(), "etcd".to_owned());
        let requests = Requests::new([containerd.clone()]);
        requests.set_services([&containerd, &etcd]);
        requests.stop("etcd").unwrap();
        requests.set_services([&containerd]);
        let error = requests.start("etcd").unwrap_err().to_string();
        assert_eq!(error, "service \"etcd\" not found; known: containerd");
        requests.set_services([&containerd, &etcd]);
        requests.forget("etcd");
        assert_eq!(
            requests.of("etcd").run,
            Some(false),
            "it came back before it was forgotten"
        );
        requests.set_services([&containerd]);
        requests.forget("etcd");
        requests.set_services([&containerd, &etcd]);
        assert_eq!(requests.of("etcd"), Request::default());
    }
}
