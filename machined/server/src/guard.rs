//! The one place where requests are allowed or refused.
//!
//! An allowed call is checked on: each step of it, and of the stream that may be its response, first checks that its [`Grant`]
//! still holds.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::{Method, Open, Role};
use backend::Caller;
use backend::grant::{Grant, Revoked};
use backend::peer::Peer;
use pki::{Mode, NodeClock, ServerTls};
use quantity::human_time;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::answer::Guarded;
use super::class::Class;
use super::request::{Allowances, Metered, Room};
use super::route::Routes;

/// Time limit until the response of a call starts, its request included; streams may then continue forever.
const ANSWER_TIME: Duration = Duration::from_secs(90);

/// The layer in front of the services that checks each request against the table of methods.
#[derive(Clone)]
pub struct Guard {
    requests: Allowances,
    routes: Routes,
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
}

impl Guard {
    /// Guards these services.
    pub fn new(routes: Routes, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        Self {
            requests: Allowances::default(),
            routes,
            tls,
            clock,
        }
    }

    fn check(&self, method: &Method, peer: &Peer) -> Result<Caller, Status> {
        let grant = Grant::of(peer, self.tls.clone(), self.clock.clone());
        let locked = self
            .tls
            .current()
            .is_some_and(|serving| serving.mode == Mode::Locked);
        let role = decide(method, peer, grant.check(), locked)?;
        Ok(Caller {
            role,
            who: peer.who(),
            identity: peer.identity.clone(),
            address: peer.address,
            grant,
        })
    }
}

/// Decides on a request, and returns the role with which it is allowed; none in maintenance mode. In case of doubt it is
/// refused.
///
/// `holds` is whether what the handshake found still holds; `locked`, whether the node has no CA to verify callers with.
fn decide(
    method: &Method,
    peer: &Peer,
    holds: Result<(), Revoked>,
    locked: bool,
) -> Result<Option<Role>, Status> {
    let Method {
        path,
        role: least,
        open,
        ..
    } = *method;
    holds?;
    let Some(identity) = peer.identity.as_ref().filter(|_| peer.trust.is_some()) else {
        return match (peer.trust, open) {
            (None, Open::WhenLocked) => Ok(None),
            (None, _) if locked => Err(Status::failed_precondition(format!(
                "{path} is not answered: the node is locked, and no longer knows its owner; see its console"
            ))),
            (None, Open::InMaintenance) => Ok(None),
            (None, Open::Never) => Err(Status::failed_precondition(format!(
                "{path} is not answered in maintenance mode; apply a machine config first with `bedplate apply`"
            ))),
            (Some(_), _) => Err(Status::unauthenticated("a client certificate is required")),
        };
    };
    match identity.role {
        Some(role) if role >= least => Ok(Some(role)),
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

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Produces the response for as long as the grant holds. The grant is checked before each step of the call, so nothing is done
/// for a caller whose rights have ended while it waited, or kept the node waiting. The room of its request is kept until then.
async fn guarded(answer: Answer, grant: Grant, _room: Room) -> Result<http::Response<Body>, Infallible> {
    let revoked = grant.clone();
    tokio::select! {
        biased;
        // Cancel safe.
        why = revoked.revoked() => Ok(Status::from(why).into_http()),
        // Cancel safe.
        () = tokio::time::sleep(ANSWER_TIME) => {
            let text = format!("there was no answer within {}", human_time(ANSWER_TIME));
            Ok(Status::deadline_exceeded(text).into_http())
        }
        // Not cancel safe, and need not be: a client that hangs up ends it as well.
        answer = answer => answer.map(|answer| answer.map(|body| Body::new(Guarded::new(body, grant)))),
    }
}

impl Service<http::Request<Body>> for Guard {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let Some(method) = api::method(&path) else {
            return refuse(Status::unimplemented(format!("this node has no method {path}")));
        };
        let Some(peer) = request.extensions_mut().remove::<Peer>() else {
            return refuse(Status::internal("the connection has no peer"));
        };
        let caller = match self.check(method, &peer) {
            Ok(caller) => caller,
            Err(status) => {
                tracing::debug!("refused {path}: {}", status.message());
                return refuse(status);
            }
        };
        if method.role > Role::Reader {
            tracing::info!("{} calls {path}", caller.who);
        }
        let grant = caller.grant.clone();
        request.extensions_mut().insert(caller);
        let (allowance, room) = (self.requests.of(method, Class::of(&peer)), Room::default());
        let request = request.map(|body| Body::new(Metered::new(body, allowance, room.clone())));
        Box::pin(guarded(self.routes.call(&path, request), grant, room))
    }
}

fn refuse(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use backend::peer::Identity;
    use pki::Fingerprint;
    use tonic::Code;

    use super::*;

    const REBOOT: &str = "/bedplate.v1alpha1.MachineService/Reboot";
    const VERSION: &str = "/bedplate.v1alpha1.MachineService/Version";

    fn trust(text: &str) -> Option<Fingerprint> {
        Some(text.repeat(64).parse().unwrap())
    }

    fn peer(role: Option<Role>) -> Peer {
        let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Peer {
            trust: trust("a"),
            identity: Some(Identity {
                name: "ann".into(),
                organizations: Vec::new(),
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
        let nameless = Peer {
            identity: None,
            ..peer(None)
        };
        let unvouched = Peer {
            trust: None,
            ..peer(Some(Role::Admin))
        };
        let (reader, admin) = (peer(Some(Role::Reader)), peer(Some(Role::Admin)));
        let expired = Err(Revoked::Expired);
        let cases = [
            (REBOOT, peer(Some(Role::Operator)), Ok(()), None),
            (REBOOT, reader, Ok(()), Some(Code::PermissionDenied)),
            (VERSION, peer(None), Ok(()), Some(Code::PermissionDenied)),
            (VERSION, admin, expired, Some(Code::Unauthenticated)),
            (VERSION, nameless, Ok(()), Some(Code::Unauthenticated)),
            (REBOOT, unvouched, Ok(()), Some(Code::FailedPrecondition)),
            (VERSION, stranger(), Ok(()), None),
            (REBOOT, stranger(), Ok(()), Some(Code::FailedPrecondition)),
            (
                VERSION,
                stranger(),
                Err(Revoked::Authority),
                Some(Code::Unauthenticated),
            ),
            (
                VERSION,
                stranger(),
                Err(Revoked::NotServing),
                Some(Code::Unavailable),
            ),
        ];
        for (path, peer, holds, expected) in cases {
            let method = api::method(path).unwrap();
            let found = decide(method, &peer, holds, false).map_err(|status| status.code());
            assert_eq!(found.err(), expected, "{path} {peer:?} {holds:?}");
        }
        for method in api::METHODS {
            let answered = decide(method, &stranger(), Ok(()), true).is_ok();
            assert_eq!(
                answered,
                method.open == Open::WhenLocked,
                "{} of a locked node",
                method.path
            );
            assert!(!answered || method.role == Role::Reader);
        }
    }
}
