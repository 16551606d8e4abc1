//! Passes requests to stop on to PID 1.

use api::v1alpha1::ResetScope as Asked;
use async_trait::async_trait;
use backend::{BackendError, Power as Api};
use etcd::EtcdHandle;
use node::Node;
use node::events::Events;
use node::power::{Power, ResetScope, Stop};

pub(super) struct NodePower {
    power: Power,
    events: Events,
    etcd: EtcdHandle,
}

impl NodePower {
    pub(super) fn new(node: &Node, etcd: EtcdHandle) -> Self {
        NodePower {
            power: node.power.clone(),
            events: node.events.clone(),
            etcd,
        }
    }

    fn request(&self, stop: Stop, words: &str) -> Result<(), BackendError> {
        if self.power.request(stop) {
            self.events.info("api", format!("{words} was asked for"));
            return Ok(());
        }
        match self.power.requested() {
            Some(request) if request == stop => Ok(()),
            _ => Err(BackendError::Refused(
                "the node is stopping already; try again when it is back".to_owned(),
            )),
        }
    }
}

#[async_trait]
impl Api for NodePower {
    async fn reboot(&self) -> Result<(), BackendError> {
        self.request(Stop::Reboot, "a reboot")
    }

    async fn shutdown(&self) -> Result<(), BackendError> {
        self.request(Stop::Shutdown, "a shutdown")
    }

    async fn reset(&self, scope: Asked, shutdown: bool) -> Result<(), BackendError> {
        let scope = match scope {
            Asked::All => ResetScope::All,
            Asked::Data => ResetScope::Data,
            Asked::State | Asked::Unspecified => ResetScope::State,
        };
        // Otherwise the others would wait for a member that never comes back.
        self.etcd.leave_for_good().await?;
        self.request(Stop::Reset { scope, shutdown }, "a reset")
    }
}

#[cfg(test)]
mod tests {
    use node::children::Children;
    use release_file::Release;

    use super::*;

    #[tokio::test]
    async fn the_first_wish_counts_and_others_are_told() {
        let node = Node::new(Release::default());
        let restorer = etcd::Restorer::new(Children::new(), etcd::TOOL);
        let etcd = EtcdHandle::new(&node, etcd::Places::default(), etcd::Ports::default(), restorer);
        let power = NodePower::new(&node, etcd);
        power.reset(Asked::Unspecified, true).await.unwrap();
        let request = Stop::Reset {
            scope: ResetScope::State,
            shutdown: true,
        };
        assert_eq!(node.power.requested(), Some(request));
        power.reset(Asked::State, true).await.unwrap();
        assert!(matches!(power.reboot().await, Err(BackendError::Refused(_))));
    }
}
