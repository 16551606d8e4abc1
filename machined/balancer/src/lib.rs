//! Brings what a node sends to the API server to one that is ready: the address `127.0.0.1:7445`, behind which any control plane
//! may be.
//!
//! [`Balancer`] is the controller: it collects the servers that are known (`servers`), has each of them asked for its health (`probe`),
//! and publishes what it found. `pool` holds the servers and decides, by the health of each (`health`), whom a connection goes to and
//! which connections are cut. `relay` listens and copies bytes. TLS is between the ends: nothing here reads or changes a request,
//! and who is connected to the wrong server notices.

mod controller;
mod health;
mod pool;
mod probe;
mod relay;
mod servers;

pub use controller::Balancer;
