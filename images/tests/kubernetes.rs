//! Programs of Kubernetes from a web server that is laid out like upstream's.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use board::{Arch, Name};
use images::kubernetes::{LockedProgram, Programs, Server, Source, get};
use sha2::{Digest, Sha512};

/// A web server of a test; it ends with the program.
struct Web {
    url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/release/", listener.local_addr().unwrap());
        let web = Self {
            url,
            files: Arc::default(),
            asked: Arc::default(),
        };
        let (files, asked) = (web.files.clone(), web.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                let line = head.next().unwrap().unwrap();
                while head.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = line.split(' ').nth(1).unwrap().to_owned();
                let found = files.lock().unwrap().get(&path).cloned();
                asked.lock().unwrap().push(path);
                let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                // A reader that has enough hangs up.
                let _ = stream.write_all(&body);
            }
        });
        web
    }

    /// Publishes a program with its sum, as upstream does.
    fn publish(&self, name: &str, arch: Arch, data: &[u8]) {
        let path = format!("/release/v1.36.2/bin/linux/{arch}/{name}");
        let mut files = self.files.lock().unwrap();
        files.insert(format!("{path}.sha512"), sum(data).into_bytes());
        files.insert(path, data.to_vec());
    }

    fn replace(&self, path: &str, data: &[u8]) {
        let old = self
            .files
            .lock()
            .unwrap()
            .insert(format!("/release/v1.36.2/bin/linux/{path}"), data.to_vec());
        assert!(old.is_some(), "{path}");
    }

    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked
            .into_iter()
            .map(|path| path.rsplit('/').next().unwrap().to_owned())
            .collect()
    }

    fn server(&self, cache: &Path) -> Server {
        Server {
            url: Some(self.url.clone()),
            cache: cache.to_owned(),
        }
    }
}

fn sum(data: &[u8]) -> String {
    hex::encode(Sha512::digest(data))
}

/// The least that is a static program: an ELF header, and one segment. `more` tells programs apart.
fn program(arch: Arch, more: &str) -> Vec<u8> {
    let machine: u16 = match arch {
        Arch::Arm64 => 183,
        Arch::Amd64 => 62,
    };
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend(0x40_0000u64.to_le_bytes());
    elf.extend(64u64.to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    for word in [0u64, 0x40_0000, 0x40_0000, 120, 120, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(more.as_bytes());
    elf
}

const VERSION: &str = "1.36.2";

fn fetch(server: &Server, lock: &[LockedProgram], arch: Arch, names: &[&str]) -> Result<Programs, String> {
    let names: Vec<Name> = names.iter().map(|name| name.parse().unwrap()).collect();
    let source = Source::parse(VERSION, None).unwrap();
    get(&source, &names, arch, lock, server).map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    })
}

fn locked(name: &str, arch: Arch, data: &[u8]) -> LockedProgram {
    LockedProgram {
        version: VERSION.into(),
        arch,
        name: name.into(),
        size: data.len() as u64,
        sha512: sum(data),
    }
}

#[test]
fn a_release_is_checked_against_its_published_sums_and_kept() {
    let (web, cache) = (Web::start(), tempfile::tempdir().unwrap());
    let server = web.server(cache.path());
    let names = ["kubelet", "kube-proxy"];
    for arch in Arch::ALL {
        names
            .iter()
            .for_each(|name| web.publish(name, arch, &program(arch, name)));
    }
    let programs = fetch(&server, &[], Arch::Arm64, &names).unwrap();
    assert_eq!(programs.all[0].data, program(Arch::Arm64, "kubelet"));
    assert_eq!(programs.all[1].sha512, sum(&program(Arch::Arm64, "kube-proxy")));
    assert_eq!(
        programs.notes[0],
        "kubelet of Kubernetes 1.36.2 for arm64 is not in the lock"
    );
    assert_eq!(
        web.asked(),
        ["kubelet.sha512", "kubelet", "kube-proxy.sha512", "kube-proxy"]
    );
    fetch(&server, &[], Arch::Arm64, &names).unwrap();
    assert_eq!(
        web.asked(),
        ["kubelet.sha512", "kube-proxy.sha512"],
        "what is kept is not asked for again"
    );
}

