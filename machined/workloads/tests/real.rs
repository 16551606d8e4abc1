//! Runs containers of a small image in the machine's own containerd.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd::testing::RealContainerd;
use containerd::{Containerd, ImageStore as _, WORKLOADS};
use serde_json::{Value, json};
use workloads::image::digest;
use workloads::pull::pull;
use workloads::runner::{Ended, Places, check, run};
use workloads::settings::{SecretFile, Settings, Volume};
use workloads::source::{Source, fetch};

/// A shell and what it links: the smallest image that every machine can make.
const FILES: [&str; 3] = [
    "/bin/sh",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
];

/// The blobs of an image: layer, config, manifest.
struct Image {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

fn image() -> Option<Image> {
    let mut tar = tar::Builder::new(Vec::new());
    for path in FILES {
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

fn archive(image: &Image, to: &Path) {
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

fn places(real: &RealContainerd) -> Places {
    Places {
        socket: real.socket(),
        run: real.folder().join("run"),
        volumes: real.folder().join("volumes"),
        cgroups: "/sys/fs/cgroup".into(),
    }
}

fn settings(name: &str, image: &str, script: &str) -> Settings {
    Settings {
        name: name.into(),
        image: image.into(),
        command: Vec::new(),
        args: vec![script.into()],
        working_dir: None,
        environment: BTreeMap::new(),
        secrets: Vec::new(),
        mounts: Vec::new(),
        tmpfs: Vec::new(),
        devices: Vec::new(),
        host_network: false,
        memory: None,
        processors: None,
        pids: 16,
        user: Some((1000, 1000)),
        capabilities: Vec::new(),
        read_only_root: true,
        check: Vec::new(),
        stop_signal: None,
        grace_seconds: 30,
    }
}

async fn never() {
    std::future::pending().await
}

async fn until_up(places: &Places, name: &str) {
    for _ in 0..600 {
        if tokio::net::UnixStream::connect(places.up(name)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} does not start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_runs_is_checked_stopped_and_confined() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let places = places(&real);
    let file: PathBuf = real.folder().join("shell.tar");
    archive(&image, &file);
    let source = Source::File(file);
    fetch(&source, &[], &places.socket, Path::new("/nowhere"), "test")
        .await
        .unwrap();
    let name = source.name();

    // What it has, and what it has not.
    let script = r#"
        read -r secret < /run/secrets/key && [ "$secret" = hidden ] || exit 10
        [ "$FROM" = image ] || exit 11
        echo kept > /data/file || exit 12
        (echo x > /file) 2> /dev/null && exit 13
        while read -r word value; do
            [ "$word" = CapEff: ] && [ "$value" != 0000000000000000 ] && exit 14
            [ "$word" = NoNewPrivs: ] && [ "$value" != 1 ] && exit 15
        done < /proc/self/status
        exit 3
    "#;
    let confined = Settings {
        secrets: vec![SecretFile {
            name: "key".into(),
            value: "hidden\n".into(),
            variable: None,
        }],
        mounts: vec![Volume {
            volume: "one/two".into(),
            target: "/data".into(),
            read_only: false,
        }],
        ..settings("confined", &name, script)
    };
    let ended = run(&confined, &places, never()).await.unwrap();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(
        fs::read_to_string(places.volumes.join("one/two/file")).unwrap(),
        "kept\n"
    );

    // Its check is asked inside of it, and it ends by the signal.
    let looping = Settings {
        check: ["/bin/sh", "-c", "[ -e /dev/null ]"].map(Into::into).to_vec(),
        ..settings("looping", &name, "trap 'exit 7' TERM; while :; do :; done")
    };
    let (stop, asked) = tokio::sync::oneshot::channel::<()>();
    let (one, other) = (looping.clone(), places.clone());
    let running = tokio::spawn(async move {
        run(&one, &other, async {
            let _ = asked.await;
        })
        .await
    });
    until_up(&places, "looping").await;
    check(&looping, &places).await.unwrap();
    let failing = Settings {
        check: ["/bin/sh", "-c", "exit 4"].map(Into::into).to_vec(),
        ..looping.clone()
    };
    let failed = check(&failing, &places).await.unwrap_err().to_string();
    assert_eq!(failed, "the check ended with 4");
    stop.send(()).unwrap();
    let ended = running.await.unwrap().unwrap();
    let expected = Ended {
        code: 7,
        out_of_memory: false,
        asked: true,
    };
    assert_eq!(ended, expected);
    let containerd = Containerd::connect(&places.socket, WORKLOADS).await.unwrap();
    assert_eq!(containerd.containers().await.unwrap(), [""; 0], "nothing is left");

    // What is missing is named.
    let absent = run(&settings("absent", "nowhere/no:1", "exit 0"), &places, never()).await;
    assert_eq!(
        absent.unwrap_err().to_string(),
        "the image nowhere/no:1 is not there"
    );
}

/// A registry of one image that wants a token, and may send wrong bytes.
fn registry(image: &Image, lies: bool) -> u16 {
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
                .any(|line| line.to_ascii_lowercase() == "authorization: bearer abc");
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

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_a_mirror_with_a_token_and_wrong_bytes_are_refused() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let containerd = Containerd::connect(&real.socket(), WORKLOADS).await.unwrap();
    let pulled = async |lies: bool, reference: &str| {
        let mirror = format!("http://127.0.0.1:{}", registry(&image, lies));
        let registries = [machine_config::v1alpha1::Registry {
            host: "registry.invalid".parse().unwrap(),
            mirrors: vec![mirror.parse().unwrap()],
            ca: None,
            username: None,
            password: None,
        }];
        let reference = reference.parse().unwrap();
        pull(&containerd, &reference, "pulled", &registries).await
    };
    let lied = pulled(true, "registry.invalid/a/shell:1")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        lied.starts_with("cannot pull registry.invalid/a/shell:1: http://127.0.0.1:"),
        "{lied}"
    );
    assert_eq!(containerd.digest("pulled").await.unwrap(), None);
    let missing = pulled(false, "registry.invalid/a/shell:2")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("/v2/a/shell/manifests/2 is not there"),
        "{missing}"
    );
    let good = pulled(false, "registry.invalid/a/shell:1").await.unwrap();
    assert_eq!(good, digest(&image.manifest));
    let ended = run(&settings("pulled", "pulled", "exit 5"), &places(&real), never())
        .await
        .unwrap();
    assert_eq!(ended.code, 5);
}
