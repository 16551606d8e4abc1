//! Every kind of resource that a node has: plain data, with the name of its owner.
//!
//! They are in one place because everybody reads them: a part of the node knows the others by their kinds, never by
//! their code. What makes a kind true is in the crate that owns it.

pub mod boot;
pub mod certificate;
pub mod clock;
pub mod cluster;
pub mod cluster_network;
pub mod config;
pub mod container_mode;
pub mod containers;
pub mod firmware;
pub mod health;
pub mod kernel;
pub mod kubernetes_node;
pub mod manifests;
pub mod network;
pub mod network_contribution;
pub mod rollout;
pub mod service_spec;
pub mod services;
pub mod storage;
pub mod trial;
pub mod upgrade;
pub mod workloads;

pub use boot::{BootStatus, FailedSlot, LoaderTimes, SlotStatus};
pub use certificate::CertificateStatus;
pub use clock::{TimeFrom, TimeStatus};
pub use cluster::{
    ClusterMember, ClusterPeer, ClusterStatus, ComponentCertificate, DiscoveryStatus, EtcdDisk,
    EtcdMemberStatus, EtcdMembership, EtcdPeer, EtcdSnapshotStatus, EtcdStart, EtcdStatus, EtcdVoter,
    JoinStatus,
};
pub use cluster_network::{
    ApiBalancerStatus, ApiServers, BalancedServer, ClusterNode, MeshStatus, PodNetworkStatus, ServerHealth,
    VirtualIpStatus,
};
pub use config::{ConfigStatus, OwnerStatus};
pub use container_mode::ContainerMode;
pub use containers::{ContainerStoreStatus, ImageStatus, KeptStore};
pub use firmware::{FirmwareDifference, FirmwareFile, FirmwareStatus, FirmwareTrial};
pub use health::{ApiStatus, CheckResult, HealthState, HealthStatus};
pub use kernel::{KernelContribution, KernelStatus, Lockdown, WatchdogStatus};
pub use kubernetes_node::{ClusterNodeStatus, KubernetesNodeStatus};
pub use manifests::{ManifestState, ManifestStatus};
pub use network::{
    AddressSpec, AddressStatus, Dhcp6Lease, DhcpLease, DhcpSpec, HostNameStatus, Ipv6Status, LeaseRoute,
    LinkKind, LinkSpec, LinkStatus, NameSource, NetworkStatus, ResolverStatus, RouteSpec, RouteStatus,
    RouterAdvertisement,
};
pub use network_contribution::{
    ContributedAddress, ContributedRoute, LinkSettings, NetworkContribution, Precedence,
};
pub use rollout::{RolloutSeen, RolloutState, RolloutStatus};
pub use service_spec::{FileContents, FileMode, ServiceFile, ServiceSpec};
pub use services::{Rights, ServiceHealth, ServiceState, ServiceStatus};
pub use storage::{DiskStatus, RoomStatus, Volume, VolumeState, VolumeStatus};
pub use trial::TrialStatus;
pub use upgrade::UpgradeStatus;
pub use workloads::{WorkloadNetworkStatus, WorkloadStage, WorkloadStatus};

/// The name of the one resource of a kind that a node has only one of.
pub const NODE: &str = "node";
