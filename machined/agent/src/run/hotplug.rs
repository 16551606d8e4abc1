//! Gives devices that appear later their modules.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use node::modules;
use node::modules::{Index, coldplug, modaliases};
use release_file::Release;
use state::chain;
use sys::modules::{LinuxModules, ModuleLoader};
use sys::uevent::Uevents;
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

/// The kernel's messages are a few hundred bytes.
const LONGEST: usize = 8192;

/// Loads the image's own modules and those of the present devices, then those of devices that come, until `stop`.
pub(super) async fn run(release: std::sync::Arc<Release>, stop: CancellationToken) -> Result<(), sys::Error> {
    // Opened first: what appears while we look around is not missed.
    let events = Uevents::open()?;
    let around = tokio::task::spawn_blocking(move || load_present(&release));
    let known = around
        .await
        .inspect_err(|error| tracing::error!("loading modules ended: {error}"));
    tokio::select! {
        // Cancel safe: asks only for a state.
        () = stop.cancelled() => {}
        // Dropping it loses events, which only matters while the node runs.
        () = follow(events, known.unwrap_or_default()) => {}
    }
    Ok(())
}

/// Returns what the present devices say they are.
fn load_present(release: &Release) -> BTreeSet<String> {
    let (folder, devices) = (modules::folder(), Path::new("/sys/devices"));
    let Some(index) = index(&folder) else {
        return BTreeSet::new();
    };
    for name in &release.autoload {
        if let Err(error) = modules::load(&index, &folder, &LinuxModules, name) {
            tracing::warn!("{}", chain(&error));
        }
    }
    let known = modaliases(devices);
    for error in coldplug(&index, &folder, &LinuxModules, devices) {
        tracing::warn!("{}", chain(&error));
    }
    known
}

fn index(folder: &Path) -> Option<Index> {
    let loaded = Index::load(folder);
    loaded
        .inspect_err(|error| tracing::warn!("no modules: {}: {error}", folder.display()))
        .ok()
}

/// Devices of a kind that was seen before have their module: a driver that brings hundreds of them costs one look.
async fn follow(events: Uevents, mut known: BTreeSet<String>) {
    // It is no pipe, but is read and polled like one.
    let Ok(messages) = Receiver::from_owned_fd_unchecked(OwnedFd::from(events)) else {
        return;
    };
    let mut buffer = vec![0; LONGEST];
    loop {
        if messages.readable().await.is_err() {
            return;
        }
        // Lost messages (the error ENOBUFS) are like messages not sent: the device waits for a restart.
        let Ok(len) = messages.try_read(&mut buffer) else {
            continue;
        };
        if let Some(alias) = modalias_of_new(&buffer[..len]).filter(|alias| known.insert(alias.clone())) {
            let done = tokio::task::spawn_blocking(move || load_for(&alias, &LinuxModules));
            let _panicked_and_told = done.await;
        }
    }
}

/// The index is read again each time: devices seldom come, and memory is dear.
fn load_for(alias: &str, loader: &dyn ModuleLoader) {
    let folder = modules::folder();
    let Some(index) = index(&folder) else { return };
    for name in index.by_alias(alias).into_iter().filter(|name| index.knows(name)) {
        if let Err(error) = modules::load(&index, &folder, loader, name) {
            tracing::warn!("{}", chain(&error));
        }
    }
}

/// Reads what a device that was added says it is.
fn modalias_of_new(message: &[u8]) -> Option<String> {
    let mut fields = message.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let added = fields.clone().any(|field| field == "ACTION=add");
    let alias = fields.find_map(|field| field.strip_prefix("MODALIAS=").map(str::to_owned));
    alias.filter(|alias| added && !alias.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_new_devices_are_given_modules() {
        let message = b"add@/devices/usb\0ACTION=add\0DEVPATH=/devices/usb\0MODALIAS=usb:v0525pA4A2\0";
        assert_eq!(modalias_of_new(message).unwrap(), "usb:v0525pA4A2");
        assert_eq!(
            modalias_of_new(b"remove@/x\0ACTION=remove\0MODALIAS=usb:v0525\0"),
            None
        );
        assert_eq!(modalias_of_new(b"add@/x\0ACTION=add\0"), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = modalias_of_new(&bytes);
        }
    }
}
