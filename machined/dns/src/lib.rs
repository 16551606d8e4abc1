//! The cluster's DNS on a node: a service of its own, so that PID 1 stays small, and the controller that wants it.
//!
//! `machined dns serve SETTINGS` is the service, `machined dns check SETTINGS` asks it, as its health check. It follows namespaces,
//! services and slices of endpoints, for which the group `bedplate:nodes` needs the verbs get, list and watch; what they make of
//! a question is the crate `cluster-zone`'s to say. What is not the cluster's it asks the node's own name servers. It answers from
//! what it knew last while the API is away, also after a reboot.
//!
//! In reading order: [`settings`] are what it is given, [`answer`] answers a packet, [`forward`] asks others, with a [`cache`], those
//! that [`resolv`] lists, [`server`] has the sockets, [`follow`] the API, [`saved`] the file, and [`run`] puts them together. The
//! controller is [`ClusterDns`].

mod answer;
mod cache;
mod check;
mod controller;
mod follow;
mod forward;
mod objects;
mod program;
mod resolv;
mod run;
mod saved;
mod server;
mod settings;

pub use controller::ClusterDns;
pub use program::{asked_for, main};
pub use run::run;
pub use settings::{Settings, SettingsError};

/// The word by which the program is asked to be the service.
const WORD: &str = "dns";
