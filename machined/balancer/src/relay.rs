//! Listens, and copies bytes between a client of the node and a server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::health::Outcome;
use crate::pool::Pool;
use crate::servers::Target;

/// How many connections there are at once: others wait. A node has some ten.
const CONNECTIONS: usize = 128;
/// The size of each of the two buffers of a connection in bytes: all of them are 2 MiB at most.
const BUFFER: usize = 8 << 10;
/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait after a connection could not be accepted, as when there are too many open files.
const BREATH: Duration = Duration::from_millis(200);

/// Listens on the loopback interface.
///
/// # Errors
///
/// The kernel's, as when the port is taken.
pub(crate) async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves for as long as the future lives. What is connected ends with it.
pub(crate) async fn serve(listener: TcpListener, pool: Pool) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((client, _)) => {
                let pool = pool.clone();
                connections.spawn(async move {
                    relay(client, &pool).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!("api-balancer: cannot accept a connection: {error}");
                tokio::time::sleep(BREATH).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Connects a client to the best server that takes it, and copies until either ends or the server is no good any more.
async fn relay(mut client: TcpStream, pool: &Pool) {
    for choice in pool.choices() {
        let mut server = match tokio::time::timeout(CONNECT, connect(&choice.target)).await {
            Ok(Ok(server)) => server,
            Ok(Err(error)) => {
                pool.report(&choice.target, Outcome::Failed(error.to_string()));
                continue;
            }
            Err(_) => {
                pool.report(&choice.target, Outcome::Silent);
                continue;
            }
        };
        let _counted = pool.connected(&choice.target);
        // Small messages that wait for one another are what an API is made of.
        let _refused = (client.set_nodelay(true), server.set_nodelay(true));
        tokio::select! {
            // It lets both ends know by itself.
            _ended = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER) => {}
            // Cancel safe: what was under way is lost with the connection, which the client notices.
            () = choice.cut.cancelled() => {}
        }
        return;
    }
}

/// Connects to a server; of a name to the first of its addresses that answers.
///
/// # Errors
///
/// The kernel's, or that the name has no address.
pub(crate) async fn connect(target: &Target) -> io::Result<TcpStream> {
    match target {
        Target::Address(address) => TcpStream::connect(address).await,
        Target::Name(name, port) => {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), *port)).await?.collect();
            TcpStream::connect(&found[..]).await
        }
    }
}
