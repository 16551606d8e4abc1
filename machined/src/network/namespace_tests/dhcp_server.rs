//! A DHCP server of a few lines: offers one address, and acknowledges whatever is asked for.

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

const OFFER: u8 = 2;
const ACK: u8 = 5;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where the options of a message start.
const OPTIONS: usize = 240;

/// Serves on an interface until dropped.
pub(super) fn serve(interface: &str) -> AbortOnDropHandle<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:67").unwrap();
    setsockopt(&socket, sockopt::BindToDevice, &interface.into()).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let socket = UdpSocket::from_std(socket).unwrap();
        let mut message = [0; 1500];
        loop {
            let (length, _) = socket.recv_from(&mut message).await.unwrap();
            let kind = match option(&message[OPTIONS..length], 53) {
                Some([DISCOVER]) => OFFER,
                Some([REQUEST]) => ACK,
                _ => continue,
            };
            let answer = answer(&message[..OPTIONS], kind);
            socket.send_to(&answer, "255.255.255.255:68").await.unwrap();
        }
    }))
}

fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    let (code, length) = (*options.first()?, usize::from(*options.get(1)?));
    let value = options.get(2..2 + length)?;
    if code == wanted {
        Some(value)
    } else {
        option(&options[2 + length..], wanted)
    }
}

fn answer(request: &[u8], kind: u8) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&[10, 9, 0, 50]);
    answer[20..24].copy_from_slice(&[10, 9, 0, 1]);
    answer[236..OPTIONS].copy_from_slice(&COOKIE);
    let options: [(u8, &[u8]); 8] = [
        (53, &[kind]),
        (54, &[10, 9, 0, 1]),
        (51, &600_u32.to_be_bytes()),
        (1, &[255, 255, 255, 0]),
        (3, &[10, 9, 0, 1]),
        (6, &[10, 9, 0, 3]),
        (15, b"lab.example"),
        (42, &[10, 9, 0, 4]),
    ];
    for (code, value) in options {
        answer.extend([code, value.len() as u8]);
        answer.extend(value);
    }
    answer.push(255);
    answer
}
