//! Somebody who has a worker's certificate, and a client that is not ours.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::scenarios::containers::{Lab, Member};
use crate::tools::Tool;

/// The port on which control planes sign.
const PORT: u16 = 50001;
/// The certificate by which API servers and control planes know a worker.
const CERTIFICATE: &str = "bedplate/kubernetes";
/// The certificate that says who asks.
const WANTED: &str = "bedplate/api";

/// Asks a control plane for the certificate of a node, with that of a worker and without the token. Returns what it says.
pub fn ask_as(lab: &Lab, plane: &Member, worker: &Member, name: &str) -> Result<String> {
    let folder = lab.stage.folder.join("thief");
    fs::create_dir_all(&folder)?;
    steal(lab, worker, &folder)?;
    let request = folder.join("request.der");
    let names = format!("subjectAltName=DNS:localhost,DNS:{name},IP:{}", worker.address);
    let make = Tool::new("openssl").args(["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout"]);
    let make = make.arg(folder.join("own.key")).args(["-outform", "DER", "-out"]);
    make.arg(&request)
        .args(["-subj", "/CN=Bedplate node", "-addext", &names])
        .run()?;
    let body = folder.join("body");
    fs::write(&body, message(&fs::read(request)?))?;
    let url = format!(
        "https://{}:{PORT}/bedplate.trust.v1alpha1.TrustService/Join",
        plane.address
    );
    let curl = Tool::new("curl").args(["--silent", "--show-error", "--insecure", "--http2", "--include"]);
    let curl = curl.arg("--cert").arg(folder.join("stolen.crt"));
    let curl = curl.arg("--key").arg(folder.join("stolen.key"));
    let curl = curl.args([
        "--header",
        "content-type: application/grpc",
        "--header",
        "te: trailers",
    ]);
    let said = curl
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .arg(url)
        .run()?;
    ensure!(said.contains("grpc-status"), "{} says: {said}", plane.name);
    Ok(said.replace("%20", " "))
}

/// Takes a worker's certificate and its key from its disk.
fn steal(lab: &Lab, worker: &Member, folder: &Path) -> Result<()> {
    let kept = lab.disk(worker)?.join("joined/certificates.json");
    let kept: Value = serde_json::from_slice(&fs::read(kept)?)?;
    let stolen = &kept["certificates"][CERTIFICATE];
    for (file, part) in [("stolen.crt", "certificate"), ("stolen.key", "key")] {
        let text = stolen[part]
            .as_str()
            .context("the worker keeps its certificate")?;
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}

/// Writes the message `JoinRequest` with one request in it and no token, framed as gRPC does.
fn message(request: &[u8]) -> Vec<u8> {
    let inner = [field(1, WANTED.as_bytes()), field(2, request)].concat();
    let message = field(2, &inner);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// Writes a field of bytes of a protobuf message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut written = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        written.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    written.push(u8::try_from(length).unwrap_or_default());
    written.extend(bytes);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_protobuf_and_grpc_have_them() {
        assert_eq!(field(1, b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(field(2, &[7; 300])[..3], [0x12, 0xac, 0x02]);
        let message = message(&[1, 2]);
        assert_eq!(message[..5], [0, 0, 0, 0, 20]);
        assert_eq!(message.len(), 25);
    }
}
