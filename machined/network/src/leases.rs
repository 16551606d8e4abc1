//! Keeps leases for as long as they are valid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use state::kinds::{Dhcp6Lease, DhcpLease};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A lease with a lifetime.
pub trait Lasting: Clone + Send + 'static {
    /// Returns its lifetime in seconds.
    fn seconds(&self) -> u32;
}

impl Lasting for DhcpLease {
    fn seconds(&self) -> u32 {
        self.seconds
    }
}

impl Lasting for Dhcp6Lease {
    fn seconds(&self) -> u32 {
        self.seconds
    }
}

type Book<L> = Arc<Mutex<HashMap<String, Held<L>>>>;

struct Held<L> {
    lease: L,
    until: Instant,
}

/// The leases of all interfaces. Copies share them.
pub(super) struct Leases<L> {
    book: Book<L>,
    bell: Arc<Notify>,
}

impl<L: Lasting> Leases<L> {
    /// Starts without leases.
    pub(super) fn new() -> Self {
        Leases {
            book: Arc::default(),
            bell: Arc::default(),
        }
    }

    /// Returns the bell that rings when one changes.
    pub(super) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Returns the reporter for the leases of an interface.
    pub(super) fn reporter(&self, link: &str) -> Reporter<L> {
        Reporter {
            link: link.to_owned(),
            book: self.book.clone(),
            bell: self.bell.clone(),
        }
    }

    /// Returns the valid leases of interfaces that still want one, and when the first of them expires. Drops the rest.
    pub(super) fn valid(&self, wants: impl Fn(&str) -> bool) -> (Vec<(String, L)>, Option<Duration>) {
        let now = Instant::now();
        let mut book = lock(&self.book);
        book.retain(|link, held| wants(link) && held.until > now);
        let next = book.values().map(|held| held.until - now).min();
        let leases = book.iter().map(|(link, held)| (link.clone(), held.lease.clone()));
        (leases.collect(), next)
    }
}

/// Receives the leases of one interface, and wakes the controller when one changes.
pub struct Reporter<L = DhcpLease> {
    link: String,
    book: Book<L>,
    bell: Arc<Notify>,
}

impl<L> Clone for Reporter<L> {
    fn clone(&self) -> Self {
        Reporter {
            link: self.link.clone(),
            book: self.book.clone(),
            bell: self.bell.clone(),
        }
    }
}

impl<L: Lasting> Reporter<L> {
    /// Sends the lease of the interface, or that it has none any more.
    pub fn report(&self, lease: Option<L>) {
        let mut book = lock(&self.book);
        match lease {
            Some(lease) => {
                let until = Instant::now() + Duration::from_secs(lease.seconds().into());
                book.insert(self.link.clone(), Held { lease, until });
            }
            None => drop(book.remove(&self.link)),
        }
        drop(book);
        self.bell.notify_one();
    }
}

fn lock<L>(book: &Book<L>) -> MutexGuard<'_, HashMap<String, Held<L>>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
