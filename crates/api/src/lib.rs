//! The gRPC API: messages, services, and the least role of each method.
//!
//! The `.proto` files in `proto/` are the interface; [`v1alpha1`] is made from them when the crate is built.
//! Each method states there who may call it; [`METHODS`] is the table of that, which the node enforces and the reference is
//! written from. [`names`] turns enumerations into words. There is no client and no server here, and no TLS: see `pki`.

pub mod names;

mod methods;
mod roles;

pub use methods::{METHODS, Method, Open, method, methods_of};
pub use roles::{Role, UnknownRole};

/// Port on which every node serves the API.
pub const PORT: u16 = 50000;

/// Largest message that either side accepts: a machine config and its envelope fit, a flood does not.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Largest request of a method that takes only names, numbers and paths: see [`Method::max_request_bytes`].
pub const MAX_SMALL_MESSAGE: usize = 8 * 1024;

/// Largest piece of a pushed bundle in one message, in bytes.
pub const MAX_DATA: usize = 1024 * 1024;

/// Largest message of an upgrade that either side accepts: the bytes of a bundle and their envelope.
pub const MAX_UPGRADE_MESSAGE: usize = MAX_DATA + 4096;

/// Largest piece of a tunnel in one request, in bytes: with its envelope it fits [`MAX_SMALL_MESSAGE`].
pub const MAX_TUNNEL_DATA: usize = 8000;

/// Version of the API, as in the package name.
pub const VERSION: &str = "v1alpha1";

/// Descriptors of all our services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Messages, clients and servers of `bedplate.v1alpha1`, generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    reason = "generated; the comments are in the .proto files"
)]
pub mod v1alpha1 {
    tonic::include_proto!("bedplate.v1alpha1");
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::v1alpha1::upgrade_request::Request;
    use super::v1alpha1::{BundleData, TunnelRequest, UpgradeRequest, tunnel_request};

    #[test]
    fn the_largest_piece_of_a_bundle_fits_into_a_message() {
        let data = BundleData {
            offset: u64::MAX,
            data: vec![0; super::MAX_DATA],
        };
        let request = UpgradeRequest {
            request: Some(Request::Data(data)),
        };
        assert!(request.encoded_len() <= super::MAX_UPGRADE_MESSAGE);
    }

    #[test]
    fn the_largest_piece_of_a_tunnel_fits_into_a_small_message() {
        let data = tunnel_request::Request::Data(vec![0; super::MAX_TUNNEL_DATA]);
        let request = TunnelRequest { request: Some(data) };
        assert!(request.encoded_len() <= super::MAX_SMALL_MESSAGE);
    }
}
