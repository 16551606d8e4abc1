//! Answers of other name servers, kept for as long as they say, in bounded room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_zone::Outcome;
use cluster_zone::proto::op::{Message, MessageType, OpCode, ResponseCode};
use cluster_zone::proto::rr::{Name, RData, Record, RecordType};

/// The longest time that an answer is kept.
const LONGEST: u32 = 3600;
/// The longest time that it is kept that there is nothing.
const LONGEST_NEGATIVE: u32 = 30;
/// How long an answer that is too old may still be given, when no server answers.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long such an answer may be kept by whoever asked, in seconds.
const STALE_TTL: u32 = 5;
/// What an entry takes beside its packet and its name, in bytes.
const OVERHEAD: usize = 250;

/// A question: name in lower case, kind, and whether records that verify others are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    name: Name,
    kind: RecordType,
    dnssec: bool,
}

impl Key {
    pub(crate) fn of(name: &Name, kind: RecordType, dnssec: bool) -> Self {
        Key {
            name: name.to_lowercase(),
            kind,
            dnssec,
        }
    }
}

/// Answers by question. The oldest one makes room.
#[derive(Debug)]
pub(crate) struct Cache {
    most: usize,
    size: usize,
    next: u64,
    entries: HashMap<Arc<Key>, Entry>,
    order: BTreeMap<u64, Arc<Key>>,
}

#[derive(Debug)]
struct Entry {
    /// As a packet: a tenth of the size of its records.
    packet: Box<[u8]>,
    since: Instant,
    life: u32,
    number: u64,
}

impl Cache {
    /// Makes a cache of at most so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Cache {
            most,
            size: 0,
            next: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// Returns an answer that is still valid, with what is left of its time.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Outcome> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since).as_secs();
        let age = u32::try_from(age).ok().filter(|age| *age < entry.life)?;
        read(&entry.packet, |ttl| ttl.saturating_sub(age))
    }

    /// Returns an answer that may be too old.
    pub(crate) fn get_stale(&self, key: &Key, now: Instant) -> Option<Outcome> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        (age < STALE)
            .then(|| read(&entry.packet, |ttl| ttl.min(STALE_TTL)))
            .flatten()
    }

    /// Keeps an answer, if it may be kept.
    pub(crate) fn put(&mut self, key: Key, outcome: &Outcome, now: Instant) {
        let Some(life) = life(outcome) else { return };
        let Some(packet) = write(outcome) else { return };
        let key = Arc::new(key);
        self.remove(&key);
        let entry = Entry {
            packet: packet.into(),
            since: now,
            life,
            number: self.next,
        };
        let size = size(&key, &entry);
        if size > self.most {
            return;
        }
        while self.size + size > self.most {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.next += 1;
        self.size += size;
        self.order.insert(entry.number, key.clone());
        self.entries.insert(key, entry);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Cache::new(self.most);
    }

    fn remove(&mut self, key: &Arc<Key>) {
        if let Some(entry) = self.entries.remove(key) {
            self.size -= size(key, &entry);
            self.order.remove(&entry.number);
        }
    }
}

fn size(key: &Key, entry: &Entry) -> usize {
    key.name.len() + entry.packet.len() + OVERHEAD
}

/// Returns for how many seconds an answer may be kept; none if not at all.
fn life(outcome: &Outcome) -> Option<u32> {
    let life = match outcome.code {
        ResponseCode::NoError if !outcome.answers.is_empty() => {
            let shortest = outcome.answers.iter().map(|record| record.ttl).min()?;
            shortest.min(LONGEST)
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let soa = |record: &Record| match &record.data {
                RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
                _ => None,
            };
            // Without it nobody said for how long.
            let said = outcome.authorities.iter().find_map(soa)?;
            let aliases = outcome.answers.iter().map(|record| record.ttl);
            aliases.fold(said, u32::min).min(LONGEST_NEGATIVE)
        }
        _ => return None,
    };
    (life > 0).then_some(life)
}

