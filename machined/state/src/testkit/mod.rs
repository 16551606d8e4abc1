//! Runs controllers over an in-memory store, without a kernel and without waiting.
//!
//! ```text
//! let store = Store::new();
//! store.put("test", "node", config)?;
//! testkit::settle(&store, &mut [&mut LinkController::new(RecordingLinks::default())]).await?;
//! assert_eq!(store.get::<LinkStatus>("eth0"), …);
//! ```

#[cfg(feature = "testing")]
mod sample;

#[cfg(feature = "testing")]
pub use sample::{authority, config};

use crate::{Action, Controller, ControllerError, Store};

/// Rounds after which a set of controllers counts as one that never comes to rest.
const ROUNDS: usize = 64;

/// Runs one controller until a run changes nothing more, and returns what it asked for last.
pub async fn settle_one(store: &Store, controller: &mut dyn Controller) -> Result<Action, ControllerError> {
    for _ in 0..ROUNDS {
        let before = store.revision();
        let action = controller.reconcile(store).await?;
        if store.revision() == before {
            return Ok(action);
        }
    }
    Err(never_quiet(controller.name()))
}

/// Runs controllers in turn until a round over all of them changes nothing more.
pub async fn settle(store: &Store, controllers: &mut [&mut dyn Controller]) -> Result<(), ControllerError> {
    for _ in 0..ROUNDS {
        let before = store.revision();
        for controller in controllers.iter_mut() {
            controller.reconcile(store).await?;
        }
        if store.revision() == before {
            return Ok(());
        }
    }
    let names: Vec<&str> = controllers.iter().map(|controller| controller.name()).collect();
    Err(never_quiet(&names.join(", ")))
}

fn never_quiet(who: &str) -> ControllerError {
    ControllerError::msg(format!("{who}: still changing resources after {ROUNDS} rounds"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Resource;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Count(u32);
    impl Resource for Count {
        const KIND: &'static str = "Count";
    }

    /// Counts up to a limit.
    struct Counter(u32);

    #[async_trait]
    impl Controller for Counter {
        fn name(&self) -> &'static str {
            "counter"
        }
        fn inputs(&self) -> &'static [&'static str] {
            &[]
        }
        fn outputs(&self) -> &'static [&'static str] {
            &["Count"]
        }
        async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
            let Count(now) = store.get("x").unwrap_or(Count(0));
            store.put("counter", "x", Count((now + 1).min(self.0)))?;
            Ok(Action::WaitForChange)
        }
    }

    #[tokio::test]
    async fn stops_at_rest_and_says_when_there_is_none() {
        let store = Store::new();
        assert_eq!(
            settle_one(&store, &mut Counter(5)).await.unwrap(),
            Action::WaitForChange
        );
        assert_eq!(store.get("x"), Some(Count(5)));
        let error = settle(&store, &mut [&mut Counter(1000)]).await.unwrap_err();
        assert_eq!(error.chain(), "counter: still changing resources after 64 rounds");
    }
}
