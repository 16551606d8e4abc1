//! Lets nodes join their cluster by its token: control planes sign, workers ask.
//!
//! A worker has the token and the authorities' certificates, and no authority's key. It makes its keys itself, and asks a
//! control plane over TLS to sign for them; the same at each renewal. What a certificate may say is decided by [`policy`]
//! alone; [`ledger`] decides which node holds which name, and [`shared`] keeps it in etcd; [`living`] asks Kubernetes whether that node is
//! still there; [`attempts`] how often somebody may ask. [`answer`] puts them
//! together, and [`serve`] is the door. On the other side, [`join`] has the controller that asks.
//! [`person`] signs for people, who come by the API.
//!
//! Nothing here writes a service or a file of Kubernetes: the certificates are resources, and others use them.

pub mod answer;
pub mod attempts;
pub mod join;
pub mod ledger;
pub mod living;
pub mod person;
pub mod policy;
pub mod serve;
pub mod shared;

#[cfg(test)]
mod tests;

/// The messages, and both ends of the call.
#[expect(missing_docs, reason = "generated")]
pub mod proto {
    tonic::include_proto!("bedplate.trust.v1alpha1");
}

/// The TCP port on which control planes sign.
pub const PORT: u16 = 50001;
