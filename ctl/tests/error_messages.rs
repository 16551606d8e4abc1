//! Errors are sentences: no type of ours or of a library shows through.

mod program;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use program::Home;

/// Serves everybody the same bytes for as long as the test runs.
fn serve(said: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whoever is gone already has heard enough.
            let _gone = stream.write_all(said);
            let _read = std::io::Read::read(&mut stream, &mut [0; 512]);
        }
    });
    address
}

#[test]
fn no_error_shows_a_type() {
    let home = Home::new();
    home.run(&["gen", "config", "lab", "10.0.0.2"]).success();
    for (name, text) in [
        ("empty", ""),
        ("broken", "a: [1\n"),
        ("list", "- a\n"),
        ("other", "apiVersion: v1\nkind: Pod\n"),
        (
            "client",
            "apiVersion: bedplate.dev/v1alpha1\nkind: ClientConfig\ncontexts: {a: {endpoint: x}}\n",
        ),
        (
            "secret",
            "apiVersion: bedplate.dev/v1alpha1\nkind: Secrets\nca: {cert: x, key: y}\ntoken: a\nclusterId: b\n",
        ),
        (
            "config",
            "apiVersion: bedplate.dev/v1alpha1\nkind: MachineConfig\nmachine: {role: king, ca: 5}\n",
        ),
        (
            "pem",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        ),
        ("json", "{\"apiVersion\": \"v1\"}"),
    ] {
        home.write(name, text);
    }
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = closed.expect("an address").to_string();
    let ssh = serve(b"SSH-2.0-OpenSSH\r\n").to_string();
    // An alert of TLS: a certificate is wanted; then one that nobody knows.
    let wants = serve(&[21, 3, 3, 0, 2, 2, 116]).to_string();
    let fails = serve(&[21, 3, 3, 0, 2, 2, 40]).to_string();
    let odd = serve(b"HTTP/1.1 206 X\r\nContent-Length: 4\r\nContent-Range: bytes 5-8/20\r\n\r\nabcd");
    let odd = format!("http://{odd}/");
    let secure = format!("https://{ssh}/");
    let mut commands: Vec<Vec<&str>> = [
        "gen config A_b x",
        "gen config home https://fd00::2:6443",
        "gen config home http://x",
        "gen config home 10.0.0.2 --cert-san -",
        "gen config home 10.0.0.2 --output-types standalone",
        "gen client lab --at x --role root",
        "gen client lab --at a:b",
        "gen client lab --at x --lifetime 1y",
        "rollout new r --url gopher://a",
        "rollout new r --url https://a --waves 5,5",
        "rollout sign json --key client.yaml",
        "rollout sign empty --key client.yaml",
        "rollout verify json --key client.yaml",
        "context use away",
        "context nodes a:b:c",
        "context nodes",
        "context add x --at y --ca pem --cert pem --key pem",
        "status --timeout soon --insecure -n a",
        "status --fingerprint zz -n a",
        "status --insecure",
        "flash none.bundle x --key client.yaml --config config",
        "flash none.bundle x --key client.yaml --config config --hostname -a --address 1 --interface a/b",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .collect();
    for file in [
        "empty", "broken", "list", "other", "client", "secret", "config", "pem", "json",
    ] {
        commands.push(vec!["config", "validate", file]);
        commands.push(vec!["context", "list", "--config", file]);
        commands.push(vec!["context", "merge", file]);
        commands.push(vec!["gen", "client", "lab", "--at", "x", "--secrets", file]);
        commands.push(vec!["rollout", "sign", file, "--key", file]);
    }
    for node in [&closed, &ssh, &wants, &fails] {
        commands.push(vec!["status", "--insecure", "-n", node]);
        commands.push(vec!["status", "--config", "client.yaml", "-n", node]);
    }
    for url in [&odd, &secure] {
        commands.push(vec!["rollout", "new", "r", "--force", "--url", url]);
    }
    for arguments in commands {
        let ran = home.run(&arguments);
        let said = ran.out.clone() + &ran.err;
        for code in [
            "{ ",
            "Error(",
            "Some(",
            "Other(",
            "::Error",
            "Part {",
            "InvalidContentType",
        ] {
            assert!(!said.contains(code), "{arguments:?}: {said}");
        }
        assert!(!ran.went_well() && !said.is_empty(), "{arguments:?}: {ran:?}");
    }
}
