//! Asks the service, as a pod would.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use cluster_zone::proto::ProtoError;
use cluster_zone::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use cluster_zone::proto::rr::RecordType;

use crate::settings::{Settings, SettingsError};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The service does not do what it is for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unhealthy {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The question cannot be written.
    #[error("the API server has no name")]
    Name(#[from] ProtoError),
    /// Nobody answers.
    #[error("there is no answer at {address}")]
    NoAnswer {
        /// Where it was asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The answer is not the one that it should be.
    #[error("{name} has no address: {code}")]
    Wrong {
        /// The name that was asked for.
        name: String,
        /// What was answered.
        code: ResponseCode,
    },
}

/// Asks for the API server's name, which every cluster has.
pub(crate) fn check(settings: &Settings) -> Result<(), Unhealthy> {
    let domain = settings.zone()?.domain;
    let labels = ["kubernetes", "default", "svc"];
    let name = labels
        .iter()
        .rev()
        .try_fold(domain, |name, label| name.prepend_label(label.as_bytes()))?;
    let kind = match settings.services.first() {
        Some(network) if network.address.is_ipv6() => RecordType::AAAA,
        _ => RecordType::A,
    };
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), kind));
    let address = settings.check;
    let answer =
        ask(address, &question.to_vec()?).map_err(|source| Unhealthy::NoAnswer { address, source })?;
    let answer = Message::from_vec(&answer)
        .ok()
        .filter(|answer| answer.metadata.id == question.metadata.id)
        .unwrap_or_else(|| Message::error_msg(0, OpCode::Query, ResponseCode::FormErr));
    let found = answer.answers.iter().any(|record| record.record_type() == kind);
    match found && answer.metadata.message_type == MessageType::Response {
        true => Ok(()),
        false => Err(Unhealthy::Wrong {
            name: name.to_string(),
            code: answer.metadata.response_code,
        }),
    }
}

fn ask(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match address.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(question)?;
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
