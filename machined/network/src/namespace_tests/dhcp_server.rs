//! A minimal DHCP server: offers one address, and acknowledges or refuses every request.

use std::collections::BTreeMap;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where the options of a message start.
const OPTIONS: usize = 240;

/// What a server gives besides the address, and whether it revokes it.
#[derive(Clone)]
pub(super) struct Server {
    /// Options that replace or follow the ordinary ones; an empty one stands for none at all.
    pub options: Vec<(u8, Vec<u8>)>,
    /// How many requests it grants. Later ones it refuses, to everybody, as RFC 2131, 4.3.2, has it, and offers nothing.
    pub grants: u32,
}

impl Server {
    /// Makes a server with these options.
    pub(super) fn with(options: &[(u8, &[u8])]) -> Self {
        Server {
            options: options
                .iter()
                .map(|(code, value)| (*code, value.to_vec()))
                .collect(),
            grants: u32::MAX,
        }
    }

    /// Serves on an interface until dropped.
    pub(super) fn serve(&self, interface: &str) -> AbortOnDropHandle<()> {
        let socket = std::net::UdpSocket::bind("0.0.0.0:67").unwrap();
        setsockopt(&socket, sockopt::BindToDevice, &interface.into()).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut server = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let socket = UdpSocket::from_std(socket).unwrap();
            let mut message = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut message).await.unwrap();
                let kind = match option(&message[OPTIONS..length], 53) {
                    Some([REQUEST]) if server.grants == 0 => NAK,
                    Some([DISCOVER]) if server.grants > 0 => OFFER,
                    Some([REQUEST]) => {
                        server.grants -= 1;
                        ACK
                    }
                    _ => continue,
                };
                let answer = server.answer(&message[..OPTIONS], kind);
                // A client that already has the address is answered there, except when it is revoked.
                let everybody = kind == NAK || from.ip().is_unspecified();
                let target = if everybody {
                    "255.255.255.255".parse().unwrap()
                } else {
                    from.ip()
                };
                socket.send_to(&answer, (target, 68)).await.unwrap();
            }
        }))
    }
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

impl Server {
    fn answer(&self, request: &[u8], kind: u8) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[0] = 2;
        answer[16..20].copy_from_slice(&[10, 9, 0, 50]);
        answer[20..24].copy_from_slice(&[10, 9, 0, 1]);
        answer[236..OPTIONS].copy_from_slice(&COOKIE);
        let ordinary: [(u8, &[u8]); 8] = [
            (53, &[kind]),
            (54, &[10, 9, 0, 1]),
            (51, &600_u32.to_be_bytes()),
            (1, &[255, 255, 255, 0]),
            (3, &[10, 9, 0, 1]),
            (6, &[10, 9, 0, 3]),
            (15, b"lab.example"),
            (42, &[10, 9, 0, 4]),
        ];
        let mut options: BTreeMap<u8, Vec<u8>> = ordinary.map(|(code, value)| (code, value.to_vec())).into();
        options.extend(self.options.iter().cloned());
        for (code, value) in options.iter().filter(|(_, value)| !value.is_empty()) {
            answer.extend([*code, value.len() as u8]);
            answer.extend(value);
        }
        answer.push(255);
        answer
    }
}
