//! Both ends of a connection, in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use pki::Client;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection};

/// Shakes hands and sends a byte each way; returns what went wrong at the client or else at the server.
pub fn meet(serving: &Arc<ServerConfig>, client: &Client, name: &str) -> Result<(), String> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(client.config.clone(), name).map_err(|e| e.to_string())?;
    let mut server = ServerConnection::new(serving.clone()).map_err(|e| e.to_string())?;
    client.writer().write_all(b"x").map_err(|e| e.to_string())?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).map_err(|e| e.to_string())?;
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).map_err(|e| e.to_string())?;
            server.process_new_packets().map_err(|e| format!("server: {e}"))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).map_err(|e| e.to_string())?;
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).map_err(|e| e.to_string())?;
            client.process_new_packets().map_err(|e| format!("client: {e}"))?;
        }
        let mut byte = [0];
        if server.reader().read(&mut byte).is_ok_and(|read| read == 1) {
            assert_eq!(server.alpn_protocol(), Some(b"h2".as_slice()));
            return Ok(());
        }
    }
    Err("the handshake does not end".into())
}
