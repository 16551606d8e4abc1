//! The one place where a request is let through or refused.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use ::api::{Maintenance, Role};
use pki::{Fingerprint, NodeClock, ServerTls};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::peer::{Caller, Peer};
use super::route::Routes;

/// Stands before the services: checks each request against the table of methods.
#[derive(Clone)]
pub struct Guard {
    routes: Routes,
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
}

impl Guard {
    /// Guards these services.
    pub fn new(routes: Routes, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        Self { routes, tls, clock }
    }

    fn check(&self, path: &str, peer: Option<&Peer>) -> Result<Caller, Status> {
        let peer = peer.ok_or_else(|| Status::internal("the connection does not say who is at its end"))?;
        let trust = self.tls.current().map_or(peer.trust, |serving| serving.trust);
        decide(path, peer, trust, |not_before| {
            self.clock.judge(SystemTime::now(), not_before)
        })
    }
}

/// Decides on one request. In case of doubt it is refused.
///
/// `trust` is whom the node trusts now, which may differ from when the connection was made; `now` is asked for the time
/// at which a certificate with that first day is to be judged.
fn decide(
    path: &str,
    peer: &Peer,
    trust: Option<Fingerprint>,
    now: impl FnOnce(SystemTime) -> SystemTime,
) -> Result<Caller, Status> {
    let Some((least, maintenance)) = ::api::roles::method(path) else {
        return Err(Status::unimplemented(format!("this node has no method {path}")));
    };
    if peer.trust != trust {
        let text = match trust {
            Some(_) => {
                "the node takes other certificates since the connection was made; connect again with one"
            }
            None => "the node is back in maintenance mode; connect again, without a certificate",
        };
        return Err(Status::unauthenticated(text));
    }
    let Some(identity) = peer.identity.as_ref().filter(|_| trust.is_some()) else {
        return match (trust, maintenance) {
            (None, Maintenance::Yes) => Ok(caller(peer, None)),
            (None, Maintenance::No) => Err(Status::failed_precondition(format!(
                "{path} is not answered in maintenance mode; apply a machine config first: bedplate apply"
            ))),
            (Some(_), _) => Err(Status::unauthenticated("a client certificate is needed")),
        };
    };
    if identity.not_after < now(identity.not_before) {
        return Err(Status::unauthenticated(
            "the client certificate has expired since the connection was made; make a new one: bedplate gen client",
        ));
    }
    match identity.role {
        Some(role) if role >= least => Ok(caller(peer, Some(role))),
        Some(role) => Err(Status::permission_denied(format!(
            "{path} needs the role {least}; the client certificate of {:?} has {role}",
            identity.name
        ))),
        None => Err(Status::permission_denied(format!(
            "the client certificate of {:?} has no role; its organization must be {}, {} or {}",
            identity.name,
            Role::Reader.organization(),
            Role::Operator.organization(),
            Role::Admin.organization(),
        ))),
    }
}

fn caller(peer: &Peer, role: Option<Role>) -> Caller {
    Caller {
        role,
        who: peer.who(),
    }
}

impl Service<http::Request<Body>> for Guard {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        match self.check(&path, request.extensions().get::<Peer>()) {
            Ok(caller) => {
                let changes = ::api::roles::method(&path).is_some_and(|(least, _)| least > Role::Reader);
                if changes {
                    tracing::info!("{} calls {path}", caller.who);
                }
                request.extensions_mut().insert(caller);
                self.routes.call(&path, request)
            }
            Err(status) => {
                tracing::debug!("refused {path}: {}", status.message());
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;
    use crate::api::peer::Identity;

    const REBOOT: &str = "/bedplate.v1alpha1.MachineService/Reboot";
    const VERSION: &str = "/bedplate.v1alpha1.MachineService/Version";

    fn moment(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn trust(text: &str) -> Option<Fingerprint> {
        Some(text.repeat(64).parse().unwrap())
    }

    fn peer(role: Option<Role>) -> Peer {
        Peer {
            trust: trust("a"),
            identity: Some(Identity {
                name: "ann".into(),
                role,
                not_before: moment(10),
                not_after: moment(20),
            }),
            address: None,
        }
    }

    fn stranger() -> Peer {
        Peer {
            trust: None,
            identity: None,
            address: None,
        }
    }

    #[test]
    fn each_doubt_has_its_code() {
        let (home, away) = (trust("a"), trust("b"));
        let nameless = Peer {
            identity: None,
            ..peer(None)
        };
        let cases = [
            (REBOOT, peer(Some(Role::Operator)), home, 15, None),
            (
                REBOOT,
                peer(Some(Role::Reader)),
                home,
                15,
                Some(Code::PermissionDenied),
            ),
            (VERSION, peer(None), home, 15, Some(Code::PermissionDenied)),
            (
                VERSION,
                peer(Some(Role::Admin)),
                home,
                21,
                Some(Code::Unauthenticated),
            ),
            (
                "/x/Y",
                peer(Some(Role::Admin)),
                home,
                15,
                Some(Code::Unimplemented),
            ),
            (
                VERSION,
                peer(Some(Role::Admin)),
                away,
                15,
                Some(Code::Unauthenticated),
            ),
            (
                VERSION,
                peer(Some(Role::Admin)),
                None,
                15,
                Some(Code::Unauthenticated),
            ),
            (VERSION, nameless, home, 15, Some(Code::Unauthenticated)),
            (VERSION, stranger(), None, 15, None),
            (REBOOT, stranger(), None, 15, Some(Code::FailedPrecondition)),
            (VERSION, stranger(), home, 15, Some(Code::Unauthenticated)),
        ];
        for (path, peer, trust, now, expected) in cases {
            let found = decide(path, &peer, trust, |_| moment(now)).map_err(|status| status.code());
            assert_eq!(found.err(), expected, "{path} {peer:?} {trust:?} {now}");
        }
    }
}
