//! Whatever the connection and the server do: the right bytes, or an error.

use std::ops::Range;
use std::time::Duration;

use crate::support::{Reply, Request, Server, content};
use proptest::prelude::*;
use remote::{Options, Remote};

const LEN: usize = 120_000;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
enum Fault {
    None,
    Cut(usize),
    Status(&'static str),
    /// Other bytes than requested, correctly labelled.
    Elsewhere(usize),
    /// All bytes, as if there were no ranges.
    Whole,
    /// Fewer bytes than requested.
    Short(usize),
    /// The length in the head is not the body's.
    Lies(usize),
    /// No HTTP at all.
    Garbage,
    /// From now on the file has other content.
    Changes,
    /// From now on it is shorter.
    Shrinks,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        3 => (0usize..60_000).prop_map(Fault::Cut),
        1 => prop_oneof![Just("503 X"), Just("404 X"), Just("416 X"), Just("304 X"), Just("204 X")].prop_map(Fault::Status),
        1 => (0usize..LEN).prop_map(Fault::Elsewhere),
        1 => Just(Fault::Whole),
        2 => (1usize..40_000).prop_map(Fault::Short),
        1 => (1usize..LEN).prop_map(Fault::Lies),
        1 => Just(Fault::Garbage),
        1 => Just(Fault::Changes),
        1 => Just(Fault::Shrinks),
    ]
}

fn answer(faults: &[Fault], marks: bool, request: &Request) -> Reply {
    let so_far = &faults[..faults.len().min(request.number + 1)];
    let version = so_far
        .iter()
        .filter(|fault| matches!(fault, Fault::Changes))
        .count() as u64;
    let shrunk = so_far
        .iter()
        .filter(|fault| matches!(fault, Fault::Shrinks))
        .count();
    // Without an ETag, other content of the same length cannot be detected: that is what the bundle's hashes are for.
    let len = LEN - shrunk - if marks { 0 } else { 7 * version as usize };
    let bytes = content(len, version);
    let mark = format!("\"{version}-{shrunk}\"");
    let mark = marks.then_some(mark.as_str());
    let good = Reply::good(request, &bytes, mark);
    let range = request.range.clone().unwrap_or(0..1);
    match faults.get(request.number).unwrap_or(&Fault::None) {
        Fault::None | Fault::Changes | Fault::Shrinks => good,
        Fault::Cut(after) => good.cut(*after),
        Fault::Status(status) => Reply::empty(status, ""),
        Fault::Elsewhere(start) => Reply::part((*start).min(len - 1)..len, &bytes, mark),
        Fault::Whole => Reply::whole(&bytes, mark),
        Fault::Short(most) if range.start < len => {
            Reply::part(range.start..range.end.min(range.start + most), &bytes, mark)
        }
        Fault::Short(_) => good,
        Fault::Lies(length) => Reply {
            head: format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"),
            ..Reply::whole(&bytes, mark)
        }
        .cut(len),
        Fault::Garbage => Reply {
            head: "SSH-2.0-OpenSSH\r\n".to_owned(),
            ..good
        }
        .cut(10),
    }
}

fn span() -> impl Strategy<Value = Range<usize>> {
    (0usize..LEN, 0usize..50_000).prop_map(|(start, len)| start..(start + len).min(LEN))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_right_bytes_or_an_error(
        faults in proptest::collection::vec(fault(), 0..12),
        marks: bool,
        reads in proptest::collection::vec(span(), 1..6),
        expected in proptest::collection::vec(span(), 0..4),
    ) {
        let right = content(LEN, 0);
        let server = Server::start(move |request| answer(&faults, marks, request));
        let options = Options {
            first: 1000,
            tries: 3,
            tries_to_open: 3,
            pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(1),
            stall: Duration::from_millis(500),
            answer: Duration::from_millis(500),
            ..Options::default()
        };
        let Ok(mut remote) = Remote::open(&server.url("/"), options) else {
            return Ok(());
        };
        remote.expect(expected.iter().map(|span| span.start as u64..span.end as u64));
        // A file that had other content from the start is not the subject of this test.
        let right = if remote.len() == LEN as u64 { right } else { return Ok(()) };
        let mut first = [0; 8];
        if remote.read_at(0, &mut first).is_err() || first != right[..8] {
            return Ok(());
        }
        for range in reads {
            let mut out = vec![0; range.len()];
            match remote.read_at(range.start as u64, &mut out) {
                Ok(()) => prop_assert!(out == right[range.clone()], "other bytes at {:?}", range),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
