//! What the controllers need from the kernel.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use state::kinds::{AddressStatus, LinkStatus, RouteStatus};
use tokio::sync::Notify;

use super::plan::{Change, Observed};

/// Observes the kernel's network, and changes it.
#[async_trait]
pub trait Kernel: Send + Sync {
    /// Returns everything there is.
    async fn observe(&self) -> Result<Observed, NetlinkError>;

    /// Makes one change. If it was made by something else in the meantime, that is not an error.
    async fn apply(&self, change: &Change) -> Result<(), NetlinkError>;

    /// Returns the bell that rings when anything changed.
    fn bell(&self) -> Arc<Notify>;
}

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket cannot be opened.
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    /// Router advertisements cannot be received.
    #[error(transparent)]
    Listen(#[from] sys::Error),
    /// A list cannot be read.
    #[error("cannot list {what}")]
    List {
        /// What was to be listed.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// A change failed.
    #[error("cannot {change}")]
    Apply {
        /// What was to be done.
        change: Box<Change>,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// A setting of an interface was refused.
    #[error("cannot {change}")]
    Setting {
        /// What was to be done.
        change: Box<Change>,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The interface is gone.
    #[error("cannot {0}: the interface is gone")]
    Gone(Box<Change>),
    /// A recording kernel refuses on demand.
    #[error("cannot {0}: refused")]
    Refused(Box<Change>),
}

impl NetlinkError {
    /// Returns true if the driver does not support the value: a retry has the same result.
    pub fn is_invalid(&self) -> bool {
        const EINVAL: i32 = -22;
        const ERANGE: i32 = -34;
        match self {
            Self::Apply {
                source: rtnetlink::Error::NetlinkError(message),
                ..
            } => matches!(message.code.map(|code| code.get()), Some(EINVAL | ERANGE)),
            Self::Refused(_) => true,
            _ => false,
        }
    }
}

/// A kernel in memory, which applies and records changes.
#[derive(Debug, Clone, Default)]
pub struct RecordingKernel {
    state: Arc<Mutex<Recorded>>,
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Recorded {
    now: Observed,
    changes: Vec<Change>,
    refuses: Vec<Change>,
}

impl RecordingKernel {
    /// Makes a kernel with some interfaces.
    pub fn with(links: impl IntoIterator<Item = (&'static str, LinkStatus)>) -> Self {
        let kernel = Self::default();
        kernel.edit(|now| {
            now.links = links
                .into_iter()
                .map(|(name, link)| (name.to_owned(), link))
                .collect()
        });
        kernel
    }

    /// Changes the kernel without the controllers.
    pub fn edit(&self, edit: impl FnOnce(&mut Observed)) {
        edit(&mut self.lock().now);
        self.bell.notify_one();
    }

    /// Makes it refuse a change.
    pub fn refuse(&self, change: Change) {
        self.lock().refuses.push(change);
    }

    /// Returns the changes since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Kernel for RecordingKernel {
    async fn observe(&self) -> Result<Observed, NetlinkError> {
        Ok(self.lock().now.clone())
    }

    async fn apply(&self, change: &Change) -> Result<(), NetlinkError> {
        let mut state = self.lock();
        if state.refuses.contains(change) {
            return Err(NetlinkError::Refused(Box::new(change.clone())));
        }
        state.changes.push(change.clone());
        let now = &mut state.now;
        match change {
            Change::SetUp { link } => {
                if let Some(link) = now.links.get_mut(link) {
                    (link.up, link.carrier) = (true, true);
                }
            }
            Change::SetMtu { link, mtu } => {
                if let Some(link) = now.links.get_mut(link) {
                    link.mtu = *mtu;
                }
            }
            Change::AskRouters { .. } => {}
            Change::AcceptRouters { link } => {
                if let Some(ipv6) = now.links.get_mut(link).and_then(|link| link.ipv6.as_mut()) {
                    ipv6.accepts_routers = true;
                }
            }
            Change::AddAddress(spec) => {
                now.addresses.push(AddressStatus {
                    link: spec.link.clone(),
                    address: spec.address,
                    ours: true,
                });
            }
            Change::RemoveAddress(address) => now.addresses.retain(|a| a != address),
            Change::AddRoute(spec) => now.routes.push(RouteStatus {
                link: spec.link.clone(),
                to: spec.to,
                via: spec.via,
                metric: spec.metric,
                ours: true,
            }),
            Change::RemoveRoute(route) => now.routes.retain(|r| r != route),
        }
        Ok(())
    }

    fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }
}
