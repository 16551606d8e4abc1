//! A bundle on a web server, read by ranges over a flaky line.
//!
//! [`Remote`] opens an address and reads bytes at offsets, blocking. It asks for ranges, joins near ones into one
//! request and streams the answer, goes on after a cut where it was, and notices when the file was changed in between.
//! [`Options`] say how: proxy, own authority, patience. What comes is what the server says the file holds, or an error;
//! whether that is a signed bundle is not this crate's business, and nothing is kept on a disk.

mod address;
mod agent;
mod answer;
mod error;
mod no_ranges;
mod options;
mod proxy;
mod remote;
mod spans;
pub mod tls;

pub use address::shown;
pub use error::{Cause, Error};
pub use options::{Options, Pace, Proxy, Told};
pub use remote::{Remote, Traffic};
pub use spans::BRIDGE;
