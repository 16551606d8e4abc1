//! Workloads on the bridge: the machine's own containerd, packet filter and kernel. The node, and the world around it, are network
//! namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod containers;
mod shell;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use containerd::testing::RealContainerd;
use containers::{imported, never, places, settings, until_up};
use machine_config::v1alpha1::{PortProtocol, PublishedPort};
use machine_config::value::IpPrefix;
use shell::image_with_perl;
use sys::namespace::NetworkNamespace;
use workloads::network::bridge::{Bridge as _, LinuxBridge};
use workloads::network::join::Place;
use workloads::network::{hosts, plan, rules};
use workloads::runner::{Places, run};
use workloads::settings::{Network, Settings};

const PATIENCE: Duration = Duration::from_secs(60);
/// Tells everybody who connects under which address.
const SERVER: &str = r#"$SIG{TERM}=sub{exit 0};socket(S,2,1,6);setsockopt(S,1,2,pack("i",1));bind(S,pack("Sna4x8",2,80,"\0"x4))or die;listen(S,9);while($p=accept(C,S)){($f,$n,$a)=unpack("Sna4",$p);print C join(".",unpack("C4",$a));close C}"#;

fn subnet() -> IpPrefix {
    "10.87.9.0/24".parse().unwrap()
}

fn place(last: u8) -> Place {
    Place {
        address: Ipv4Addr::new(10, 87, 9, last),
        length: 24,
        gateway: plan::gateway(subnet()),
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn nft(rules: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{rules}");
}

/// Returns under which address a server sees this namespace, as soon as it answers.
fn seen_by(server: &str) -> String {
    let started = Instant::now();
    loop {
        match asked(server) {
            Ok(seen) if !seen.is_empty() => return seen,
            other => assert!(started.elapsed() < PATIENCE, "{server}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn asked(server: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut seen = String::new();
    connection.read_to_string(&mut seen)?;
    Ok(seen)
}

/// A workload of the image that runs a script of Perl, as an ordinary user without any capability.
fn perl(name: &str, image: &str, at: u8, script: &str) -> Settings {
    Settings {
        command: ["/usr/bin/perl", "-e", script].map(Into::into).to_vec(),
        args: Vec::new(),
        network: Network::Bridge(place(at)),
        ..settings(name, image, "")
    }
}

/// Connects by a name of `/etc/hosts` or an address, and ends with 0 if the answer is the expected one.
fn client(server: &str, port: u16, expected: &str) -> String {
    format!(
        r#"socket(S,2,1,6);$a=gethostbyname("{server}")or exit 3;connect(S,pack("Sna4x8",2,{port},$a))or exit 4;$l=<S>;exit($l eq "{expected}"?0:5)"#
    )
}

/// What happens on the node.
fn node(world: &NetworkNamespace, places: &Places, image: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Twice: it is made again and again.
        for _ in 0..2 {
            LinuxBridge.make(plan::gateway(subnet()), 24).await.unwrap();
        }
        let names = [
            ("web".to_owned(), place(2).address),
            ("other".to_owned(), place(3).address),
        ];
        hosts::write(&places.hosts, &hosts::text(&names.into())).unwrap();
        let port = |host, address| PublishedPort {
            container: 80,
            host: Some(host),
            protocol: PortProtocol::Tcp,
            address,
        };
        let (public, local) = (port(8080, None), port(8081, Some(Ipv4Addr::LOCALHOST)));
        let web = place(2).address;
        let text = rules::ruleset(subnet(), &[(web, &public), (web, &local)]);
        for _ in 0..2 {
            nft(&text);
        }
        let (stop, asked_to) = tokio::sync::oneshot::channel::<()>();
        let (server, at) = (perl("web", image, 2, SERVER), places.clone());
        let serving = tokio::spawn(async move {
            run(&server, &at, async {
                let _ = asked_to.await;
            })
            .await
        });
        until_up(places, "web").await;

        // The world reaches the published port, and the workload sees who asks.
        assert_eq!(world.run(|| seen_by("192.0.2.1:8080")).unwrap(), "192.0.2.2");
        // What is not published is not reached, also by who knows the way.
        for hidden in ["10.87.9.2:80", "192.0.2.1:8081", "192.0.2.1:80"] {
            let answer = world.run(|| asked(hidden)).unwrap();
            assert!(answer.is_err(), "{hidden}: {answer:?}");
        }
        // The node reaches it by every address of its own.
        assert_eq!(seen_by("192.0.2.1:8080"), "192.0.2.1");
        for local in ["127.0.0.1:8080", "127.0.0.1:8081"] {
            assert_eq!(seen_by(local), "10.87.9.1", "{local}");
        }
        // Another workload reaches it by its name, and by the port of the node; and it reaches the world as the node.
        let clients = [
            client("web", 80, "10.87.9.3"),
            client("192.0.2.1", 8080, "10.87.9.1"),
            client("192.0.2.2", 9000, "192.0.2.1"),
        ];
        for script in clients {
            // Each time the same place, at once after the one before.
            let ended = run(&perl("other", image, 3, &script), places, never())
                .await
                .unwrap();
            assert_eq!(ended.code, 0, "{script}");
        }
        stop.send(()).unwrap();
        assert!(serving.await.unwrap().unwrap().asked);

        // A workload whose bridge is gone says so.
        LinuxBridge.remove().await.unwrap();
        LinuxBridge.remove().await.unwrap();
        let alone = run(&perl("other", image, 3, "exit 0"), places, never()).await;
        assert!(alone.unwrap_err().to_string().contains("there is no bridge"));
    });
}

#[test]
fn workloads_on_the_bridge_reach_and_are_reached() {
    let runs = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if !nix::unistd::geteuid().is_root() || !runs("nft") || !runs("ip") {
        eprintln!("skipped: it needs root, ip and nft");
        return;
    }
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image_with_perl()) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let name = runtime.block_on(async {
        real.start();
        real.ready().await.unwrap();
        imported(&real, &image).await
    });
    let (own, world) = (NetworkNamespace::new().unwrap(), NetworkNamespace::new().unwrap());
    let places = places(&real);
    own.run(|| {
        ip("link set lo up");
        ip("link add w0 type veth peer name w1");
        ip(&format!("link set w1 netns {}", world.path().display()));
        ip("addr add 192.0.2.1/24 dev w0");
        ip("link set w0 up");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    })
    .unwrap();
    let listener = world
        .run(|| {
            for command in [
                "link set lo up",
                "addr add 192.0.2.2/24 dev w1",
                "link set w1 up",
                // It knows the way to what is not published.
                "route add 10.87.9.0/24 via 192.0.2.1",
            ] {
                ip(command);
            }
            TcpListener::bind("0.0.0.0:9000").unwrap()
        })
        .unwrap();
    std::thread::spawn(move || {
        while let Ok((mut connection, from)) = listener.accept() {
            let _lost = connection.write_all(from.ip().to_string().as_bytes());
        }
    });
    own.run(|| node(&world, &places, &name)).unwrap();
}
