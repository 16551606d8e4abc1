//! Follows the API.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cluster_zone::Zone;
use futures::StreamExt as _;
use kube::api::{Api, ApiResource};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kubernetes_client::kube;
use kubernetes_client::{Credentials, connect};
use machine_config::Secret;
use tokio::sync::watch;

use crate::objects::{ApiService, ApiSlice, Id, Known, Namespace};
use crate::settings::{Settings, read};

/// How often the files of the certificate are compared with what is used.
const LOOK: Duration = Duration::from_secs(10);
/// The most bytes of such a file.
const LARGEST: u64 = 256 * 1024;

/// Which kinds are known as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    namespaces: bool,
    services: bool,
    slices: bool,
}

impl Progress {
    /// Tells whether all of them are.
    pub(crate) fn is_complete(self) -> bool {
        self.namespaces && self.services && self.slices
    }
}

/// Keeps the zone as the API has it, forever: with the certificate that there is, and with the next one when it is renewed.
pub(crate) async fn follow(
    settings: &Settings,
    zone: &Arc<RwLock<Zone>>,
    progress: &watch::Sender<Progress>,
) {
    let mut told = Told::default();
    loop {
        let Some(credentials) = credentials(settings) else {
            told.note("there is no certificate for the API server yet");
            tokio::time::sleep(LOOK).await;
            continue;
        };
        match connect(&credentials) {
            Ok(client) => {
                tokio::select! {
                    // Cancel safe: what was read is in the zone, and all is listed again.
                    () = follow_all(client, settings, zone, progress) => {}
                    // Cancel safe, likewise.
                    () = until_changed(settings, &credentials) => {}
                }
            }
            Err(error) => {
                told.note(&state::chain(&error));
                until_changed(settings, &credentials).await;
            }
        }
    }
}

async fn follow_all(
    client: kube::Client,
    settings: &Settings,
    zone: &Arc<RwLock<Zone>>,
    progress: &watch::Sender<Progress>,
) {
    let core = |kind, plural| resource("", "v1", kind, plural);
    let (group, version) = settings
        .endpoint_slices
        .split_once('/')
        .unwrap_or(("discovery.k8s.io", "v1"));
    let slices = resource(group, version, "EndpointSlice", "endpointslices");
    let done = |mark: fn(&mut Progress)| move || progress.send_modify(mark);
    tokio::join!(
        follow_one::<Namespace>(
            &client,
            core("Namespace", "namespaces"),
            zone,
            done(|all| all.namespaces = true)
        ),
        follow_one::<ApiService>(
            &client,
            core("Service", "services"),
            zone,
            done(|all| all.services = true)
        ),
        follow_one::<ApiSlice>(&client, slices, zone, done(|all| all.slices = true)),
    );
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: match group {
            "" => version.to_owned(),
            _ => format!("{group}/{version}"),
        },
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Follows one kind, forever. `listed` is called each time that all of them were listed.
async fn follow_one<K: Known>(
    client: &kube::Client,
    resource: ApiResource,
    zone: &Arc<RwLock<Zone>>,
    listed: impl Fn(),
) {
    let mut told = Told::default();
    let what = resource.plural.clone();
    let api: Api<K> = Api::all_with(client.clone(), &resource);
    let config = watcher::Config::default().page_size(K::PAGE);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut seen = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
                if apply(&mut zone, &mut seen, event) {
                    told = Told::default();
                    listed();
                }
            }
            // It is tried again, with growing pauses.
            Err(error) => told.note(&format!("cannot follow {what}: {}", reason(&error))),
        }
    }
}

/// Returns the innermost cause: the errors around it repeat it.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// Brings an event into the zone. Returns true when all objects were listed.
fn apply<K: Known>(zone: &mut Zone, seen: &mut BTreeSet<Id>, event: Event<K>) -> bool {
    match event {
        Event::Init => seen.clear(),
        Event::InitApply(object) => {
            seen.insert(object.id());
            object.put(zone);
        }
        Event::InitDone => {
            K::retain(zone, &std::mem::take(seen));
            return true;
        }
        Event::Apply(object) => object.put(zone),
        Event::Delete(object) => object.remove(zone),
    }
    false
}

/// Returns when the files hold other credentials than these.
async fn until_changed(settings: &Settings, used: &Credentials) {
    loop {
        tokio::time::sleep(LOOK).await;
        if credentials(settings).is_some_and(|found| found != *used) {
            return;
        }
    }
}

/// Reads the files. Returns none while one of them is missing, or is being written.
fn credentials(settings: &Settings) -> Option<Credentials> {
    let text = |path| String::from_utf8(read(path, LARGEST).ok()?).ok();
    Some(Credentials {
        api: settings.api.clone(),
        authority: text(&settings.authority)?,
        certificate: text(&settings.certificate)?,
        key: Secret::new(zeroize::Zeroizing::new(text(&settings.key)?).as_str()),
    })
}

/// What was told last: the same is not told twice.
#[derive(Default)]
struct Told(String);

impl Told {
    fn note(&mut self, text: &str) {
        if self.0 != text {
            stdio::note(text);
            text.clone_into(&mut self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_zone::ZoneConfig;
    use cluster_zone::proto::rr::{Name, RecordType};
    use cluster_zone::{Answer, Zone};
    use serde_json::json;

    use super::*;

    fn service(name: &str, address: &str) -> ApiService {
        let metadata = json!({"name": name, "namespace": "default"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"clusterIP": address}})).unwrap()
    }

    #[test]
    fn a_new_list_replaces_the_old_one_only_when_it_is_whole() {
        let mut zone = Zone::new(ZoneConfig {
            domain: Name::from_ascii("cluster.local.").unwrap(),
            dns: Vec::new(),
            pods: Vec::new(),
            services: Vec::new(),
        });
        zone.set_synced();
        let there = |zone: &Zone, name: &str| {
            let name = Name::from_ascii(format!("{name}.default.svc.cluster.local.")).unwrap();
            matches!(zone.answer(&name, RecordType::A, 0), Answer::Records(..))
        };
        let mut seen = BTreeSet::new();
        let mut feed = |zone: &mut Zone, event| apply::<ApiService>(zone, &mut seen, event);
        assert!(!feed(&mut zone, Event::Init));
        assert!(!feed(&mut zone, Event::InitApply(service("a", "10.0.0.1"))));
        assert!(!feed(&mut zone, Event::InitApply(service("b", "10.0.0.2"))));
        assert!(feed(&mut zone, Event::InitDone));
        feed(&mut zone, Event::Delete(service("b", "10.0.0.2")));
        feed(&mut zone, Event::Apply(service("c", "10.0.0.3")));
        assert!(there(&zone, "a") && !there(&zone, "b") && there(&zone, "c"));
        // The API restarts: what was known stays until all is known again.
        feed(&mut zone, Event::Init);
        feed(&mut zone, Event::InitApply(service("c", "10.0.0.3")));
        assert!(there(&zone, "a"));
        feed(&mut zone, Event::Init);
        feed(&mut zone, Event::InitApply(service("d", "10.0.0.4")));
        assert!(feed(&mut zone, Event::InitDone));
        assert!(!there(&zone, "a") && !there(&zone, "c") && there(&zone, "d"));
    }
}