fn write(outcome: &Outcome) -> Option<Vec<u8>> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.response_code = outcome.code;
    message.answers.clone_from(&outcome.answers);
    message.authorities.clone_from(&outcome.authorities);
    message.additionals.clone_from(&outcome.additionals);
    message.to_vec().ok()
}

fn read(packet: &[u8], ttl: impl Fn(u32) -> u32) -> Option<Outcome> {
    let message = Message::from_vec(packet).ok()?;
    let aged = |mut records: Vec<Record>| {
        for record in &mut records {
            record.ttl = ttl(record.ttl);
        }
        records
    };
    Some(Outcome {
        code: message.metadata.response_code,
        authoritative: false,
        answers: aged(message.answers),
        authorities: aged(message.authorities),
        additionals: aged(message.additionals),
    })
}

#[cfg(test)]
mod tests {
    use cluster_zone::proto::rr::rdata::SOA;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn key(text: &str) -> Key {
        Key::of(&name(text), RecordType::A, false)
    }

    fn positive(text: &str, ttl: u32) -> Outcome {
        let address = RData::A(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
        Outcome {
            answers: vec![Record::from_rdata(name(text), ttl, address)],
            ..Outcome::failure(ResponseCode::NoError)
        }
    }

    fn negative(ttl: u32, minimum: u32) -> Outcome {
        let soa = SOA::new(name("ns.example."), name("me.example."), 1, 2, 3, 4, minimum);
        Outcome {
            authorities: vec![Record::from_rdata(name("example."), ttl, RData::SOA(soa))],
            ..Outcome::failure(ResponseCode::NXDomain)
        }
    }

    #[test]
    fn an_answer_ages_and_ends() {
        let (mut cache, start) = (Cache::new(10_000), Instant::now());
        cache.put(key("www.example."), &positive("www.example.", 60), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        let ttl = |outcome: Option<Outcome>| outcome.map(|outcome| outcome.answers[0].ttl);
        assert_eq!(ttl(cache.get(&key("WWW.Example."), after(0))), Some(60));
        assert_eq!(ttl(cache.get(&key("www.example."), after(59))), Some(1));
        assert_eq!(cache.get(&key("www.example."), after(60)), None);
        assert_eq!(ttl(cache.get_stale(&key("www.example."), after(60))), Some(5));
        assert_eq!(cache.get_stale(&key("www.example."), after(86_400)), None);
        assert_eq!(
            cache.get(&Key::of(&name("www.example."), RecordType::AAAA, false), start),
            None
        );
        cache.clear();
        assert_eq!(cache.get_stale(&key("www.example."), start), None);
    }

    #[test]
    fn only_what_says_for_how_long_is_kept() {
        for (outcome, expected) in [
            (positive("a.", 60), Some(60)),
            (positive("a.", 1_000_000), Some(LONGEST)),
            (positive("a.", 0), None),
            (negative(10, 20), Some(10)),
            (negative(900, 20), Some(20)),
            (negative(900, 900), Some(LONGEST_NEGATIVE)),
            (Outcome::failure(ResponseCode::NXDomain), None),
            (Outcome::failure(ResponseCode::NoError), None),
            (Outcome::failure(ResponseCode::ServFail), None),
        ] {
            assert_eq!(life(&outcome), expected, "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_it_may(names in proptest::collection::vec("[a-d]{1,40}", 0..100), most in 0_usize..2000) {
            let (mut cache, now) = (Cache::new(most), Instant::now());
            for text in names {
                cache.put(key(&text), &positive(&text, 60), now);
                let real: usize = cache.entries.iter().map(|(key, entry)| size(key, entry)).sum();
                prop_assert_eq!(real, cache.size);
                prop_assert_eq!(cache.entries.len(), cache.order.len());
                prop_assert!(cache.size <= most);
                // The newest one is there, if it fits at all.
                let fits = cache.get(&key(&text), now).is_some();
                prop_assert!(fits || most < 400, "{text} {most}");
            }
        }
    }
}
