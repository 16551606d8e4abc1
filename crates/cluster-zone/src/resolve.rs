//! A whole question: the name, and those that it is an alias of.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use crate::lookup::Answer;
use crate::records;
use crate::zone::Zone;

/// The most aliases that are followed one after the other.
const MOST_ALIASES: usize = 8;

/// The three parts of an answer, and its code.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The code that says how it went.
    pub code: ResponseCode,
    /// Set when the cluster itself is where the answer is from.
    pub authoritative: bool,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// The zone that has nothing to say.
    pub authorities: Vec<Record>,
    /// What will be asked next.
    pub additionals: Vec<Record>,
}

impl Outcome {
    /// Makes an outcome without records.
    pub fn failure(code: ResponseCode) -> Self {
        Outcome {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

/// How far the zone gets with a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// All the way.
    Here(Outcome),
    /// Up to a name that is not the cluster's. The records that lead there come first in the answer.
    Elsewhere(Vec<Record>, Name),
}

impl Zone {
    /// Answers a question as far as it is about the cluster. `turn` is where a list of endpoints begins.
    pub fn resolve(&self, name: &Name, kind: RecordType, turn: usize) -> Resolved {
        let mut answers = Vec::new();
        let mut name = name.clone();
        for _ in 0..MOST_ALIASES {
            let done = |code, answers, authorities, additionals| {
                Resolved::Here(Outcome {
                    code,
                    authoritative: true,
                    answers,
                    authorities,
                    additionals,
                })
            };
            let soa = |zone: &Name| vec![records::soa(zone, &self.config.domain)];
            match self.answer(&name, kind, turn) {
                Answer::Records(own, additionals) => {
                    answers.extend(own);
                    return done(ResponseCode::NoError, answers, Vec::new(), additionals);
                }
                Answer::Alias(record, target) => {
                    answers.push(*record);
                    name = target;
                }
                Answer::NoData(zone) => {
                    return done(ResponseCode::NoError, answers, soa(&zone), Vec::new());
                }
                Answer::NoName(zone) => {
                    return done(ResponseCode::NXDomain, answers, soa(&zone), Vec::new());
                }
                Answer::NotSynced => return Resolved::Here(Outcome::failure(ResponseCode::ServFail)),
                Answer::NotOurs => return Resolved::Elsewhere(answers, name),
            }
        }
        // Services that name each other.
        Resolved::Here(Outcome::failure(ResponseCode::ServFail))
    }
}
