//! The API server, assembled from its parts.

use std::sync::Arc;

use api::v1alpha1::container_service_server::ContainerServiceServer;
use api::v1alpha1::etcd_service_server::EtcdServiceServer;
use api::v1alpha1::file_service_server::FileServiceServer;
use api::v1alpha1::firmware_service_server::FirmwareServiceServer;
use api::v1alpha1::image_service_server::ImageServiceServer;
use api::v1alpha1::kubernetes_service_server::KubernetesServiceServer;
use api::v1alpha1::log_service_server::LogServiceServer;
use api::v1alpha1::machine_service_server::MachineServiceServer;
use api::v1alpha1::packet_service_server::PacketServiceServer;
use api::v1alpha1::peer_service_server::PeerServiceServer;
use api::v1alpha1::resource_service_server::ResourceServiceServer;
use api::v1alpha1::service_service_server::ServiceServiceServer;
use api::v1alpha1::stats_service_server::StatsServiceServer;
use api::v1alpha1::upgrade_service_server::UpgradeServiceServer;
use api::v1alpha1::workload_service_server::WorkloadServiceServer;
use backend::Backend;
use pki::{NodeClock, ServerTls};
use state::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService as _;
use tonic_health::pb::health_server::HealthServer;

use super::door;
use super::files::FilePolicy;
use super::guard::Guard;
use super::handlers::Handlers;
use super::host::Host;
use super::route::{Routes, RoutesBuilder};
use super::tunnel::Tunnels;

/// The API server, with everything that it serves from.
#[derive(Clone)]
pub struct ApiServer {
    /// The node's state.
    pub store: Store,
    /// The other parts of the node.
    pub backend: Backend,
    /// The kernel's files.
    pub host: Host,
    /// The files that may be read.
    pub files: FilePolicy,
    /// The certificate and the CAs of clients: change while serving.
    pub tls: Arc<ServerTls>,
    /// What the node knows about the time.
    pub clock: Arc<NodeClock>,
}

impl ApiServer {
    /// Serves on a listener until `stop`, then gives calls in progress a moment to end.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let guard = Guard::new(self.routes(), self.tls.clone(), self.clock.clone());
        door::serve(guard, self.tls, self.clock, listener, stop).await;
    }

    fn routes(&self) -> Routes {
        let handlers = Handlers::new(
            self.store.clone(),
            self.backend.clone(),
            self.host.clone(),
            self.files.clone(),
            Tunnels::new(self.tls.clone(), self.clock.clone()),
        );
        let health = HealthServer::new(handlers.clone());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors were made when this was built");
        // The guard keeps each method to its own limit; this one is that of the largest request of the service.
        macro_rules! limited {
            ($server:ident) => {
                $server::new(handlers.clone())
                    .max_decoding_message_size(largest_request($server::<Handlers>::NAME))
            };
        }
        RoutesBuilder::default()
            .add(limited!(MachineServiceServer))
            .add(limited!(ResourceServiceServer))
            .add(limited!(ServiceServiceServer))
            .add(limited!(LogServiceServer))
            .add(limited!(StatsServiceServer))
            .add(limited!(FileServiceServer))
            .add(limited!(UpgradeServiceServer))
            .add(limited!(EtcdServiceServer))
            .add(limited!(KubernetesServiceServer))
            .add(limited!(PeerServiceServer))
            .add(limited!(WorkloadServiceServer))
            .add(limited!(ImageServiceServer))
            .add(limited!(ContainerServiceServer))
            .add(limited!(PacketServiceServer))
            .add(limited!(FirmwareServiceServer))
            .add(health)
            .add(reflection)
            .build()
    }
}

/// Returns the size limit of the largest request of a service, in bytes.
fn largest_request(service: &str) -> usize {
    let limits = api::methods_of(service).map(|method| method.max_request_bytes);
    limits.max().unwrap_or(api::MAX_SMALL_MESSAGE)
}
