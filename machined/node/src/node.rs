//! The handles that the parts of a node share.

use std::sync::Arc;

use state::Store;

use release_file::Release;

use crate::boot::Stamps;
use crate::disk::Devices;
use crate::events::Events;
use crate::logs::Logs;
use crate::power::Power;
use crate::requests::Requests;

/// Everything that a part of the node may reach. Clones share it all.
#[derive(Clone)]
pub struct Node {
    /// The node's state.
    pub store: Store,
    /// What happened.
    pub events: Events,
    /// What the services and machined say.
    pub logs: Logs,
    /// What is requested of services.
    pub services: Requests,
    /// The request to reboot, shut down or reset.
    pub power: Power,
    /// The facts of the running image.
    pub release: Arc<Release>,
    /// The moments of this boot.
    pub stamps: Stamps,
    /// Where the disks are, and which is the system's.
    pub devices: Devices,
}

impl Node {
    /// Makes a node that has just started, from what its image says.
    pub fn new(release: Release) -> Self {
        let store = Store::new();
        let stamps = Stamps::start(
            &store,
            &crate::boot::Cmdline::default(),
            String::new(),
            Default::default(),
        );
        Node::with(release, store, stamps, Devices::default())
    }

    /// Makes a node over a store in which its boot is published already.
    pub fn with(release: Release, store: Store, stamps: Stamps, devices: Devices) -> Self {
        let services = Requests::new(release.services.iter().map(|service| service.name.clone()));
        Node {
            store,
            events: Events::new(),
            logs: Logs::new(),
            services,
            power: Power::new(),
            release: Arc::new(release),
            stamps,
            devices,
        }
    }
}
