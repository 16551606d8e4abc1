//! Servers and connections that misbehave.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Reply, Request, Server, content};
use remote::{Cause, Error, Options, Remote};

const LEN: usize = 300_000;

fn options() -> Options {
    Options {
        first: 1000,
        tries: 4,
        pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(10),
        answer: Duration::from_millis(500),
        stall: Duration::from_millis(300),
        ..Options::default()
    }
}

fn good(request: &Request) -> Reply {
    Reply::good(request, &content(LEN, 0), Some("\"v0\""))
}

fn read_all(remote: &mut Remote) -> Result<Vec<u8>, Error> {
    remote.expect(std::iter::once(0..LEN as u64));
    let mut out = vec![0; LEN];
    for (number, piece) in out.chunks_mut(10_000).enumerate() {
        remote.read_at(number as u64 * 10_000, piece)?;
    }
    Ok(out)
}

#[test]
fn continues_where_the_connection_was_cut() {
    let server = Server::start(|request| good(request).cut(40_000));
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert_eq!(remote.traffic().bytes, LEN as u64, "nothing came twice");
    assert_eq!(server.ranges()[2], 41_000..LEN);
    assert_eq!(server.requests()[2].if_range.as_deref(), Some("\"v0\""));
}

#[test]
fn a_server_without_ranges_is_restarted_after_a_cut() {
    let server = Server::start(|request| {
        let whole = Reply::whole(&content(LEN, 0), None);
        if request.number == 0 {
            whole.cut(100_000)
        } else {
            whole
        }
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert_eq!(remote.traffic().skipped, 100_000);
}

#[test]
fn a_file_that_is_always_cut_is_not_restarted_forever() {
    // A little further each time: there is progress, at the price of the file.
    let server =
        Server::start(|request| Reply::whole(&content(LEN, 0), None).cut(100_000 + 1000 * request.number));
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    let error = read_all(&mut remote).unwrap_err();
    assert!(matches!(error, Error::Resent { times: 3, .. }), "{error}");
    assert!(remote.traffic().bytes < 410_000);
}

#[test]
fn temporary_errors_are_retried_and_reported() {
    let server = Server::start(|request| match request.number {
        0 => Reply::empty("503 Service Unavailable", ""),
        1 | 3 => Reply::empty("429 Too Many Requests", "Retry-After: 0\r\n"),
        _ => good(request),
    });
    let reported: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = reported.clone();
    let mut options = options();
    options.on_retry = Some(Box::new(move |text: &str| {
        sink.lock().unwrap().push(text.to_owned())
    }));
    let mut remote = Remote::open(&server.url("/"), options).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    let reported = reported.lock().unwrap();
    assert_eq!(reported.len(), 3);
    assert!(
        reported[0].starts_with("the server responds with 503"),
        "{reported:?}"
    );
}

#[test]
fn the_last_error_is_reported_after_all_tries() {
    let server = Server::start(|_| Reply::empty("503 Service Unavailable", ""));
    let error = Remote::open(&server.url("/x"), options()).err().unwrap();
    assert!(
        matches!(error, Error::RetriesExhausted { tries: 4, source: Cause::Status(status), .. } if status == 503)
    );
    assert_eq!(server.requests().len(), 4);
    assert!(
        error.to_string().ends_with("/x: gave up after 4 tries in a row"),
        "{error}"
    );
}

#[test]
fn permanent_errors_are_not_retried() {
    for status in ["404 Not Found", "403 Forbidden", "410 Gone", "401 Unauthorized"] {
        let server = Server::start(move |_| Reply::empty(status, ""));
        let error = Remote::open(&server.url("/"), options()).err().unwrap();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Remote::open(&url, options()).err().unwrap();
    assert!(
        matches!(
            error,
            Error::RetriesExhausted {
                source: Cause::Line(_),
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn changed_content_is_noticed_by_etag_and_by_length() {
    for (name, second) in [
        ("mark", Reply::whole as fn(&[u8], Option<&str>) -> Reply),
        ("part of another", |content, etag| {
            Reply::part(1000..LEN, content, etag)
        }),
    ] {
        let server = Server::start(move |request| match request.number {
            0 => good(request),
            _ => second(&content(LEN, 1), Some("\"v1\"")),
        });
        let mut remote = Remote::open(&server.url("/"), options()).unwrap();
        let error = read_all(&mut remote).unwrap_err();
        assert!(
            matches!(&error, Error::Changed { what, .. } if what.contains("ETag")),
            "{name}: {error:?}"
        );
    }
    for shorter in [LEN - 1, 1000] {
        let server = Server::start(move |request| match request.number {
            0 => Reply::good(request, &content(LEN, 0), None),
            _ => Reply::good(request, &content(shorter, 0), None),
        });
        let mut remote = Remote::open(&server.url("/"), options()).unwrap();
        let error = read_all(&mut remote).unwrap_err();
        assert!(
            matches!(&error, Error::Changed { what, .. } if what.contains("bytes")),
            "{error:?}"
        );
    }
}

#[test]
fn a_weak_etag_matches_the_strong_one() {
    let server = Server::start(|request| {
        let mark = ["\"v0\"", "W/\"v0\""][request.number % 2];
        let range = request.range.clone().unwrap();
        Reply::part(range, &content(LEN, 0), Some(mark)).cut(40_000)
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
}

#[test]
fn a_verifying_reader_tolerates_another_etag_but_not_another_length() {
    let other = |request: &Request| match request.number % 3 {
        0 => Some("\"a\""),
        1 => Some("\"b\""),
        _ => None,
    };
    let server =
        Server::start(move |request| Reply::good(request, &content(LEN, 0), other(request)).cut(40_000));
    let proven = || Options {
        verified_by_reader: true,
        ..options()
    };
    let mut remote = Remote::open(&server.url("/"), proven()).unwrap();
    assert!(!remote.may_have_changed());
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert!(remote.may_have_changed());
    assert!(server.requests().iter().all(|request| request.if_range.is_none()));
    assert_eq!(remote.traffic().skipped, 0, "no server sends more than the part");

    let server = Server::start(move |request| {
        let len = if request.number == 0 { LEN } else { LEN - 1 };
        Reply::good(request, &content(len, 0), other(request))
    });
    let mut remote = Remote::open(&server.url("/"), proven()).unwrap();
    assert!(matches!(read_all(&mut remote), Err(Error::Changed { .. })));
}

#[test]
fn content_without_its_etag_is_not_accepted() {
    let server = Server::start(|request| match request.number {
        0 => good(request),
        _ => Reply::part(request.range.clone().unwrap(), &content(LEN, 1), None),
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(matches!(
        read_all(&mut remote),
        Err(Error::RetriesExhausted {
            source: Cause::BadResponse(_),
            ..
        })
    ));
}

#[test]
fn bytes_of_another_range_are_not_accepted() {
    let server = Server::start(|request| match request.number {
        0 | 2 => good(request),
        _ => Reply::part(500..LEN, &content(LEN, 0), Some("\"v0\"")),
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_shorter_part_than_requested_is_accepted() {
    let server = Server::start(|request| {
        let range = request.range.clone().unwrap();
        Reply::part(
            range.start..range.end.min(range.start + 30_000),
            &content(LEN, 0),
            Some("\"v0\""),
        )
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
}

#[test]
fn a_stalled_body_is_abandoned() {
    let server = Server::start(|request| Reply {
        pause: Duration::from_secs(if request.number == 1 { 30 } else { 0 }),
        ..good(request)
    });
    let started = Instant::now();
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_slow_body_is_not_stalled() {
    let server = Server::start(|request| Reply {
        pause: Duration::from_millis(150),
        ..good(request)
    });
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn redirects_are_followed_and_loops_are_refused() {
    let server = Server::start(|request| match request.path.as_str() {
        "/a" => Reply::empty("301 Moved Permanently", "Location: /b\r\n"),
        "/b" => good(request),
        _ => Reply::empty("302 Found", "Location: /loop\r\n"),
    });
    let mut remote = Remote::open(&server.url("/a"), options()).unwrap();
    assert!(read_all(&mut remote).unwrap() == content(LEN, 0));
    let before = server.requests().len();
    let error = Remote::open(&server.url("/loop"), options()).err().unwrap();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(server.requests().len() - before, 6);
}

#[test]
fn it_can_be_cancelled_during_a_pause() {
    let server = Server::start(|_| Reply::empty("503 Service Unavailable", ""));
    let stop = Arc::new(AtomicBool::new(false));
    let (ends, ended) = mpsc::channel();
    let options = Options {
        pause: Duration::from_secs(60),
        longest_pause: Duration::from_secs(60),
        stop: stop.clone(),
        ..options()
    };
    let url = server.url("/");
    thread::spawn(move || ends.send(Remote::open(&url, options).err().unwrap()));
    while server.requests().len() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    let error = ended.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(matches!(error, Error::Stopped), "{error:?}");
}
