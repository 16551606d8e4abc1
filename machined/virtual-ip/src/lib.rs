//! Gives one control plane at a time the cluster's virtual address, `cluster.virtualIP`.
//!
//! Who has it is decided by a lease in etcd (`election`), which a node asks for while its own API server is ready. `turn` decides, by
//! the clock and by what etcd answered, and does no I/O: a node gives the address up before its lease ends, whatever it cannot
//! reach. [`VirtualIp`] is the controller: it contributes the address to the network, and announces it to the neighbours.

mod controller;
mod election;
mod turn;

pub use controller::VirtualIp;
