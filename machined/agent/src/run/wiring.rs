//! The order of start: storage, then config, then everything that depends on it; and the way back.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::platform::{self, Surroundings};
use config::{ConfigDisk, ConfigHandle, acquire};
use etcd::EtcdHandle;
use firmware::FirmwareHandle;
use kubernetes_client::Clients;
use kubernetes_node::Cordons;
use layout::Name;
use machine_config::MachineConfig;
use node::Node;
use node::boot::Cmdline;
use node::children::Children;
use node::logs::persist::Persist;
use node::power::{Power, Stop};
use pki::{NodeClock, ServerTls};
use server;
use server::ApiServer;
use server::files::FilePolicy;
use server::host::Host;
use services::cgroup::LinuxCgroups;
use services::{LinuxHost, PreparedHost, Supervisor, containerd};
use state::kinds::{NODE, Volume, VolumeState, VolumeStatus};
use state::{Resource, Runtime, Store, chain};
use storage::{OwnerFile, identity, seed};
use sys::clock::{Clock, HostClock, LinuxClock};
use sys::entropy::LinuxPool;
use tokio::signal::unix::{SignalKind, signal};
use trust::answer::Signer;
use trust::ledger::FileLedger;
use trust::person::Persons;
use trust::serve::Door;
use trust::shared::NodeLedger;
use upgrades::trial::{Places, manifest_in};

use super::answers::backend;
use super::container::Container;
use super::controllers::{self, Pieces};
use super::parts::Parts;
use super::prepare::Prepared;
use super::{console, hotplug, moments, stop};

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
const LOGS: &str = "/var/log/bedplate";
/// Which node holds which name, on the STATE of a control plane without Kubernetes.
const NAMES: &str = "names.json";
/// How long services have to end, all together.
const SERVICE_PATIENCE: Duration = Duration::from_secs(25);
/// How long the parts of machined have to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the node until somebody wants it to stop, then stops it all but for the machine itself.
pub(super) async fn run(prepared: Prepared) -> Result<Stop, String> {
    let Prepared {
        node,
        cmdline,
        line,
        watchdog,
        container,
    } = prepared;
    let children = Children::new();
    let mut parts = Parts::new(node.events.clone());
    start_basics(&node, &children, container.is_some(), &mut parts);
    let base = match container {
        Some(_) => controllers::base_of_container(&node),
        None => controllers::base(&node, &children, watchdog),
    };
    keep_runtime("base controllers", base, &mut parts);

    let mut supervisor = None;
    let life = async {
        start(&node, &cmdline, &line, &children, container.as_ref(), &mut parts).await?;
        // In maintenance mode nothing runs but network and API.
        configured(&node.store).await;
        let cgroups = container
            .as_ref()
            .map_or(Path::new(CGROUPS), |container| &container.cgroups);
        supervisor = Some(start_services(&node, &children, cgroups)?);
        Ok::<Stop, String>(node.power.wait().await)
    };
    let request = tokio::select! {
        // Dropping it leaves what has started so far to the stop below.
        ended = life => ended?,
        // Cancel safe.
        request = node.power.wait() => request,
    };
    stop::limit(request);
    console::say("stopping");
    if let Some(supervisor) = supervisor {
        for name in supervisor.stop_all(SERVICE_PATIENCE).await {
            tracing::warn!("{name} did not end in time");
        }
    }
    parts.end(PATIENCE).await;
    clock::save_at_end(&node.store, &LinuxClock, Path::new(clock::SAVED));
    stop::everything(&node, &children, request).await;
    Ok(request)
}

fn start_services(node: &Node, children: &Children, cgroups: &Path) -> Result<Supervisor, String> {
    let cgroups = LinuxCgroups::open(cgroups).map_err(|error| chain(&error))?;
    let host = LinuxHost::new(children.clone(), Arc::new(cgroups), node.logs.clone());
    let repair = containerd::StoreRepair::new(
        Path::new(containerd::ROOT),
        Path::new(containerd::ASIDE),
        node.store.clone(),
        node.events.clone(),
    );
    let host = PreparedHost::new(host, containerd::SERVICE, Arc::new(repair));
    Ok(Supervisor::start(node, Arc::new(host)))
}

/// Waits until there is a machine config.
async fn configured(store: &Store) {
    let mut watch = store.watch(&[MachineConfig::KIND]);
    while store.get::<MachineConfig>(NODE).is_none() {
        watch.changed().await;
    }
}

