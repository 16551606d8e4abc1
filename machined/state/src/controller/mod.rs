//! What a controller is, and what runs it.
//!
//! A [`Controller`] looks at the kinds it reads, makes true what they ask for, and writes the kinds it owns. The
//! [`Runtime`] calls it when an input changes, when it asked to be called again, and after a failure with a growing
//! pause. A failure or panic stays inside its controller and is published as [`ControllerStatus`].

mod error;
mod runtime;
mod status;

pub use error::{ControllerError, chain};
pub use runtime::Runtime;
pub use runtime::panic_message;
pub(crate) use runtime::pause;
pub use status::{ControllerState, ControllerStatus};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::Store;

/// The owner of one kind of state, which keeps it as it should be.
#[async_trait]
pub trait Controller: Send {
    /// Names the controller, in kebab case; it is also the owner of what it writes.
    fn name(&self) -> &'static str;

    /// Lists the kinds whose changes call [`Controller::reconcile`].
    fn inputs(&self) -> &'static [&'static str];

    /// Lists the kinds it writes. No other controller may name one of them.
    fn outputs(&self) -> &'static [&'static str];

    /// Lists the [shared](crate::Resource::SHARED) kinds in which it has resources of its own, beside those of others.
    fn shared_outputs(&self) -> &'static [&'static str] {
        &[]
    }

    /// Makes true what should be true now. It may be called at any moment, and finds the same end twice.
    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError>;

    /// Returns a bell that calls `reconcile` when something outside of the store changed, such as a link.
    fn wake(&self) -> Option<Arc<Notify>> {
        None
    }
}

/// When a controller wants to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// When an input changes, or its bell rings.
    WaitForChange,
    /// After this time at the latest.
    After(Duration),
}
