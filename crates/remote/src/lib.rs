//! A bundle on a web server, read by ranges over an unreliable connection.
//!
//! [`Remote`] opens an address and reads bytes at offsets, blocking. It asks for ranges, joins near ones into one
//! request and streams the response, continues after an interruption, and notices when the file has changed in between.
//! [`Options`] configure it: proxy, own authority, retries, timeouts. It returns what the server says the file holds, or
//! an error; it does not verify bundles, and stores nothing on a disk.

mod address;
mod agent;
mod error;
mod no_ranges;
mod options;
mod proxy;
mod remote;
mod response;
mod small;
mod spans;
pub mod tls;

pub use address::shown;
pub use error::{Cause, Error};
pub use options::{OnRetry, Options, Pace, Proxy};
pub use remote::{Remote, Traffic};
pub use small::{Ask, Reply, ask, read_small, request};
pub use spans::BRIDGE;
