//! Answers packets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use cluster_zone::message::{Incoming, Question, Transport, read};
use cluster_zone::proto::rr::{Name, Record};
use cluster_zone::{Resolved, Zone};

use crate::forward::Forwarder;

/// What answers: the zone, and the way to others.
pub(crate) struct Answerer {
    pub(crate) zone: Arc<RwLock<Zone>>,
    pub(crate) forwarder: Forwarder,
    turn: AtomicUsize,
}

/// How far a packet gets by itself.
pub(crate) enum Step {
    /// There is no answer.
    None,
    /// This is the answer.
    Answer(Vec<u8>),
    /// Others are to be asked.
    Ask(Box<Asked>),
}

/// A question for others.
pub(crate) struct Asked {
    question: Box<Question>,
    aliases: Vec<Record>,
    name: Name,
}

impl Answerer {
    pub(crate) fn new(zone: Arc<RwLock<Zone>>) -> Self {
        Answerer {
            zone,
            forwarder: Forwarder::new(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Answers a packet, if nobody else must be asked. Never waits.
    pub(crate) fn step(&self, packet: &[u8], transport: Transport) -> Step {
        let question = match read(packet, transport) {
            Incoming::Ignored => return Step::None,
            Incoming::Refused(answer) => return Step::Answer(answer),
            Incoming::Question(question) => question,
        };
        let (name, kind) = (question.query.name(), question.query.query_type());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let resolved = {
            let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
            zone.resolve(name, kind, turn)
        };
        let (aliases, name) = match resolved {
            Resolved::Here(outcome) => return Step::Answer(question.answer(&outcome)),
            Resolved::Elsewhere(aliases, name) => (aliases, name),
        };
        match self.forwarder.held(&name, kind, question.dnssec) {
            Some(mut outcome) => {
                outcome.answers.splice(0..0, aliases);
                Step::Answer(question.answer(&outcome))
            }
            None => Step::Ask(Box::new(Asked {
                question,
                aliases,
                name,
            })),
        }
    }

    /// Asks others, and answers.
    pub(crate) async fn ask(&self, asked: Asked) -> Vec<u8> {
        let question = asked.question;
        let kind = question.query.query_type();
        let mut outcome = self.forwarder.ask(&asked.name, kind, question.dnssec).await;
        outcome.answers.splice(0..0, asked.aliases);
        question.answer(&outcome)
    }
}
