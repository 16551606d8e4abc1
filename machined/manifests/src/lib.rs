//! Applies the manifests of a cluster: Bedplate's own, and those of the machine config.
//!
//! Control planes do it, in order, by server-side apply. [`list`] gathers what is to be there, [`turn`] decides which control
//! plane's list counts where they differ, [`apply`] makes the cluster so and deletes what no list has any more, and
//! [`ClusterManifests`] is the controller. Objects are marked as members of an ApplySet: nothing else is ever deleted.

mod apply;
mod controller;
mod list;
mod object;
mod turn;

pub use controller::ClusterManifests;
pub use kubernetes_client::Clients;
