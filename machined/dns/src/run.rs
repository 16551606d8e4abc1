//! The whole service.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cluster_zone::Zone;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answer::Answerer;
use crate::follow::{Progress, follow};
use crate::resolv;
use crate::saved::Saved;
use crate::server::Sockets;
use crate::settings::{Settings, SettingsError, read};

/// How often the list of name servers is read.
const LOOK: Duration = Duration::from_secs(2);
/// The most bytes of that list.
const LARGEST: u64 = 64 * 1024;
/// How often what is known is saved at most. What changed since is known to the API; a card wears with each write.
const SAVE: Duration = Duration::from_secs(600);

/// The service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address cannot be served.
    #[error("cannot serve at {address}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be told when to end.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Runs the service until it is told to end by `SIGTERM`.
///
/// # Errors
///
/// Settings that cannot be used, and addresses that cannot be served.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let mut end = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut zone = Zone::new(settings.zone()?);
    let mut saved = Saved::new(&settings);
    match saved.restore(&mut zone) {
        Ok(true) => {
            let (services, endpoints) = zone.size();
            stdio::note(format!(
                "answers from what was known last: {services} services, {endpoints} endpoints"
            ));
        }
        Ok(false) => {}
        Err(error) => stdio::note(format!("cannot use {}: {error}", settings.saved.display())),
    }
    let zone = Arc::new(RwLock::new(zone));
    let answerer = Arc::new(Answerer::new(zone.clone()));
    let (progress, complete) = watch::channel(Progress::default());
    tokio::select! {
        // Cancel safe: what is not answered is asked again.
        served = serve(&settings, &answerer) => served?,
        // Cancel safe: it ends at no point of its own.
        () = follow(&settings, &zone, &progress) => {}
        // Cancel safe, likewise.
        () = follow_servers(&settings, &answerer) => {}
        // Cancel safe: a file is the old or the new one at any moment.
        () = keep(&mut saved, &zone, complete.clone()) => {}
        // Cancel safe: nothing comes after it.
        _ = end.recv() => {}
    }
    if complete.borrow().is_complete() {
        save(&mut saved, &zone);
    }
    Ok(())
}

/// Serves the cluster's addresses, and, once they are served, the health check.
async fn serve(settings: &Settings, answerer: &Arc<Answerer>) -> Result<(), RunError> {
    let open = |address: SocketAddr| async move {
        let waits = || stdio::note(format!("waits for the address {}", address.ip()));
        let opened = Sockets::open(address, waits).await;
        opened.map_err(|source| RunError::Socket { address, source })
    };
    let mut all = Vec::new();
    for address in settings.sockets() {
        all.push(open(address).await?);
    }
    all.push(open(settings.check).await?);
    stdio::note(format!("answers for {}", settings.domain));
    // Tasks of their own: the rest of the service writes to slow cards. They end with the set.
    let mut served = JoinSet::new();
    for sockets in all {
        served.spawn(sockets.serve(answerer.clone()));
    }
    while served.join_next().await.is_some() {}
    Ok(())
}

/// Asks those whom the node's own list names, whenever it changes.
async fn follow_servers(settings: &Settings, answerer: &Answerer) {
    let own: Vec<_> = settings
        .addresses
        .iter()
        .copied()
        .chain(
            [settings.check.ip()]
                .into_iter()
                .filter(|_| settings.check.port() == settings.port),
        )
        .collect();
    loop {
        // A file that is missing for a moment changes nothing.
        if let Some(text) = read_text(&settings.resolv_conf) {
            let servers = resolv::servers(&text, &own, resolv::index);
            if answerer.forwarder.set_servers(servers.clone()) {
                if servers.is_empty() {
                    stdio::note("knows no name server for other names");
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                let shown: Vec<String> = servers.iter().map(|server| server.ip().to_string()).collect();
                stdio::note(format!("asks {} for other names", shown.join(", ")));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn read_text(path: &Path) -> Option<String> {
    String::from_utf8(read(path, LARGEST).ok()?).ok()
}

/// Saves what is known: when all of it is, and from time to time.
async fn keep(saved: &mut Saved<'_>, zone: &Arc<RwLock<Zone>>, mut complete: watch::Receiver<Progress>) {
    if complete
        .wait_for(|progress| progress.is_complete())
        .await
        .is_err()
    {
        return;
    }
    let (services, endpoints) = {
        let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
        zone.set_synced();
        if zone.left_out() > 0 {
            stdio::note(format!(
                "{} objects are left out: there are too many",
                zone.left_out()
            ));
        }
        zone.size()
    };
    stdio::note(format!(
        "knows the cluster: {services} services, {endpoints} endpoints"
    ));
    loop {
        save(saved, zone);
        tokio::time::sleep(SAVE).await;
    }
}

fn save(saved: &mut Saved<'_>, zone: &Arc<RwLock<Zone>>) {
    if let Err(error) = saved.save(zone) {
        stdio::note(format!("cannot save what is known: {error}"));
    }
}
