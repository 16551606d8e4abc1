//! Servers that tell the truth, lie, hang, redirect and send forever.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use cloud::seed::Seed;
use state::kinds::{LinkKind, LinkStatus};

use super::ec2::Ec2;
use super::machine::Machine;
use super::nocloud::NoCloudServer;
use super::openstack::OpenStack;
use super::url::Url;
use super::web::{self, Get};
use super::*;

/// A request: `GET /path`, and its headers in lower case.
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
}

/// Serves each request, one connection each, until the test's process ends. Returns the address without a path.
fn server(serve: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || answer(socket, &*serve));
        }
    });
    format!("http://{address}")
}

fn answer(mut socket: TcpStream, serve: &dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()>) {
    let mut lines = BufReader::new(socket.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    // Whoever asks may have gone.
    let _gone = serve(&Request { line, headers }, &mut socket);
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A server of files.
fn files(files: &'static [(&str, &[u8])]) -> String {
    server(move |request, socket| {
        let found = files
            .iter()
            .find(|(path, _)| request.line == format!("GET {path}"));
        let answer = found.map_or_else(
            || response("404 Not Found", b""),
            |(_, body)| response("200 OK", body),
        );
        socket.write_all(&answer)
    })
}

fn offer(yaml: &str, host_name: Option<&str>) -> Answer {
    Answer::Offer(Offer {
        yaml: yaml.to_owned().into(),
        host_name: host_name.map(str::to_owned),
        ..Offer::default()
    })
}

async fn ask_of(platform: impl Platform) -> Result<Answer, String> {
    platform.config(&Store::new()).await
}

#[tokio::test]
async fn openstack_gives_user_data_and_a_name() {
    let service = files(&[
        ("/openstack/latest/user_data", b"text"),
        (
            "/openstack/latest/meta_data.json",
            b"{\"hostname\": \"cp1.novalocal\"}",
        ),
    ]);
    assert_eq!(
        ask_of(OpenStack { service }).await,
        Ok(offer("text", Some("cp1")))
    );
    let service = files(&[("/openstack/latest/user_data", b"text")]);
    assert_eq!(ask_of(OpenStack { service }).await, Ok(offer("text", None)));
    let service = files(&[("/openstack/latest/meta_data.json", b"{}")]);
    assert_eq!(ask_of(OpenStack { service }).await, Ok(Answer::Nothing));
    let service = files(&[("/openstack/latest/user_data", b"#cloud-config\n")]);
    let error = ask_of(OpenStack { service }).await.unwrap_err();
    assert!(error.contains("cloud-config"), "{error}");
}

#[tokio::test]
async fn ec2_wants_a_token_and_older_services_know_none() {
    let service = |tokens: bool| {
        server(move |request, socket| {
            let has_token = request
                .headers
                .get("x-aws-ec2-metadata-token")
                .is_some_and(|token| token == "SECRET==");
            let answer = match request.line.as_str() {
                "PUT /latest/api/token" if tokens => {
                    let asked = request
                        .headers
                        .contains_key("x-aws-ec2-metadata-token-ttl-seconds");
                    assert_eq!(
                        request.headers.get("content-length").map(String::as_str),
                        Some("0")
                    );
                    response(if asked { "200 OK" } else { "400 Bad Request" }, b"SECRET==")
                }
                "PUT /latest/api/token" => response("405 Method Not Allowed", b""),
                _ if tokens && !has_token => response("401 Unauthorized", b""),
                "GET /latest/user-data" => response("200 OK", b"text"),
                "GET /latest/meta-data/local-hostname" => response("200 OK", b"ip-10-0-0-1.ec2.internal"),
                "GET /latest/meta-data/public-keys/" => response("200 OK", b"0=mine"),
                _ => response("404 Not Found", b""),
            };
            socket.write_all(&answer)
        })
    };
    for tokens in [true, false] {
        let answer = ask_of(Ec2 {
            service: service(tokens),
        })
        .await
        .unwrap();
        let Answer::Offer(offer) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (offer.yaml.as_str(), offer.host_name.as_deref()),
            ("text", Some("ip-10-0-0-1"))
        );
        assert!(offer.notes[0].contains("SSH keys"), "{:?}", offer.notes);
    }
    let garbage = server(|_, socket| socket.write_all(&response("200 OK", b"a\r\nb: c")));
    let error = ask_of(Ec2 { service: garbage }).await.unwrap_err();
    assert!(error.contains("token"), "{error}");
}

#[tokio::test]
async fn nocloud_has_files_below_an_address() {
    let address = files(&[
        ("/node1/user-data", b"text"),
        ("/node1/meta-data", b"local-hostname: a\n"),
    ]);
    let seed = |host_name: Option<&str>| Seed {
        address: format!("{address}/node1"),
        host_name: host_name.map(str::to_owned),
    };
    assert_eq!(
        ask_of(NoCloudServer(seed(None))).await,
        Ok(offer("text", Some("a")))
    );
    assert_eq!(
        ask_of(NoCloudServer(seed(Some("b")))).await,
        Ok(offer("text", Some("b")))
    );
}

/// Asks a server for a config by its address.
async fn by_address(address: &str) -> Result<Answer, String> {
    let store = Store::new();
    let link = LinkStatus {
        index: 2,
        mac_address: "02:00:00:00:00:01".parse().ok(),
        mtu: 1500,
        max_mtu: None,
        refused_mtu: None,
        up: true,
        carrier: true,
        kind: LinkKind::Ethernet,
        ipv6: None,
    };
    store.put("links", "eth0", link).unwrap();
    let url = Url::new(&format!("{address}/${{mac}}.yaml?token=secret"), Machine::here());
    assert!(!url.name().contains("secret"), "{}", url.name());
    url.config(&store).await
}

#[tokio::test]
async fn a_web_server_gives_a_config_or_says_that_it_has_none() {
    let with = |answer: Vec<u8>| server(move |_, socket| socket.write_all(&answer));
    let path = server(|request, socket| socket.write_all(&response("200 OK", request.line.as_bytes())));
    let expected = offer("GET /02:00:00:00:00:01.yaml?token=secret", None);
    assert_eq!(by_address(&path).await, Ok(expected));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\n\r\n".to_vec();
    assert_eq!(by_address(&with(chunked)).await, Ok(offer("text", None)));
    assert_eq!(
        by_address(&with(response("404 Not Found", b""))).await,
        Ok(Answer::Nothing)
    );
    assert_eq!(
        by_address(&with(response("200 OK", b""))).await,
        Ok(Answer::Nothing)
    );
    for (answer, part) in [
        (
            response("200 OK", &vec![b'x'; machine_config::LIMIT + 1]),
            "has more than",
        ),
        (response("200 OK", &[0xff, 0xfe, 0xff]), "UTF-8"),
        (response("200 OK", b"\x1f\x8b\x08garbage"), "gzip"),
        (response("500 Oops", b""), "500"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut".to_vec(),
            "cannot fetch",
        ),
        (b"garbage\r\n\r\n".to_vec(), "cannot fetch"),
        (Vec::new(), "cannot fetch"),
    ] {
        let error = by_address(&with(answer)).await.unwrap_err();
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
}

/// A request with little patience, for servers that hang.
fn impatient(service: &str) -> Get {
    Get {
        url: format!("{service}/file"),
        headers: vec![],
        most: 1 << 20,
        within: Duration::from_secs(1),
        redirects: true,
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_never_ends_is_left() {
    let hangs = server(|_, _| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    });
    let drips = server(|_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")?;
        loop {
            socket.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let drips_its_head = server(|_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            socket.write_all(b"x: y\r\n")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for service in [hangs, drips, drips_its_head] {
        let error = web::get(impatient(&service)).await.unwrap_err();
        assert!(error.contains("does not continue in time"), "{error}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_it() {
    let forever = |head: &'static [u8]| {
        server(move |_, socket| {
            socket.write_all(head)?;
            loop {
                socket.write_all(&[b'x'; 64 * 1024])?;
            }
        })
    };
    for head in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 4294967296\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ] {
        let get = Get {
            within: Duration::from_secs(60),
            ..impatient(&forever(head))
        };
        let error = web::get(get).await.unwrap_err();
        let told = ["has more than 1048576 bytes", "too long", "not valid HTTP"];
        assert!(told.iter().any(|part| error.contains(part)), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_few_and_a_metadata_service_has_none() {
    let circle = server(|request, socket| {
        let location = format!("location: /{}x\r\n", request.line.trim_start_matches("GET /"));
        socket.write_all(format!("HTTP/1.1 302 Found\r\n{location}content-length: 0\r\n\r\n").as_bytes())
    });
    let error = web::get(impatient(&circle)).await.unwrap_err();
    assert!(error.contains("redirects too many times"), "{error}");
    let error = ask_of(OpenStack { service: circle }).await.unwrap_err();
    assert!(error.contains("302"), "{error}");
}

#[tokio::test]
async fn nobody_waits_for_an_answer_that_nobody_wants() {
    let (sent, ended) = tokio::sync::oneshot::channel();
    let sent = std::sync::Mutex::new(Some(sent));
    let endless = server(move |_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
        let ended = loop {
            std::thread::sleep(Duration::from_millis(10));
            if let Err(error) = socket.write_all(b"x") {
                break error;
            }
        };
        if let Some(sent) = sent.lock().unwrap().take() {
            let _gone = sent.send(());
        }
        Err(ended)
    });
    let get = Get {
        within: Duration::from_secs(3600),
        ..impatient(&endless)
    };
    let begun = Instant::now();
    let asked = tokio::time::timeout(Duration::from_millis(300), web::get(get)).await;
    assert!(asked.is_err(), "{asked:?}");
    ended.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(600));
}
