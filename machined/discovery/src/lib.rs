//! Finds the nodes of the same cluster on the local network, and lets the node be found, by multicast DNS.
//!
//! [`Discovery`] decides what is announced on which interfaces (`plan`), and publishes what was found as `ClusterPeer`s named
//! `mdns/NODE`. Each interface has a task (`socket`) that moves packets, and a state machine without I/O (`link`) that decides
//! about them. What was found is a hint at where to look: whoever connects there verifies the certificate.

mod controller;
mod link;
mod peers;
mod plan;
mod socket;

#[cfg(test)]
mod namespace_tests;

pub use controller::Discovery;
