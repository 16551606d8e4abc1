//! Rollouts from web servers: authorities and proxies.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod program;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::SystemTime;

use bundle::Header;
use pki::authority::SERVER_LIFE;
use pki::{Secrets, Validity};
use program::Home;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A manifest with all it must have.
const MANIFEST: &[u8] = include_bytes!("../../crates/manifest/tests/golden/manifest.json");

/// Returns the start of a bundle, as far as `rollout new` reads it.
fn bundle() -> Vec<u8> {
    let header = Header::for_lengths(u64::try_from(MANIFEST.len()).unwrap(), 0, 0).unwrap();
    let mut bundle = header.encode().to_vec();
    bundle.extend_from_slice(MANIFEST);
    bundle.resize(usize::try_from(bundle::INDEX_AT).unwrap(), 0);
    bundle
}

/// Makes the settings of a web server whose certificate the authority of `secrets` signed.
fn tls(secrets: &Secrets) -> Arc<ServerConfig> {
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    let issued = secrets
        .authority
        .issue_server("web", &["127.0.0.1".to_owned()], validity)
        .unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key.to_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    Arc::new(config)
}

/// Serves the bundle for as long as the test runs.
fn serve(tls: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that does not like us goes away: that is what some tests are about.
            let _gone = answer(tls.clone(), stream);
        }
    });
    address
}

fn answer(tls: Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
    let session = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = bundle();
    let stream = stream.get_mut();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    stream.conn.send_close_notify();
    stream.flush()
}

#[test]
fn a_private_authority_and_a_proxy_are_honoured() {
    let home = Home::new();
    home.run(&["gen", "secrets"]).success();
    let secrets = Secrets::from_yaml(&home.read("secrets.yaml")).unwrap();
    home.write("ca.pem", secrets.authority.certificate_pem());
    let url = format!("https://{}/a.bundle", serve(tls(&secrets)));
    let new = ["rollout", "new", "r", "--force", "--url", &url];
    let with_ca = [&new[..], &["--ca", "ca.pem"]].concat();

    let said = home.run(&new).failure().err;
    assert!(
        said.contains("not signed by an authority that is trusted here"),
        "{said}"
    );
    home.run(&with_ca).success();
    home.run_with(&[("SSL_CERT_FILE", "ca.pem")], &new).success();
    let said = home
        .run(&[&new[..], &["--ca", "none.pem"]].concat())
        .failure()
        .err;
    assert!(said.contains("cannot read none.pem"), "{said}");
    let wide: Vec<u8> = home
        .read("ca.pem")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(home.path("wide.pem"), wide).unwrap();
    let said = home
        .run(&[&new[..], &["--ca", "wide.pem"]].concat())
        .failure()
        .err;
    assert!(said.contains("UTF-16"), "{said}");

    let socks = ("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:1");
    let said = home.run_with(&[socks], &with_ca).failure().err;
    assert!(
        said.contains("HTTPS_PROXY names a proxy that cannot be used") && !said.contains("secret"),
        "{said}"
    );
    home.run_with(&[socks, ("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8")], &with_ca)
        .success();
    let said = home
        .run_with(&[socks, ("NO_PROXY", "10.0.0.0/8")], &with_ca)
        .failure()
        .err;
    assert!(said.contains("HTTPS_PROXY"), "{said}");
}
