//! A real question and answer over UDP, with a time server of a few lines.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sys::clock::{Clock, RecordingClock};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::bounds::Bounds;
use super::sntp::{Sntp, SntpError, TimeSource};

/// Seconds from 1900, where NTP counts from, to 1970.
const ERA: u64 = 2_208_988_800;

fn stamp(time: SystemTime) -> [u8; 8] {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let seconds = u32::try_from(since.as_secs() + ERA).unwrap();
    (u64::from(seconds) << 32 | fraction).to_be_bytes()
}

/// Serves a time; `spoil` may change the answer before it leaves.
async fn serve(time: SystemTime, spoil: fn(&mut [u8; 48])) -> (u16, AbortOnDropHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut request = [0; 128];
        while let Ok((48, from)) = socket.recv_from(&mut request).await {
            let mut answer = [0_u8; 48];
            // No leap second, version 4, server; stratum 1, and nothing of a delay to the source.
            (answer[0], answer[1], answer[2], answer[3]) = (0x24, 1, 6, 0xe9);
            answer[12..16].copy_from_slice(b"GPS\0");
            answer[16..24].copy_from_slice(&stamp(time - Duration::from_secs(1)));
            answer[24..32].copy_from_slice(&request[40..48]);
            answer[32..40].copy_from_slice(&stamp(time));
            answer[40..48].copy_from_slice(&stamp(time));
            spoil(&mut answer);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (port, AbortOnDropHandle::new(task))
}

fn clock(seconds: u64) -> Arc<RecordingClock> {
    Arc::new(RecordingClock::at(UNIX_EPOCH + Duration::from_secs(seconds)))
}

#[tokio::test]
async fn a_server_tells_how_far_the_clock_is_off() {
    let clock = clock(1_700_000_000);
    let (port, _server) = serve(clock.now() + Duration::from_millis(86_400_250), |_| {}).await;
    let sample = Sntp::at_port(clock.clone(), port).ask("127.0.0.1").await.unwrap();
    assert!((sample.offset_micros - 86_400_250_000).abs() < 100, "{sample:?}");
    let named = Sntp::at_port(clock, port).ask("localhost").await;
    assert!(named.is_ok(), "a name is looked up first: {named:?}");
}

#[tokio::test]
async fn a_clock_of_1970_is_found_to_be_wrong_by_decades() {
    let (port, _server) = serve(UNIX_EPOCH + Duration::from_secs(1_800_000_000), |_| {}).await;
    let sample = Sntp::at_port(clock(7), port).ask("127.0.0.1").await.unwrap();
    assert_eq!(sample.offset_micros / 1_000_000, 1_799_999_993);
}

#[tokio::test]
async fn a_clock_of_2099_is_found_to_be_ahead_and_not_an_era_behind() {
    let (now, truth) = (UNIX_EPOCH + Duration::from_secs(4_080_000_000), 1_800_000_000);
    let (port, _server) = serve(UNIX_EPOCH + Duration::from_secs(truth), |_| {}).await;
    let sample = Sntp::at_port(clock(4_080_000_000), port)
        .ask("127.0.0.1")
        .await
        .unwrap();
    let bounds = Bounds::of_image(UNIX_EPOCH + Duration::from_secs(truth - 86_400));
    let offset = bounds.in_era(now, sample.offset_micros);
    assert_eq!(offset / 1_000_000, 1_800_000_000 - 4_080_000_000);
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    type Spoil = fn(&mut [u8; 48]);
    let table: [(&str, Spoil); 4] = [
        ("another question's", |a| a[24] ^= 1),
        ("not in step itself", |a| a[0] |= 0xc0),
        ("kiss of death", |a| (a[1], a[12]) = (0, b'R')),
        ("a question", |a| a[0] = 0x23),
    ];
    for (what, spoil) in table {
        let clock = clock(1_700_000_000);
        let (port, _server) = serve(clock.now(), spoil).await;
        let answer = Sntp::at_port(clock, port).ask("127.0.0.1").await;
        assert!(
            matches!(answer, Err(SntpError::Useless { .. })),
            "{what}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn who_is_not_there_is_told_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let answer = Sntp::at_port(clock(1), port).ask("127.0.0.1").await;
    assert!(matches!(answer, Err(SntpError::Unreachable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_given_up() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let answer = Sntp::at_port(clock(1), port).ask("127.0.0.1").await;
    assert!(matches!(answer, Err(SntpError::Silent { .. })), "{answer:?}");
}
