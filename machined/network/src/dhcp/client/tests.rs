use std::collections::VecDeque;

use state::kinds::DhcpLease;
use tokio::sync::mpsc;

use super::super::super::leases::Leases;
use super::super::message::option;
use super::super::message::tests::{MAC, answer};
use super::*;

/// What a server says to a question.
type Script = Box<dyn FnMut(&Asked) -> Vec<Vec<u8>> + Send>;

/// A server in memory.
struct Scripted {
    answer: Script,
    waiting: VecDeque<Vec<u8>>,
    asked: mpsc::UnboundedSender<Asked>,
}

/// What a question said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    kind: u8,
    xid: u32,
    address: Option<[u8; 4]>,
    /// Set when it came from the node's own address, and to whom.
    own: bool,
    server: Option<Ipv4Addr>,
}

impl Scripted {
    fn take(&mut self, message: &[u8], own: bool, server: Option<Ipv4Addr>) {
        let find = |code: u8| {
            let mut rest = &message[240..];
            while rest[0] != option::END {
                let (value, after) = rest[2..].split_at(usize::from(rest[1]));
                if rest[0] == code {
                    return Some(value.to_vec());
                }
                rest = after;
            }
            None
        };
        let asked = Asked {
            kind: find(option::KIND).unwrap()[0],
            xid: u32::from_be_bytes(message[4..8].try_into().unwrap()),
            address: find(option::REQUESTED_ADDRESS).map(|bytes| bytes.try_into().unwrap()),
            own,
            server,
        };
        self.waiting.extend((self.answer)(&asked));
        self.asked.send(asked).unwrap();
    }
}

#[async_trait]
impl Wire for Scripted {
    async fn broadcast(&mut self, message: &[u8]) -> Result<(), DhcpError> {
        self.take(message, false, None);
        Ok(())
    }

    async fn send(&mut self, _: Ipv4Addr, server: Option<Ipv4Addr>, message: &[u8]) -> Result<(), DhcpError> {
        self.take(message, true, server);
        Ok(())
    }

    fn rest(&mut self) {
        self.waiting.clear();
    }

    async fn receive(&mut self) -> Result<Vec<u8>, DhcpError> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => std::future::pending().await,
        }
    }
}

/// A client that runs against a script, what it asked, and what it reported.
struct Bench {
    asked: mpsc::UnboundedReceiver<Asked>,
    leases: Leases<DhcpLease>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

fn bench(known: Option<[u8; 4]>, script: impl FnMut(&Asked) -> Vec<Vec<u8>> + Send + 'static) -> Bench {
    let (sender, asked) = mpsc::unbounded_channel();
    let leases = Leases::new();
    let report = leases.reporter("eth0");
    let asker = Asker {
        name: "eth0".into(),
        index: 2,
        mac_address: MAC,
        hostname: None,
    };
    let wire = Scripted {
        answer: Box::new(script),
        waiting: VecDeque::new(),
        asked: sender,
    };
    let client = Client::new(wire, asker, report, 0);
    let task = tokio::spawn(async move {
        client.run(|_| {}, known.map(Ipv4Addr::from)).await;
    });
    Bench {
        asked,
        leases,
        _task: tokio_util::task::AbortOnDropHandle::new(task),
    }
}

impl Bench {
    fn address(&self) -> Option<String> {
        let (leases, _) = self.leases.valid(|_| true);
        leases.first().map(|(_, lease)| lease.address.to_string())
    }

