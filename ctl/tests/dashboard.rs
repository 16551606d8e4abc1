//! Runs `bedplate dashboard` on a terminal of its own, against the real API server with fake nodes behind it.

mod program;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use program::cluster::{Cluster, cluster};

/// Runs the program on a terminal of this size, until it has drawn everything that is expected; then presses q. Returns what it drew,
/// and whether it ended well.
fn on_terminal(lab: &Cluster, nodes: &str, size: (u16, u16), expected: &[&str]) -> (String, bool) {
    let inner = format!(
        "stty cols {} rows {} && exec {} dashboard --interval 500ms -n {nodes}",
        size.0,
        size.1,
        env!("CARGO_BIN_EXE_bedplate")
    );
    // `script` gives a terminal to what it runs, and passes its own input on.
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &inner, "/dev/null"])
        .current_dir(lab.home.path("."))
        .env("XDG_CONFIG_HOME", lab.home.path("config"))
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script comes with the base system");
    let mut out = child.stdout.take().expect("a pipe");
    let (sender, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = out.read(&mut piece) {
            if sender.send(piece[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let (mut drawn, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    let all = |drawn: &[u8]| {
        let text = String::from_utf8_lossy(drawn);
        expected.iter().all(|expected| text.contains(expected))
    };
    while !all(&drawn) && Instant::now() < until {
        if let Ok(piece) = pieces.recv_timeout(Duration::from_millis(200)) {
            drawn.extend(piece);
        }
    }
    let seen = all(&drawn);
    let mut keys = child.stdin.take().expect("a pipe");
    keys.write_all(b"q").expect("it reads keys");
    let ended = child.wait().expect("it ends");
    while let Ok(piece) = pieces.recv() {
        drawn.extend(piece);
    }
    (
        String::from_utf8_lossy(&drawn).into_owned(),
        seen && ended.success(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_shown_until_q_is_pressed_and_the_terminal_is_given_back() {
    let mut lab = cluster(&["node1", "node2", "node3"]).await;
    let nodes = lab.addresses();
    // One of them is away.
    let away = lab.nodes.pop().expect("three of them").address;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let first = lab.nodes[0].address.to_string();
    // What is on the screen already is not drawn again: of "no answer" over "connecting" not the o.
    let expected = [
        first.as_str(),
        &away.to_string(),
        "healthy",
        "containerd",
        "answer",
        "line",
    ];
    for size in [(120, 40), (60, 24)] {
        let (drawn, well) = tokio::task::block_in_place(|| on_terminal(&lab, &nodes, size, &expected));
        assert!(well, "{size:?}: {drawn}");
        // It has left the screen of its own, and shows the cursor again.
        assert!(
            drawn.contains("\u{1b}[?1049l") && drawn.contains("\u{1b}[?25h"),
            "{drawn}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_the_way_out_is_told() {
    let lab = cluster(&["node1"]).await;
    let error = lab.run(&["dashboard"]).await.failure().err;
    assert!(
        error.contains("needs a terminal; use `bedplate status`"),
        "{error}"
    );
}
