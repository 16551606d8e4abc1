//! The smallest image that every machine can make, and a registry that has it.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "helps tests only")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use oci_image::digest;
use serde_json::{Value, json};

/// A shell and what it links: the smallest image that every machine can make.
const FILES: [&str; 3] = [
    "/bin/sh",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
];

/// What has sockets and raw system calls, and every Debian has.
const PERL: [&str; 3] = [
    "/usr/bin/perl",
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib/x86_64-linux-gnu/libcrypt.so.1",
];

/// The blobs of an image: layer, config, manifest.
pub struct Image {
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

pub fn image() -> Option<Image> {
    image_of(&FILES)
}

pub fn image_with_perl() -> Option<Image> {
    image_of(&[FILES.as_slice(), &PERL].concat())
}

fn image_of(files: &[&str]) -> Option<Image> {
    let mut tar = tar::Builder::new(Vec::new());
    for path in files {
        let Ok(content) = fs::read(path) else {
            eprintln!("skipped: this machine has no {path}");
            return None;
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, &path[1..], content.as_slice())
            .unwrap();
    }
    let layer = tar.into_inner().unwrap();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/sh", "-c"], "Env": ["FROM=image"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let part =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("application/vnd.oci.image.config.v1+json", &config),
        "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    Some(Image {
        layer,
        config,
        manifest: manifest.to_string().into_bytes(),
    })
}

pub fn archive(image: &Image, to: &Path) {
    let mut tar = tar::Builder::new(fs::File::create(to).unwrap());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    };
    add("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(&image.manifest),
        "size": image.manifest.len(),
        "annotations": {"io.containerd.image.name": "localhost/shell:1"},
    }]});
    add("index.json", index.to_string().as_bytes());
    for blob in [&image.layer, &image.config, &image.manifest] {
        add(
            &format!("blobs/sha256/{}", &digest(blob)["sha256:".len()..]),
            blob,
        );
    }
    tar.finish().unwrap();
}

/// A registry of one image that wants a token, and may send wrong bytes.
pub fn registry(image: &Image, lies: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for blob in [&image.layer, &image.config] {
        let mut content = blob.clone();
        if lies {
            content[0] ^= 1;
        }
        blobs.insert(format!("/v2/a/shell/blobs/{}", digest(blob)), content);
    }
    blobs.insert("/v2/a/shell/manifests/1".into(), image.manifest.clone());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let heads: Vec<String> = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let allowed = heads
                .iter()
                .any(|line| line.eq_ignore_ascii_case("authorization: bearer abc"));
            let (status, extra, body) = match path.split_once('?') {
                Some(("/token", query)) if query.contains("scope=repository:a/shell:pull") => {
                    let body: Value = json!({"token": "abc"});
                    ("200 OK", String::new(), body.to_string().into_bytes())
                }
                _ if !allowed => {
                    let extra = format!(
                        "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"s\"\r\n"
                    );
                    ("401 Unauthorized", extra, Vec::new())
                }
                _ => match blobs.get(&path) {
                    Some(body) => ("200 OK", String::new(), body.clone()),
                    None => ("404 Not Found", String::new(), Vec::new()),
                },
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}Connection: close\r\n\r\n",
                body.len()
            );
            let _ = connection
                .write_all(head.as_bytes())
                .and_then(|()| connection.write_all(&body));
        }
    });
    port
}
