//! Puts the server together.

use std::sync::Arc;
use std::time::Duration;

use ::api::v1alpha1::file_service_server::FileServiceServer;
use ::api::v1alpha1::log_service_server::LogServiceServer;
use ::api::v1alpha1::machine_service_server::MachineServiceServer;
use ::api::v1alpha1::resource_service_server::ResourceServiceServer;
use ::api::v1alpha1::service_service_server::ServiceServiceServer;
use ::api::v1alpha1::stats_service_server::StatsServiceServer;
use ::api::v1alpha1::upgrade_service_server::UpgradeServiceServer;
use pki::{NodeClock, ServerTls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::backend::Backend;
use super::files::FilePolicy;
use super::guard::Guard;
use super::handlers::Handlers;
use super::host::Host;
use super::listen::{Connection, connections};
use super::route::{Routes, RoutesBuilder};
use crate::resource::Store;

/// How long a call may take until its answer starts; streams may then go on for ever.
const ANSWER_TIME: Duration = Duration::from_secs(90);
/// How often a quiet connection is asked whether its other end still lives, and how long that may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long calls may go on when the node stops: a watch would go on for ever.
const LAST_CALLS: Duration = Duration::from_secs(2);
/// Calls at a time on one connection.
const CALLS: u32 = 32;
/// What a client may send ahead, for one call and for a connection: over a line of 100 ms a bundle is pushed at some 5 MB/s, and
/// what no call has read yet fills no more memory than this.
const WINDOWS: (u32, u32) = (512 * 1024, 1024 * 1024);

/// Everything the API is served from.
#[derive(Clone)]
pub struct ApiServer {
    /// The node's state.
    pub store: Store,
    /// The other parts of the node.
    pub backend: Backend,
    /// The kernel's files.
    pub host: Host,
    /// Which files are shown.
    pub files: FilePolicy,
    /// The certificate and whom it trusts: changes while serving.
    pub tls: Arc<ServerTls>,
    /// What the node knows about the time.
    pub clock: Arc<NodeClock>,
}

impl ApiServer {
    /// Serves on a listener until `stop`, then gives calls in progress a moment to end.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let (interval, patience) = KEEPALIVE;
        let (stream_window, connection_window) = WINDOWS;
        let cut = CancellationToken::new();
        let connections = connections(listener, self.tls.clone(), cut.clone());
        let guard = Guard::new(self.routes().await, self.tls.clone(), self.clock.clone());
        let server = Server::builder()
            .timeout(ANSWER_TIME)
            .max_concurrent_streams(CALLS)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .http2_keepalive_interval(Some(interval))
            .http2_keepalive_timeout(Some(patience))
            .http2_max_header_list_size(16 * 1024)
            .serve_with_incoming_shutdown::<_, _, _, Connection, _, _>(
                guard,
                connections,
                stop.clone().cancelled_owned(),
            );
        let patience_ends = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_CALLS).await;
        };
        let ended = tokio::select! {
            // Not cancel safe, and need not be: it is dropped only when the node stops.
            ended = server => ended,
            // Cancel safe: asks for a state, then sleeps.
            () = patience_ends => Ok(()),
        };
        cut.cancel();
        ended
    }

    async fn routes(&self) -> Routes {
        let handlers = Handlers::new(
            self.store.clone(),
            self.backend.clone(),
            self.host.clone(),
            self.files.clone(),
        );
        let health = HealthReporter::new();
        health.set_service_status("", ServingStatus::Serving).await;
        let health = HealthServer::new(HealthService::from_health_reporter(health));
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(::api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors were made when this was built");
        macro_rules! limited {
            ($server:ident) => {
                $server::new(handlers.clone()).max_decoding_message_size(::api::MAX_MESSAGE)
            };
        }
        let upgrades =
            UpgradeServiceServer::new(handlers.clone()).max_decoding_message_size(::api::MAX_UPGRADE_MESSAGE);
        RoutesBuilder::default()
            .add(upgrades)
            .add(limited!(MachineServiceServer))
            .add(limited!(ResourceServiceServer))
            .add(limited!(ServiceServiceServer))
            .add(limited!(LogServiceServer))
            .add(limited!(StatsServiceServer))
            .add(limited!(FileServiceServer))
            .add(health)
            .add(reflection)
            .build()
    }
}