/// Starts what needs no disk: reaping, signals, devices unless they are a host's, the console.
fn start_basics(node: &Node, children: &Children, in_container: bool, parts: &mut Parts) {
    let reaper = children.clone();
    parts.keep_endless("reaper", move || {
        let reaper = reaper.clone();
        async move { reaper.reap_forever().await.map_err(|error| chain(&error)) }
    });
    let power = node.power.clone();
    parts.keep_endless("signals", move || signals(power.clone()));
    if !in_container {
        let release = node.release.clone();
        parts.keep("devices", move |stop| {
            let run = hotplug::run(release.clone(), stop);
            async move { run.await.map_err(|error| chain(&error)) }
        });
    }
    let page = node.clone();
    parts.keep("console", move |stop| {
        let run = console::run(page.clone(), stop);
        async move {
            run.await;
            Ok(())
        }
    });
}

/// A set of controllers contains failures itself, and ends only when told.
fn keep_runtime(name: &'static str, runtime: Runtime, parts: &mut Parts) {
    let mut once = Some(runtime);
    parts.keep(name, move |stop| {
        let runtime = once.take();
        async move {
            match runtime {
                Some(runtime) => runtime.run(stop).await,
                None => stop.cancelled().await,
            }
            Ok(())
        }
    });
}

/// Starts what needs the disk, in order.
async fn start(
    node: &Node,
    cmdline: &Cmdline,
    line: &str,
    children: &Children,
    container: Option<&Container>,
    parts: &mut Parts,
) -> Result<(), String> {
    volumes_ready(&node.store).await;
    node.stamps.mark("storage");
    let disk = cmdline
        .disk
        .as_deref()
        .and_then(|guid| node.devices.find(guid).ok().flatten());
    become_oneself().await;
    // Without a disk for them logs stay where they are: a copy in memory serves nobody.
    let data: Option<VolumeStatus> = node.store.get(Volume::Data.partition());
    if data.is_some_and(|status| matches!(status.state, VolumeState::Ready { .. })) {
        let persist = node.logs.clone();
        parts.keep("logs", move |stop| {
            let run = Persist::new(LOGS, persist.clone()).run(stop);
            async move {
                run.await;
                Ok(())
            }
        });
    }

    let partition = |name: &str| {
        let disk = disk.as_ref()?;
        node.devices
            .partition(disk, name)
            .ok()
            .flatten()
            .map(|found| found.device)
    };
    let state: Option<VolumeStatus> = node.store.get(Volume::State.partition());
    let places = ConfigDisk {
        medium: partition(Name::Config.as_str()),
        file: container.map(|container| container.config_file.clone()),
        state: Volume::State.target().into(),
        // Without a disk there never was one.
        state_lost: disk.is_some()
            && state.is_some_and(|status| matches!(status.state, VolumeState::Volatile { .. })),
        owner: OwnerFile::new(partition(Name::BootState.as_str())),
    };
    let acquired = acquire(&places);
    let (tls, clock) = (Arc::new(ServerTls::new()), Arc::new(NodeClock::new()));
    let configs = ConfigHandle::start(
        node.store.clone(),
        places,
        node.power.clone(),
        node.events.clone(),
        clock.clone(),
        acquired,
    )
    .map_err(|error| chain(&error))?;
    node.stamps.mark("config");
    let surroundings = match container {
        Some(_) => Surroundings::Container,
        None => Surroundings::Machine,
    };
    let platforms = platform::find(line, surroundings);
    let (asking, store) = (configs.clone(), node.store.clone());
    parts.keep_endless("platforms", move || {
        let asking = platform::ask(asking.clone(), platforms.clone(), store.clone());
        async move {
            asking.await;
            Ok(())
        }
    });

    let slots = cmdline
        .disk
        .as_deref()
        .and_then(|guid| Places::find(&node.devices, guid));
    let system: &dyn Clock = match container {
        Some(_) => &HostClock,
        None => &LinuxClock,
    };
    let restored = clock::restore(system, Path::new(clock::SAVED), built(slots.as_ref(), cmdline));
    clock.raise_floor(restored.passed);
    let cordons = Cordons::default();
    let state = Path::new(Volume::State.target());
    let upgrades = slots.map(|slots| controllers::upgrades(node, slots, state, cordons.clone()));
    let firmware = cmdline
        .disk
        .as_deref()
        .and_then(|guid| firmware::Places::find(&node.devices, guid, state))
        .map(|places| FirmwareHandle::new(node, places, cmdline.firmware.as_deref()));
    let restorer = etcd::Restorer::new(children.clone(), etcd::TOOL);
    let etcd = EtcdHandle::new(node, etcd::Places::default(), etcd::Ports::default(), restorer);
    let pieces = Pieces {
        restored,
        tls: tls.clone(),
        clock: clock.clone(),
        api: (Ipv4Addr::LOCALHOST, api::PORT).into(),
        children: children.clone(),
        upgrades: upgrades.clone(),
        firmware: firmware.clone(),
        etcd: etcd.clone(),
        cordons,
    };
    let runtime = controllers::main(node, pieces).map_err(|error| chain(&error))?;
    keep_runtime("controllers", runtime, parts);
    keep_door(node, &clock, parts);

    let server = ApiServer {
        store: node.store.clone(),
        backend: backend(
            node,
            configs,
            upgrades,
            firmware,
            etcd,
            Persons::new(node.store.clone(), clock.clone()),
            container.map_or(Path::new(CGROUPS), |container| &container.cgroups),
        ),
        host: Host::default(),
        files: FilePolicy::default(),
        tls,
        clock,
    };
    let watched = node.clone();
    parts.keep_endless("stamps", move || {
        let watched = watched.clone();
        async move {
            moments::stamp(&watched).await;
            std::future::pending().await
        }
    });
    let stamps = node.stamps.clone();
    parts.keep("api", move |stop| {
        let (server, stamps) = (server.clone(), stamps.clone());
        async move {
            let listener = server::bind(api::PORT).map_err(|error| format!("cannot listen: {error}"))?;
            stamps.mark("api");
            server.run(listener, stop).await;
            Ok(())
        }
    });
    Ok(())
}

