//! Errors are sentences: no type of ours or of a library shows through.

use std::time::Duration;

use crate::support::{Reply, Request, Server, content};
use crate::tls::authority;
use remote::{Error, Options, Proxy, Remote};

fn options() -> Options {
    Options {
        first: 1000,
        tries: 1,
        tries_to_open: 1,
        answer: Duration::from_millis(500),
        stall: Duration::from_millis(300),
        ..Options::default()
    }
}

/// Returns the error, with all its causes, of a file read to its end.
fn error_of(url: &str, options: Options) -> String {
    let read = || -> Result<(), Error> {
        let mut remote = Remote::open(url, options)?;
        let mut out = vec![0; usize::try_from(remote.len()).unwrap()];
        remote.read_at(0, &mut out)
    };
    let mut text = String::new();
    let error = read().expect_err(url);
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        text.push_str(&format!("{error}\n"));
        next = error.source();
    }
    text
}

fn plain(head: &str) -> Reply {
    Reply {
        head: head.to_owned(),
        ..Reply::empty("200 OK", "")
    }
}

#[test]
fn no_error_shows_a_type() {
    type Answer = fn(&Request) -> Reply;
    let answers: [Answer; 14] = [
        |_| Reply::empty("404 Not Found", ""),
        |_| Reply::empty("503 Busy", ""),
        |_| Reply::part(5..9, &content(20, 0), None),
        |_| plain("HTTP/1.1 416 X\r\nContent-Length: 0\r\nContent-Range: bytes */7\r\n"),
        |_| plain("HTTP/1.1 416 X\r\nContent-Length: 0\r\n"),
        |_| plain("HTTP/1.1 206 X\r\nContent-Length: 0\r\n"),
        |_| plain("HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: pages 1-5\r\n"),
        |_| plain("HTTP/1.1 200 X\r\nContent-Length: 5\r\nContent-Encoding: br\r\n"),
        |_| plain("HTTP/1.1 200 X\r\nContent-Length: ten\r\n"),
        |_| plain("SSH-2.0-OpenSSH\r\n"),
        |_| Reply::empty("302 Found", "Location: /\r\n"),
        |_| Reply::empty("302 Found", "Location: http://[x/\r\n"),
        |_| {
            Reply::good(
                &Request {
                    range: None,
                    ..first()
                },
                &content(20, 0),
                None,
            )
            .cut(3)
        },
        |request| match request.number {
            0 => Reply::part(0..10, &content(20, 0), None),
            _ => Reply::part(3..10, &content(20, 0), None),
        },
    ];
    let mut all = Vec::new();
    for answer in answers {
        let server = Server::start(answer);
        all.push(error_of(&server.url("/"), options()));
    }
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_, tls) = authority();
    let secure = Server::with(Some(tls), |_| Reply::empty("404 Not Found", ""));
    let insecure = Server::start(|_| Reply::empty("404 Not Found", ""));
    let refusing = Server::start(|_| Reply::empty("403 Forbidden", ""));
    all.push(error_of(&format!("http://{closed}/"), options()));
    all.push(error_of(
        &format!("http://{}/", silent.local_addr().unwrap()),
        options(),
    ));
    all.push(error_of("http://nowhere.invalid/", options()));
    all.push(error_of(&secure.url("/"), options()));
    all.push(error_of(
        &insecure.url("/").replace("http://", "https://"),
        options(),
    ));
    all.push(error_of("gopher://a/", options()));
    for proxy in [
        format!("http://{}", refusing.address()),
        format!("http://{closed}"),
        "socks5://a:1".to_owned(),
    ] {
        let options = Options {
            proxy: Proxy::At(proxy),
            ..options()
        };
        all.push(error_of("http://nowhere.invalid/", options));
    }
    for authority in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let options = Options {
            authority: Some(authority.to_owned()),
            ..options()
        };
        all.push(error_of("https://localhost:1/", options));
    }
    for text in all {
        assert!(
            !["{ ", "Error(", "Some(", "::"]
                .iter()
                .any(|code| text.contains(code)),
            "{text}"
        );
        assert!(
            !text.contains("UnknownIssuer") && !text.contains("InvalidContentType"),
            "{text}"
        );
    }
}

fn first() -> Request {
    Request {
        number: 0,
        path: "/".to_owned(),
        range: None,
        if_range: None,
        authorization: None,
    }
}