    async fn next(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// Lets what was asked be answered.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const SERVER: (u8, &[u8]) = (option::SERVER, &[10, 0, 0, 1]);
const TIME: (u8, &[u8]) = (option::LEASE_TIME, &[0, 0, 0x03, 0xe8]);
const MASK: (u8, &[u8]) = (option::MASK, &[255, 255, 255, 0]);
const DISCOVER: u8 = Kind::Discover as u8;
const REQUEST: u8 = Kind::Request as u8;

fn offer(xid: u32, last: u8) -> Vec<u8> {
    answer(Kind::Offer, xid, [10, 0, 0, last], &[SERVER, TIME, MASK])
}

fn ack(xid: u32, last: u8) -> Vec<u8> {
    answer(Kind::Ack, xid, [10, 0, 0, last], &[SERVER, TIME, MASK])
}

fn nak(xid: u32) -> Vec<u8> {
    answer(
        Kind::Nak,
        xid,
        [0, 0, 0, 0],
        &[SERVER, (option::MESSAGE, b"gone")],
    )
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_acquired_renewed_and_finally_rebound() {
    let mut bench = bench(None, {
        let (mut renewals, mut offers) = (0, 0);
        move |asked| match (asked.kind, asked.own) {
            (DISCOVER, _) => {
                offers += 1;
                if offers == 1 {
                    vec![offer(asked.xid, 5)]
                } else {
                    vec![]
                }
            }
            (_, false) => vec![ack(asked.xid, 5)],
            _ => {
                renewals += 1;
                if renewals == 1 {
                    vec![ack(asked.xid, 5)]
                } else {
                    vec![]
                }
            }
        }
    });
    assert_eq!(bench.next().await.kind, DISCOVER);
    let request = bench.next().await;
    assert_eq!(
        (request.kind, request.address, request.own),
        (REQUEST, Some([10, 0, 0, 5]), false)
    );
    bench.settle().await;
    assert_eq!(bench.address().as_deref(), Some("10.0.0.5/24"));
    let start = Instant::now();
    let renewal = bench.next().await;
    assert_eq!((renewal.own, renewal.server), (true, Some([10, 0, 0, 1].into())));
    assert_eq!(
        start.elapsed().as_secs(),
        499,
        "half of 1000 s, less the moment above"
    );
    // From now on nobody answers: until T2 the server is asked, then everybody, then the lease ends.
    let mut servers = Vec::new();
    loop {
        let asked = bench.next().await;
        if asked.kind == DISCOVER {
            break;
        }
        servers.push(asked.server.is_some());
    }
    assert!(
        servers.first() == Some(&true) && servers.last() == Some(&false),
        "{servers:?}"
    );
    assert!(servers.is_sorted_by(|a, b| a >= b), "{servers:?}");
    assert_eq!(bench.address(), None);
    assert_eq!(
        start.elapsed().as_secs(),
        1499,
        "500 s after the renewal, 1000 s of lease"
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_lease_is_removed_at_once() {
    for known in [None, Some([10, 0, 0, 5])] {
        let mut offers = 0;
        let mut bench = bench(known, move |asked| match (asked.kind, asked.own) {
            (DISCOVER, _) => {
                offers += 1;
                if offers == 1 {
                    vec![offer(asked.xid, 6)]
                } else {
                    vec![]
                }
            }
            (_, true) => vec![nak(asked.xid)],
            (_, false) if asked.address == Some([10, 0, 0, 5]) => vec![nak(asked.xid)],
            _ => vec![ack(asked.xid, 6)],
        });
        if known.is_some() {
            assert_eq!(
                bench.next().await.address,
                known,
                "the address of before is asked for first"
            );
        }
        assert_eq!(bench.next().await.kind, DISCOVER);
        bench.next().await;
        bench.settle().await;
        assert_eq!(bench.address().as_deref(), Some("10.0.0.6/24"));
        assert!(bench.next().await.own, "half-time");
        bench.settle().await;
        assert_eq!(bench.address(), None, "the server said no");
    }
}

/// An offer that is wrong in one point is taken without the point; what cannot be used does not hide what can.
#[tokio::test(start_paused = true)]
async fn odd_offers_are_accepted_and_useless_ones_ignored() {
    let late: (u8, &[u8]) = (option::RENEWAL, &[0, 0, 3, 0xe0]);
    let odd: [Vec<(u8, &[u8])>; 3] = [vec![SERVER, TIME, MASK, late], vec![SERVER, TIME], vec![MASK]];
    for options in odd {
        let mut bench = bench(None, move |asked| {
            let kind = if asked.kind == DISCOVER {
                Kind::Offer
            } else {
                Kind::Ack
            };
            let foreign = answer(kind, asked.xid + 9, [10, 0, 0, 66], &[SERVER, TIME, MASK]);
            let useless = answer(kind, asked.xid, [127, 0, 0, 1], &[SERVER, TIME, MASK]);
            let cut = answer(kind, asked.xid, [10, 0, 0, 66], &[SERVER])[..247].to_vec();
            let good = answer(kind, asked.xid, [10, 0, 0, 5], &options);
            vec![foreign, useless, cut, good]
        });
        bench.next().await;
        bench.next().await;
        bench.settle().await;
        assert!(
            bench
                .address()
                .is_some_and(|address| address.starts_with("10.0.0.5/"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_offers_and_does_not_acknowledge_is_retried_more_and_more_slowly() {
    let mut bench = bench(None, |asked| match asked.kind {
        DISCOVER => vec![offer(asked.xid, 5)],
        _ => vec![nak(asked.xid)],
    });
    let start = Instant::now();
    for _ in 0..20 {
        bench.next().await;
    }
    assert!(
        start.elapsed() > Duration::from_secs(200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(bench.address(), None);
}
