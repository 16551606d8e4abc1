//! The DNS zone of a Kubernetes cluster: from services and their endpoints to the answer to a question.
//!
//! Follows the Kubernetes DNS-Based Service Discovery specification, 1.1. In reading order: [`objects`] is what counts of
//! the API's objects, [`Zone`] holds and indexes it, within limits, and [`Zone::resolve`] answers a question by it; [`message`] reads the
//! packet of a question and writes that of its answer. What is not the cluster's is left to the caller, who asks other name
//! servers. No I/O and no clock here.

pub mod message;
pub mod objects;

mod arpa;
mod lookup;
mod records;
mod resolve;
mod zone;

pub use hickory_proto as proto;
pub use lookup::Answer;
pub use records::TTL;
pub use resolve::{Outcome, Resolved};
pub use zone::{Contents, Zone, ZoneConfig};