/// Lets nodes join here, if the node is a control plane.
fn keep_door(node: &Node, clock: &Arc<NodeClock>, parts: &mut Parts) {
    let names = FileLedger::new(Path::new(Volume::State.target()).join(NAMES));
    let names = NodeLedger::new(node.store.clone(), names, etcd_client::Etcd::own());
    let signer = Signer::new(
        Arc::new(names),
        Arc::new(Clients::new(node.store.clone())),
        clock.clone(),
        node.events.clone(),
    );
    let (store, clock) = (node.store.clone(), clock.clone());
    parts.keep("trust", move |stop| {
        let door = Door {
            store: store.clone(),
            signer: signer.clone(),
            clock: clock.clone(),
        };
        let bind = || server::bind(trust::PORT);
        async move {
            let ended = door.run(bind, stop).await;
            ended.map_err(|error| format!("cannot listen for nodes that join: {error}"))
        }
    });
}

/// Waits until something is mounted for both volumes. The controller keeps trying; the console says what is wrong.
async fn volumes_ready(store: &Store) {
    let mut watch = store.watch(&[VolumeStatus::KIND]);
    let usable = |volume: Volume| {
        store
            .get::<VolumeStatus>(volume.partition())
            .is_some_and(|status| status.state.usable())
    };
    while !Volume::ALL.into_iter().all(usable) {
        watch.changed().await;
    }
}

/// Makes the machine be the one it was before: the randomness it had saved, and its identity.
///
/// In this order: from here on identities and keys are made, and only with a seeded generator.
async fn become_oneself() {
    let state = Path::new(Volume::State.target());
    if let Err(error) = seed::refresh(state, &LinuxPool) {
        tracing::warn!("{}", chain(&error));
    }
    let tell = |text: &str| {
        console::say(text);
        tracing::warn!("{text}");
    };
    if let Err(error) = seed::wait(Arc::new(LinuxPool), tell).await {
        tracing::error!("{}", chain(&error));
    }
    let identity = identity::machine_id(state).and_then(|id| fs::write("/etc/machine-id", format!("{id}\n")));
    if let Err(error) = identity {
        tracing::error!("the machine has no identity: {error}");
    }
}

/// Returns when the running image was made: no true time is earlier.
fn built(places: Option<&Places>, cmdline: &Cmdline) -> SystemTime {
    let manifest = places.zip(cmdline.slot).and_then(|(places, slot)| {
        // Only the loader's word makes a manifest something to set a clock by.
        manifest_in(&places.slots[slot.index()], Some(cmdline.manifest.as_deref()?))
    });
    SystemTime::UNIX_EPOCH
        + manifest
            .map(|manifest| Duration::from_secs(manifest.created))
            .unwrap_or_default()
}

/// PID 1 is told to stop by signals, too: by the kernel at Ctrl-Alt-Del, by an emulator's or container's owner.
async fn signals(power: Power) -> Result<(), String> {
    let listen =
        |kind: SignalKind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let mut shutdown = listen(SignalKind::terminate())?;
    let mut reboot = listen(SignalKind::interrupt())?;
    loop {
        let request = tokio::select! {
            // Cancel safe: a signal that is not taken stays for the next call.
            _ = shutdown.recv() => Stop::Shutdown,
            // Cancel safe, likewise.
            _ = reboot.recv() => Stop::Reboot,
        };
        power.request(request);
    }
}