#[test]
fn what_is_not_what_was_published_is_refused() {
    let (web, cache) = (Web::start(), tempfile::tempdir().unwrap());
    let server = web.server(cache.path());
    let right = program(Arch::Amd64, "kubelet");
    let refused = |lock: &[LockedProgram]| fetch(&server, lock, Arch::Amd64, &["kubelet"]).unwrap_err();
    assert!(refused(&[]).contains("cannot download"), "{}", refused(&[]));

    web.publish("kubelet", Arch::Amd64, &right);
    web.replace("amd64/kubelet", &program(Arch::Amd64, "another"));
    let error = refused(&[]);
    assert!(
        error.contains("has another SHA-512") && error.contains("kubelet.sha512"),
        "{error}"
    );
    web.replace("amd64/kubelet.sha512", b"<html>not found</html>");
    let error = refused(&[]);
    assert!(error.contains("is not a SHA-512"), "{error}");
    web.replace("amd64/kubelet.sha512", &[b'0'; 2000]);
    let error = refused(&[]);
    assert!(error.contains("has 2000 bytes; 1024 is the most"), "{error}");
    // A server that was taken over publishes sums that fit. The lock is not its to change.
    web.publish("kubelet", Arch::Amd64, &program(Arch::Amd64, "another"));
    let error = refused(&[locked("kubelet", Arch::Amd64, &right)]);
    assert!(
        error.contains("has another SHA-512") && error.contains("the lock"),
        "{error}"
    );
    // For another architecture, or no program at all.
    for wrong in [program(Arch::Arm64, "kubelet"), b"#!/bin/sh\n".to_vec()] {
        web.publish("kubelet", Arch::Amd64, &wrong);
        let error = refused(&[]);
        assert!(
            error.contains("kubelet of Kubernetes 1.36.2 is not a static program for amd64"),
            "{error}"
        );
    }
}

#[test]
fn what_the_lock_names_needs_no_server_once_it_is_kept() {
    let (web, cache) = (Web::start(), tempfile::tempdir().unwrap());
    let right = program(Arch::Amd64, "kubelet");
    web.publish("kubelet", Arch::Amd64, &right);
    let lock = [locked("kubelet", Arch::Amd64, &right)];
    let away = Server {
        url: None,
        cache: cache.path().to_owned(),
    };
    let error = fetch(&away, &lock, Arch::Amd64, &["kubelet"]).unwrap_err();
    assert!(error.contains("name one with --kubernetes-mirror URL"), "{error}");
    let programs = fetch(&web.server(cache.path()), &lock, Arch::Amd64, &["kubelet"]).unwrap();
    assert_eq!(programs.notes, [""; 0]);
    assert_eq!(web.asked(), ["kubelet"], "the lock's word is enough");
    assert_eq!(fetch(&away, &lock, Arch::Amd64, &["kubelet"]).unwrap(), programs);
    // A damaged copy is not taken.
    let kept = cache.path().join("kubernetes").join(&lock[0].sha512);
    fs::write(&kept, "damaged").unwrap();
    assert!(fetch(&away, &lock, Arch::Amd64, &["kubelet"]).is_err());
    fetch(&web.server(cache.path()), &lock, Arch::Amd64, &["kubelet"]).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), right);
}

#[test]
fn an_archive_that_the_lock_does_not_mean_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("kubernetes-1.36.2-amd64");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("kubelet"), program(Arch::Amd64, "given")).unwrap();
    let source = Source::parse(&given.display().to_string(), None).unwrap();
    let names: Vec<Name> = vec!["kubelet".parse().unwrap()];
    let server = Server {
        url: None,
        cache: folder.path().to_owned(),
    };
    let programs = get(&source, &names, Arch::Amd64, &[], &server).unwrap();
    assert_eq!(programs.notes.len(), 1);
    let lock = [locked("kubelet", Arch::Amd64, &program(Arch::Amd64, "published"))];
    let error = get(&source, &names, Arch::Amd64, &lock, &server)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not the locked one") && error.contains("lock --kubernetes 1.36.2"),
        "{error}"
    );
}

#[test]
fn an_image_says_what_it_lacks_before_anything_is_downloaded() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let run = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_bedplate-image"))
            .args([
                "build",
                "--board",
                "qemu-arm64",
                "--key",
                "absent.key",
                "--out",
                "out",
                "--tree",
            ])
            .arg(&root)
            .args(arguments)
            .current_dir(home.path())
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    for overlay in ["kubernetes", "kubernetes-worker"] {
        let error = run(&["--overlay", overlay]);
        assert!(
            error.contains("kubelet") && error.contains("with --kubernetes"),
            "{error}"
        );
    }
    let error = run(&["--kubernetes", "1.36.2"]);
    assert!(error.contains("add --overlay kubernetes"), "{error}");
    let error = run(&["--overlay", "kubernetes", "--kubernetes", "1.21.0"]);
    assert!(
        error.contains("known versions: 1.20, 1.34, 1.35, 1.36"),
        "{error}"
    );
    let error = run(&["--overlay", "kubernetes", "--kubernetes", "1.36.2"]);
    assert!(error.contains("--kubernetes-mirror URL"), "{error}");
}
