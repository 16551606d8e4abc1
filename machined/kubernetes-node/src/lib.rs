//! The node as an object of Kubernetes: whether it is Ready, its labels and taints, and draining it before a reboot.
//!
//! [`KubernetesNode`] is the controller: it reads the object (`observe`), remembers that it was Ready (`remembered`), and keeps
//! labels and taints as the machine config has them (`marks`); on a control plane it lists all nodes (`survey`). [`Drain`] is what an upgrade does before it reboots the node. All
//! of it is done as the node's kubelet, whom the API server lets change its own node only; a control plane's agent sets what
//! Kubernetes keeps for administrators. Starts no kubelet, and looks at no pod but those of the node.

mod controller;
mod cordon;
mod drain;
mod marks;
mod observe;
mod remembered;
mod survey;

pub use controller::KubernetesNode;
pub use cordon::Cordons;
pub use drain::Drain;
