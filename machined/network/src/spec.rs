//! What the network should be: the contributions of all parts, merged.

use async_trait::async_trait;
use state::kinds::network::{address_id, route_id};
use state::kinds::{AddressSpec, LinkSpec, NetworkContribution, RouteSpec};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::merge::merge;

/// Publishes the desired state of the network. Sole owner of `LinkSpec`, `AddressSpec` and `RouteSpec`.
pub struct Specs;

#[async_trait]
impl Controller for Specs {
    fn name(&self) -> &'static str {
        "network-specs"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[NetworkContribution::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[LinkSpec::KIND, AddressSpec::KIND, RouteSpec::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let desired = merge(&store.list());
        let address = |spec: AddressSpec| (address_id(&spec.link, spec.address), spec);
        let route = |spec: RouteSpec| (route_id(&spec.link, spec.to, spec.metric, spec.via), spec);
        store.replace(self.name(), desired.addresses.into_iter().map(address).collect())?;
        store.replace(self.name(), desired.routes.into_iter().map(route).collect())?;
        store.replace(self.name(), desired.links.into_iter().collect())?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
pub(super) mod tests;
