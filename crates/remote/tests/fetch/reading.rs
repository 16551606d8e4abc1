//! What a well-behaved server is asked, and what is read.

use std::ops::Range;

use crate::support::{Reply, Request, Server, content};
use remote::{BRIDGE, Error, Options, Proxy, Remote};

const LEN: usize = 1 << 20;

fn options() -> Options {
    Options {
        first: 1000,
        ..Options::default()
    }
}

fn good(request: &Request) -> Reply {
    Reply::good(request, &content(LEN, 0), Some("\"v0\""))
}

fn read(remote: &mut Remote, range: Range<usize>) {
    let mut out = vec![0; range.len()];
    remote.read_at(range.start as u64, &mut out).unwrap();
    assert!(out == content(LEN, 0)[range.clone()], "other bytes at {range:?}");
}

#[test]
fn the_first_request_brings_the_length_and_the_first_bytes() {
    let server = Server::start(good);
    let mut remote = Remote::open(&server.url("/a.bundle"), options()).unwrap();
    assert_eq!((remote.len(), remote.gives_ranges()), (LEN as u64, true));
    read(&mut remote, 0..600);
    read(&mut remote, 600..1000);
    assert_eq!(server.ranges(), vec![0..1000; 1]);
    assert_eq!(remote.traffic().bytes, 1000);
}

#[test]
fn near_spans_come_in_one_request_and_far_ones_do_not() {
    let server = Server::start(good);
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    let bridge = BRIDGE as usize;
    let near = [2000..3000, 3000..4000, 4000 + bridge..5000 + bridge];
    let far = 500_000..500_100;
    remote.expect(
        near.iter()
            .chain([&far])
            .map(|span| span.start as u64..span.end as u64),
    );
    for span in near.into_iter().chain([far.clone()]) {
        read(&mut remote, span);
    }
    assert_eq!(server.ranges(), [0..1000, 2000..5000 + bridge, far]);
    let expected = 1000 + 3000 + BRIDGE + 100;
    assert_eq!(
        (remote.traffic().bytes, remote.traffic().skipped),
        (expected, 1000 + BRIDGE)
    );
}

#[test]
fn unexpected_spans_can_be_read() {
    let server = Server::start(good);
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    remote.expect(std::iter::once(5000..6000));
    read(&mut remote, 5500..7000);
    read(&mut remote, 100..200);
    read(&mut remote, LEN - 1..LEN);
    assert_eq!(server.ranges()[1..], [5500..7000, 100..200, LEN - 1..LEN]);
    let error = remote.read_at(LEN as u64 - 1, &mut [0; 2]).unwrap_err();
    assert!(
        matches!(error, Error::End { wanted, .. } if wanted == LEN as u64),
        "{error}"
    );
}

#[test]
fn the_rate_limit_sees_every_byte() {
    let server = Server::start(|_| Reply::whole(&content(LEN, 0), None));
    let shown = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sum = shown.clone();
    let options = Options {
        pace: Some(Box::new(move |bytes| {
            sum.fetch_add(bytes, std::sync::atomic::Ordering::SeqCst);
        })),
        ..options()
    };
    let mut remote = Remote::open(&server.url("/"), options).unwrap();
    read(&mut remote, 500_000..500_100);
    assert_eq!(shown.load(std::sync::atomic::Ordering::SeqCst), 500_100);
}

#[test]
fn an_empty_file_has_no_bytes() {
    let server = Server::start(|request| Reply::good(request, &[], None));
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(remote.is_empty());
    assert!(remote.read_at(0, &mut []).is_ok());
    assert!(matches!(remote.read_at(0, &mut [0]), Err(Error::End { .. })));
}

#[test]
fn a_server_without_ranges_is_read_in_order_only() {
    let server = Server::start(|_| Reply::whole(&content(LEN, 0), None));
    let mut remote = Remote::open(&server.url("/"), options()).unwrap();
    assert!(!remote.gives_ranges());
    read(&mut remote, 0..1000);
    read(&mut remote, 700_000..800_000);
    let error = remote.read_at(799_999, &mut [0]).unwrap_err();
    assert!(error.to_string().contains("read in order"), "{error}");
    read(&mut remote, LEN - 10..LEN);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(remote.traffic().bytes, LEN as u64);
    assert_eq!(remote.traffic().skipped, LEN as u64 - 1000 - 100_000 - 10);
}

#[test]
fn a_server_without_ranges_is_restarted_as_often_as_allowed() {
    let server = Server::start(|_| Reply::whole(&content(LEN, 0), None));
    let options = Options {
        restarts: 1,
        ..options()
    };
    let mut remote = Remote::open(&server.url("/"), options).unwrap();
    read(&mut remote, 900_000..900_100);
    read(&mut remote, 500..600);
    assert_eq!(server.requests().len(), 2);
    assert!(matches!(
        remote.read_at(0, &mut [0]),
        Err(Error::Backward { wanted: 0, .. })
    ));
    read(&mut remote, 600..700);
}

#[test]
fn user_and_password_reach_the_server_and_nobody_else() {
    let elsewhere = Server::start(good);
    let target = elsewhere.url("/b");
    let server = Server::start(move |request| match request.path.as_str() {
        "/a" => Reply::empty("302 Found", &format!("Location: {target}\r\n")),
        _ => Reply::empty("404 Not Found", ""),
    });
    let with_user = |path: &str| server.url(path).replace("//", "//me:secret@");
    let mut remote = Remote::open(&with_user("/a"), options()).unwrap();
    read(&mut remote, 0..10);
    assert_eq!(
        server.requests()[0].authorization.as_deref(),
        Some("Basic bWU6c2VjcmV0")
    );
    assert_eq!(elsewhere.requests()[0].authorization, None);
    assert!(!remote.shown().contains("secret"));
    let error = Remote::open(&with_user("/c?token=hidden"), options())
        .err()
        .unwrap();
    let shown = format!("{error:?} {error}");
    assert!(
        shown.contains("404") && !shown.contains("secret") && !shown.contains("hidden"),
        "{shown}"
    );
}

#[test]
fn a_proxy_is_asked_to_connect() {
    let server = Server::start(|request| {
        if request.path.ends_with(":9") {
            Reply::empty("403 Forbidden", "")
        } else {
            good(request)
        }
    });
    let mut options = options();
    options.proxy = Proxy::At(format!("http://me:secret@{}", server.address()));
    options.tries_to_open = 1;
    let error = Remote::open("http://nowhere.invalid:9/a", options).err().unwrap();
    let shown = format!("{error:?}");
    assert!(shown.contains("403") && !shown.contains("secret"), "{shown}");
    assert_eq!(server.requests()[0].path, "nowhere.invalid:9");
}
