//! Why a call of etcd failed.

use tonic::{Code, Status};

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody answers there.
    #[error("etcd on {at} does not answer: {why}")]
    Unreachable {
        /// The address.
        at: String,
        /// Why.
        why: String,
    },
    /// etcd refused the call.
    #[error("etcd on {at} refuses: {}", sentence(*.refusal, .message))]
    Refused {
        /// The address.
        at: String,
        /// Why, as far as it matters here.
        refusal: Refusal,
        /// What it said.
        message: String,
    },
}

/// The reason of a refusal, as far as anybody acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no leader, or cannot reach enough members.
    NoQuorum,
    /// Too few members are healthy to change their list.
    Unhealthy,
    /// Another learner has to be promoted first.
    TooManyLearners,
    /// The learner has not caught up with the leader yet.
    LearnerNotReady,
    /// The member is no learner, or no longer one.
    NotLearner,
    /// There is no such member.
    NoSuchMember,
    /// A member with this address, or this identity, is there already.
    MemberExists,
    /// The member that was asked is a learner, which answers little.
    IsLearner,
    /// Anything else.
    Other,
}

/// What etcd says, and what it means.
const MESSAGES: [(&str, Refusal); 14] = [
    ("no leader", Refusal::NoQuorum),
    ("not leader", Refusal::NoQuorum),
    ("leader changed", Refusal::NoQuorum),
    ("request timed out", Refusal::NoQuorum),
    ("unhealthy cluster", Refusal::Unhealthy),
    ("not enough started members", Refusal::Unhealthy),
    ("too many learner members", Refusal::TooManyLearners),
    ("in sync with leader", Refusal::LearnerNotReady),
    ("can only promote a learner member", Refusal::NotLearner),
    ("member not found", Refusal::NoSuchMember),
    ("member ID already exist", Refusal::MemberExists),
    ("Peer URLs already exists", Refusal::MemberExists),
    ("not supported for learner", Refusal::IsLearner),
    ("server stopped", Refusal::NoQuorum),
];

impl CallError {
    /// Reads what became of a call of the member at an address.
    pub fn of(at: &str, status: &Status) -> Self {
        let (at, message) = (at.to_owned(), status.message());
        let stripped = message.strip_prefix("etcdserver: ");
        let from_etcd = stripped.is_some();
        let message = stripped.unwrap_or(message).to_owned();
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown if !from_etcd => {
                let why = std::error::Error::source(status).map_or(message, deepest);
                Self::Unreachable { at, why }
            }
            _ => Self::Refused {
                at,
                refusal: refusal(&message),
                message,
            },
        }
    }

    /// Returns the reason of a refusal; none where nobody answered.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            Self::Unreachable { .. } => None,
        }
    }
}

/// Returns the last cause: those before it only say that a connection could not be made.
fn deepest(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

fn refusal(message: &str) -> Refusal {
    let found = MESSAGES.iter().find(|(part, _)| message.contains(part));
    found.map_or(Refusal::Other, |(_, refusal)| *refusal)
}

/// Says a refusal so that it can be understood without etcd's source.
fn sentence(refusal: Refusal, message: &str) -> &str {
    match refusal {
        Refusal::NoQuorum => "it cannot reach enough members for a quorum",
        Refusal::Unhealthy => "too few members are healthy to change the list of members",
        Refusal::TooManyLearners => "another learner has to be promoted first",
        Refusal::LearnerNotReady => "the learner has not caught up with the leader yet",
        Refusal::IsLearner => "it is a learner, which answers only when it is promoted",
        Refusal::NoSuchMember => "there is no such member",
        Refusal::MemberExists => "there is such a member already",
        Refusal::NotLearner | Refusal::Other => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_understood() {
        let of = |code, message: &str| CallError::of("10.0.0.1", &Status::new(code, message));
        let cases = [
            (Code::Unavailable, "etcdserver: no leader", Refusal::NoQuorum),
            (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
                Refusal::NoQuorum,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: too many learner members in cluster",
                Refusal::TooManyLearners,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member which is in sync with leader",
                Refusal::LearnerNotReady,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member",
                Refusal::NotLearner,
            ),
            (Code::InvalidArgument, "etcdserver: something new", Refusal::Other),
        ];
        for (code, message, expected) in cases {
            assert_eq!(of(code, message).refusal(), Some(expected), "{message}");
        }
        let away = of(Code::Unavailable, "tcp connect error");
        assert_eq!(
            away.to_string(),
            "etcd on 10.0.0.1 does not answer: tcp connect error"
        );
        let refused = of(Code::Unavailable, "etcdserver: no leader");
        assert_eq!(
            refused.to_string(),
            "etcd on 10.0.0.1 refuses: it cannot reach enough members for a quorum"
        );
    }
}
