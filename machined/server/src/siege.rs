//! What many connections at once can do to a node: the server in a process of its own, attacked over real sockets.

pub(super) mod attack;
mod server;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use api::Role;
use attack::{Flood, Squatters};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pki::Client;
use server::{Besieged, Serves};
use tokio::sync::{Mutex, MutexGuard};

use super::testing::connect;
use super::tests::{call, named};

/// How long an attack lasts.
const SIEGE: Duration = Duration::from_secs(6);
/// How long an answer may take meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;
const VERSION: &str = "/bedplate.v1alpha1.MachineService/Version";

/// What an attack did.
struct Toll {
    /// Bytes of memory that the server had more than before, at most.
    grown: u64,
    /// Bytes of them that it kept after the attack.
    kept: u64,
    /// How often somebody else was answered meanwhile.
    answers: usize,
    /// How long that took at most.
    longest: Duration,
    /// How long it took at most without the attack.
    peace: Duration,
}

/// One attack at a time: they would disturb each other's figures.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Connects and asks once, and returns how long that took.
async fn ask(server: &Besieged, client: &Client) -> Duration {
    let asked = Instant::now();
    let answer = async {
        let channel = connect(server.address, client).await.expect("a connection");
        call(&channel, VERSION).await.expect("an answer");
    };
    // Waits for longer than allowed, to tell how long it would have taken.
    let answer = tokio::time::timeout(Duration::from_secs(30), answer);
    answer.await.expect("an answer at all");
    asked.elapsed()
}

/// Lets an attack run while somebody elsewhere connects and asks, over and over.
async fn endure<A>(server: &Besieged, client: &Client, attack: impl FnOnce() -> A) -> Toll {
    let mut peace = Duration::ZERO;
    for _ in 0..5 {
        peace = peace.max(ask(server, client).await);
    }
    let before = server.resident();
    let attack = attack();
    let begin = Instant::now();
    let (mut peak, mut longest, mut answers) = (before, Duration::ZERO, 0);
    while begin.elapsed() < SIEGE {
        longest = longest.max(ask(server, client).await);
        answers += 1;
        for _ in 0..10 {
            peak = peak.max(server.resident());
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
    drop(attack);
    // By then memory has been given back once.
    tokio::time::sleep(Duration::from_secs(15)).await;
    Toll {
        grown: peak.saturating_sub(before),
        kept: server.resident().saturating_sub(before),
        answers,
        longest,
        peace,
    }
}

fn judge(what: &str, toll: &Toll, most: u64) {
    let Toll {
        grown,
        kept,
        answers,
        longest,
        peace,
    } = toll;
    eprintln!(
        "{what}: the server grew by {} KiB and kept {} KiB; somebody else was answered {answers} times, in {} ms at \
         most, in peace {} ms",
        grown / 1024,
        kept / 1024,
        longest.as_millis(),
        peace.as_millis()
    );
    assert!(*grown < most, "{what}: grew by {grown} bytes");
    assert!(*answers >= 3, "{what}: {answers} answers");
    // A machine that is busy with something else is slow in peace, too.
    let patience = PATIENCE.max(*peace * 5);
    assert!(*longest < patience, "{what}: an answer took {longest:?}");
}

/// Addresses of this machine, other than the one that the others use.
fn elsewhere(count: u8) -> Vec<Ipv4Addr> {
    (2..2 + count)
        .map(|last| Ipv4Addr::new(127, 0, 0, last))
        .collect()
}

/// 64 connections, each with as many calls as it gets, each call with a message of 3.9 MB, or a body that is held back.
async fn flood(
    serves: Serves,
    attacker: impl Fn(&Besieged) -> Client,
    admin: impl Fn(&Besieged) -> Client,
) -> Toll {
    let _alone = alone().await;
    let server = Besieged::start(serves);
    // Pages of the program itself come into memory when they are first used: that is none of the attack.
    let warm = Flood::start(server.address, &attacker(&server), &elsewhere(1), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(warm);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let attack = || Flood::start(server.address, &attacker(&server), &elsewhere(16), 4);
    endure(&server, &admin(&server), attack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_large_messages_in_maintenance_mode_cost_little() {
    let anybody = |_: &Besieged| Client::unverified().unwrap();
    let toll = flood(Serves::Maintenance, anybody, anybody).await;
    judge("a flood by strangers in maintenance mode", &toll, 8 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_large_messages_by_a_reader_cost_little() {
    let reader = |server: &Besieged| server.user(Role::Reader);
    let toll = flood(Serves::Mutual, reader, |server| server.user(Role::Admin)).await;
    judge("a flood by a reader", &toll, 8 * MIB);
}

/// Lets this process have a socket for each attacker.
fn raise_file_limit() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = soft.max(4096);
    assert!(
        wanted <= hard,
        "this test needs {wanted} open files; `ulimit -Hn` allows {hard}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
}

/// 1,000 sockets from one address, and 64 from each of 16, that say nothing, a byte at a time, or much that never ends.
async fn squat(serves: Serves, admin: impl Fn(&Besieged) -> Client) -> Toll {
    let _alone = alone().await;
    let server = Besieged::start(serves);
    let admin = admin(&server);
    raise_file_limit();
    let attack = || {
        let mut squatters = Squatters::default();
        for (index, address) in elsewhere(17).into_iter().enumerate() {
            squatters.add(server.address, address, if index == 0 { 1000 } else { 64 });
        }
        squatters
    };
    endure(&server, &admin, attack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_slow_sockets_keep_no_admin_out() {
    let toll = squat(Serves::Mutual, |server| server.user(Role::Admin)).await;
    judge("2,024 idle and slow sockets", &toll, 4 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_slow_sockets_keep_no_owner_out_of_maintenance_mode() {
    let toll = squat(Serves::Maintenance, |_| Client::unverified().unwrap()).await;
    judge("2,024 idle and slow sockets in maintenance mode", &toll, 4 * MIB);
}

/// One reader connects as often as it can, and keeps every connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reader_keeps_nobody_else_out() {
    let _alone = alone().await;
    let server = Besieged::start(Serves::Mutual);
    let reader = server.user(Role::Reader);
    let mut kept = Vec::new();
    for _ in 0..100 {
        kept.push(attack::shake_hands(server.address, &reader).await.unwrap());
    }
    let other = named("bob", &server.home, &server.home, "bedplate:reader");
    for client in [other, server.user(Role::Operator), server.user(Role::Admin)] {
        ask(&server, &client).await;
    }
    let ended = futures::future::join_all(kept.iter_mut().map(attack::ends)).await;
    let alive = ended.iter().filter(|ended| !**ended).count();
    eprintln!("one reader keeps {alive} of 100 connections");
    assert!((1..=8).contains(&alive), "{alive}");
}
