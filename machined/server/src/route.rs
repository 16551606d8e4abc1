//! Finds the service of a path.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;
use tower::util::BoxCloneSyncService;

type Boxed = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Holds the services by name. A dozen names need no tree, and tonic's own router would bring a web framework along.
#[derive(Clone)]
pub struct Routes {
    services: Arc<[(&'static str, Boxed)]>,
}

/// Collects services.
#[derive(Default)]
pub struct RoutesBuilder {
    services: Vec<(&'static str, Boxed)>,
}

impl RoutesBuilder {
    /// Adds a service.
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.push((S::NAME, Boxed::new(service)));
        self
    }

    /// Ends the collection.
    pub fn build(self) -> Routes {
        Routes {
            services: self.services.into(),
        }
    }
}

impl Routes {
    /// Hands a request to the service named in its path, `/SERVICE/METHOD`.
    pub fn call(&self, path: &str, request: http::Request<Body>) -> Answer {
        let name = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .map_or("", |(name, _)| name);
        match self.services.iter().find(|(known, _)| *known == name) {
            // Generated services are always ready, and cheap to clone.
            Some((_, service)) => Box::pin(service.clone().call(request)),
            None => {
                let status = Status::unimplemented(format!("this node has no service {name:?}"));
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}
