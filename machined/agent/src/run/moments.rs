//! Stamps the moments of a boot that nobody else sees coming.

use node::Node;
use state::Resource;
use state::kinds::{NODE, NetworkStatus, ServiceStatus};

/// Stamps when the network was there, and when all services were.
pub(super) async fn stamp(node: &Node) {
    let mut watch = node.store.watch(&[NetworkStatus::KIND, ServiceStatus::KIND]);
    let (mut network, mut services) = (false, false);
    while !(network && services) {
        watch.changed().await;
        if !network
            && node
                .store
                .get::<NetworkStatus>(NODE)
                .is_some_and(|status| status.ready)
        {
            node.stamps.mark("network");
            network = true;
        }
        let all = node.store.list::<ServiceStatus>();
        if !services && !all.is_empty() && all.iter().all(|(_, status)| status.is_as_wanted()) {
            node.stamps.mark("services");
            services = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use release_file::Release;
    use state::kinds::BootStatus;

    use super::*;

    #[tokio::test]
    async fn the_network_is_stamped_when_it_is_ready() {
        let node = Node::new(Release::default());
        let stamping = tokio::spawn({
            let node = node.clone();
            async move { stamp(&node).await }
        });
        let status = |ready| NetworkStatus {
            ready,
            ..NetworkStatus::default()
        };
        let mut watch = node.store.watch(&[BootStatus::KIND]);
        tokio::task::yield_now().await;
        node.store.put("network-health", NODE, status(false)).unwrap();
        tokio::task::yield_now().await;
        assert!(
            !node
                .store
                .get::<BootStatus>(NODE)
                .unwrap()
                .stamps
                .contains_key("network")
        );
        node.store.put("network-health", NODE, status(true)).unwrap();
        watch.changed().await;
        assert!(
            node.store
                .get::<BootStatus>(NODE)
                .unwrap()
                .stamps
                .contains_key("network")
        );
        stamping.abort();
    }
}
