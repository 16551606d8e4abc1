//! Containers of a small image in the machine's own containerd.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "helps tests only")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd::testing::RealContainerd;
use workloads::runner::Places;
use workloads::settings::{Network, Settings};
use workloads::source::{Source, fetch};

use crate::shell::{Image, archive};

pub fn places(real: &RealContainerd) -> Places {
    Places {
        socket: real.socket(),
        run: real.folder().join("run"),
        volumes: real.folder().join("volumes"),
        hosts: real.folder().join("hosts"),
        cgroups: "/sys/fs/cgroup".into(),
    }
}

pub fn settings(name: &str, image: &str, script: &str) -> Settings {
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
        network: Network::None,
        memory: None,
        processors: None,
        pids: 16,
        open_files: 1024,
        user: Some((1000, 1000)),
        capabilities: Vec::new(),
        unconfined: false,
        read_only_root: true,
        check: Vec::new(),
        stop_signal: None,
        grace_seconds: 30,
    }
}

pub async fn never() {
    std::future::pending().await
}

pub async fn until_up(places: &Places, name: &str) {
    for _ in 0..600 {
        if tokio::net::UnixStream::connect(places.up(name)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} does not start");
}

/// Brings an image into containerd, and returns its name there.
pub async fn imported(real: &RealContainerd, image: &Image) -> String {
    let file: PathBuf = real.folder().join("shell.tar");
    archive(image, &file);
    let source = Source::File(file);
    fetch(&source, &[], &real.socket(), Path::new("/nowhere"), "test")
        .await
        .unwrap();
    source.name()
}
