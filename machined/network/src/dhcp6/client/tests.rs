use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::super::super::leases::Leases;
use super::super::message::tests::{MAC, answer};
use super::*;

/// A server in memory: a function from a question's kind and number to answers.
struct Scripted {
    answer: Box<dyn FnMut(u8, u32) -> Vec<Vec<u8>> + Send>,
    waiting: VecDeque<Vec<u8>>,
    asked: mpsc::UnboundedSender<u8>,
}

#[async_trait]
impl Wire for Scripted {
    async fn send(&mut self, message: &[u8]) -> Result<(), Dhcp6Error> {
        let xid = u32::from_be_bytes([0, message[1], message[2], message[3]]);
        self.waiting.extend((self.answer)(message[0], xid));
        self.asked.send(message[0]).unwrap();
        Ok(())
    }

    async fn receive(&mut self) -> Result<Vec<u8>, Dhcp6Error> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => std::future::pending().await,
        }
    }
}

struct Bench {
    asked: mpsc::UnboundedReceiver<u8>,
    leases: Leases<Dhcp6Lease>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

fn bench(managed: bool, script: impl FnMut(u8, u32) -> Vec<Vec<u8>> + Send + 'static) -> Bench {
    let (sender, asked) = mpsc::unbounded_channel();
    let leases = Leases::new();
    let asker = Asker {
        name: "eth0".into(),
        index: 2,
        mac_address: MAC,
        own: "fe80::9".parse().unwrap(),
        managed,
    };
    let wire = Scripted {
        answer: Box::new(script),
        waiting: VecDeque::new(),
        asked: sender,
    };
    let client = Client::new(wire, asker, leases.reporter("eth0"), 0);
    let task = tokio::spawn(async move { drop(client.run().await) });
    Bench {
        asked,
        leases,
        _task: tokio_util::task::AbortOnDropHandle::new(task),
    }
}

impl Bench {
    fn lease(&self) -> Option<Dhcp6Lease> {
        self.leases.valid(|_| true).0.pop().map(|(_, lease)| lease)
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn ours() -> Option<Ipv6Addr> {
    "2001:db8::7".parse().ok()
}

#[tokio::test(start_paused = true)]
async fn an_address_is_got_renewed_asked_of_anybody_and_lost() {
    let mut replies = 0;
    let mut bench = bench(true, move |kind, xid| {
        let given = |answered| vec![answer(answered, xid, MAC, ours(), (400, 600))];
        match kind {
            1 if replies == 0 => given(2),
            3 | 5 if replies < 2 => {
                replies += 1;
                given(7)
            }
            _ => vec![],
        }
    });
    assert_eq!(
        (bench.asked.recv().await, bench.asked.recv().await),
        (Some(1), Some(3))
    );
    bench.settle().await;
    assert_eq!(bench.lease().unwrap().address, ours());
    let start = Instant::now();
    assert_eq!(bench.asked.recv().await, Some(5));
    assert_eq!(start.elapsed().as_secs(), 399, "400 s, less the moment above");
    let mut kinds = Vec::new();
    while let Some(kind) = bench.asked.recv().await.filter(|kind| *kind != 1) {
        kinds.push(kind);
    }
    assert!(
        kinds.first() == Some(&5) && kinds.last() == Some(&6) && kinds.is_sorted(),
        "{kinds:?}"
    );
    assert_eq!(bench.lease(), None);
    assert_eq!(
        start.elapsed().as_secs(),
        1399,
        "400 s of the first, 1000 s of the second"
    );
}

#[tokio::test(start_paused = true)]
async fn settings_alone_are_asked_for_once_a_day_and_kept() {
    let mut bench = bench(false, |kind, xid| match kind {
        11 => vec![
            answer(7, xid + 1, MAC, None, (0, 0)),
            answer(7, xid, MAC, None, (0, 0)),
        ],
        _ => vec![],
    });
    assert_eq!(bench.asked.recv().await, Some(11));
    bench.settle().await;
    let settings = bench.lease().unwrap();
    assert_eq!((settings.address, settings.nameservers.len()), (None, 1));
    let start = Instant::now();
    assert_eq!(bench.asked.recv().await, Some(11));
    assert_eq!(start.elapsed().as_secs(), 86_399);
    assert!(bench.lease().is_some());
}
