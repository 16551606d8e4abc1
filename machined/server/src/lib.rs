//! Serves the node's API over gRPC.
//!
//! A connection is accepted and its handshake done by [`listen`], with the certificate the node has at that moment, and
//! is served by [`connection`], within what its [`class`] may cost; each request, metered by [`request`], then passes the [`guard`], is found its service by [`route`], and is answered by the [`handlers`]:
//! from the resource store, from `/proc` and `/sys` ([`host`]), from files ([`files`]) and from the other parts of the
//! node, by the traits of [`backend`]. The table in the crate `api` says who may call what; one handler asks for
//! more, for a forced upgrade.
//!
//! Packets are captured by [`capture`].
//!
//! A call to another node goes through a [`tunnel`].
//!
//! Another part of the node that serves the network brings its own calls to the same [`door`].

pub mod certificate;
pub mod door;
pub mod files;
pub mod host;

mod answer;
mod capture;
mod class;
mod connection;
pub(crate) mod facts;
#[cfg(test)]
mod grant_tests;
mod guard;
mod handlers;
pub mod limits;
mod listen;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod pieces;
mod push;
mod request;
mod route;
mod server;
#[cfg(test)]
mod siege;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tunnel;
#[cfg(test)]
mod tunnel_tests;
#[cfg(test)]
mod upgrade_tests;

pub use listen::{bind, listen};
pub use server::ApiServer;
