//! The sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_zone::message::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::answer::{Answerer, Step};

/// The largest question: a name and options take far less.
const LARGEST_QUESTION: usize = 4096;
/// The most packets that wait for others at a time. More are dropped, and come again.
const MOST_WAITING: usize = 512;
/// The most connections, and the most of one client.
const MOST_CONNECTIONS: usize = 256;
const MOST_OF_ONE: usize = 32;
/// How long a connection may be quiet.
const QUIET: Duration = Duration::from_secs(10);
/// The pause after an error of the socket itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an address that is not there yet is tried.
const RETRY: Duration = Duration::from_millis(500);

/// The sockets of one address.
pub(crate) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Opens the sockets of an address. Waits until the address is there: the network may be slower than the service.
    ///
    /// # Errors
    ///
    /// Any other reason, such as another program at that port.
    pub(crate) async fn open(address: SocketAddr, waits: impl FnOnce()) -> io::Result<Self> {
        let mut waits = Some(waits);
        loop {
            match Self::try_open(address).await {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    if let Some(waits) = waits.take() {
                        waits();
                    }
                    tokio::time::sleep(RETRY).await;
                }
                opened => return opened,
            }
        }
    }

    async fn try_open(address: SocketAddr) -> io::Result<Self> {
        Ok(Sockets {
            udp: UdpSocket::bind(address).await?,
            tcp: TcpListener::bind(address).await?,
        })
    }

    /// Serves forever.
    pub(crate) async fn serve(self, answerer: Arc<Answerer>) {
        tokio::join!(
            serve_udp(self.udp, answerer.clone()),
            serve_tcp(self.tcp, answerer)
        );
    }
}

async fn serve_udp(socket: UdpSocket, answerer: Arc<Answerer>) {
    let socket = Arc::new(socket);
    let waiting = Arc::new(tokio::sync::Semaphore::new(MOST_WAITING));
    let mut packet = vec![0; LARGEST_QUESTION];
    loop {
        let (length, client) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match answerer.step(&packet[..length], Transport::Udp) {
            Step::None => {}
            // An answer that cannot be sent is one that was lost on its way.
            Step::Answer(answer) => _ = socket.send_to(&answer, client).await,
            Step::Ask(asked) => {
                let Ok(place) = waiting.clone().try_acquire_owned() else {
                    continue;
                };
                let (socket, answerer) = (socket.clone(), answerer.clone());
                tokio::spawn(async move {
                    let answer = answerer.ask(*asked).await;
                    let _lost = socket.send_to(&answer, client).await;
                    drop(place);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, answerer: Arc<Answerer>) {
    let places = Arc::new(Places::default());
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // One too many is closed at once.
        let Some(place) = Places::take(&places, client.ip()) else {
            continue;
        };
        let answerer = answerer.clone();
        tokio::spawn(async move {
            // A connection that breaks is the client's to open again.
            let _broken = connection(stream, &answerer).await;
            drop(place);
        });
    }
}

async fn connection(mut stream: TcpStream, answerer: &Answerer) -> io::Result<()> {
    let quiet = |_| io::Error::from(io::ErrorKind::TimedOut);
    loop {
        let mut length = [0; 2];
        let read = tokio::time::timeout(QUIET, stream.read_exact(&mut length)).await;
        read.map_err(quiet)??;
        let length = usize::from(u16::from_be_bytes(length));
        if length > LARGEST_QUESTION {
            return Ok(());
        }
        let mut packet = vec![0; length];
        let read = tokio::time::timeout(QUIET, stream.read_exact(&mut packet)).await;
        read.map_err(quiet)??;
        let answer = match answerer.step(&packet, Transport::Tcp) {
            Step::None => return Ok(()),
            Step::Answer(answer) => answer,
            Step::Ask(asked) => answerer.ask(*asked).await,
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            return Ok(());
        };
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        let written = tokio::time::timeout(QUIET, stream.write_all(&framed)).await;
        written.map_err(quiet)??;
    }
}

/// The places for connections, of which no client takes all.
#[derive(Default)]
struct Places {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place that is taken until it is dropped.
struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    fn take(places: &Arc<Places>, client: IpAddr) -> Option<Place> {
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&client).copied().unwrap_or(0);
        if all >= MOST_CONNECTIONS || own >= MOST_OF_ONE {
            return None;
        }
        taken.insert(client, own + 1);
        Some(Place {
            places: places.clone(),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_takes_every_place() {
        let places = Arc::new(Places::default());
        let greedy: IpAddr = [10, 244, 0, 1].into();
        let held: Vec<Place> = (0..100).filter_map(|_| Places::take(&places, greedy)).collect();
        assert_eq!(held.len(), MOST_OF_ONE);
        let others: Vec<Place> = (0..=255)
            .flat_map(|last| (0..2).map(move |_| IpAddr::from([10, 244, 1, last])))
            .filter_map(|client| Places::take(&places, client))
            .collect();
        assert_eq!(others.len(), MOST_CONNECTIONS - MOST_OF_ONE);
        drop((held, others));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
