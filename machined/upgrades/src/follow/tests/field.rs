//! A node, and a place where a rollout for it is published.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_config::v1alpha1::RolloutFeed;
use machine_config::value::Period;
use rollout::{Bundle, Moment, Rollout};
use samples::{Release, Signer};
use slots::Slot;
use state::kinds::{HostNameStatus, NODE, NameSource, RolloutStatus};
use state::{Action, Controller as _};

use crate::follow::RolloutFollower;
use crate::follow::fetch::{Ask, Fetch, Texts};
use crate::tests::bench::{Disk, NOON, Node, manifest_of, recipe, signer};
use crate::tests::web::Web;

pub const URL: &str = "https://releases.example.org/rollout.json?token=secret";
pub const INTERVAL: Duration = Duration::from_secs(600);
pub const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);
/// When the first wave opens: when the node is started.
pub const BEGINS: Moment = Moment::from_unix(NOON);

/// What is published, and who asked.
#[derive(Default)]
pub struct Published {
    texts: Mutex<Option<Texts>>,
    pub asked: AtomicU32,
}

impl Fetch for Published {
    fn fetch(&self, ask: &Ask) -> Result<Texts, remote::Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(ask.url.starts_with("https://releases.example.org/"));
        let texts = self.texts.lock().unwrap().clone();
        texts.ok_or(remote::Error::Refused {
            url: remote::shown(&ask.url),
            source: remote::Cause::Cut { missing: 9 },
        })
    }
}

/// A node that runs 0.1.0, and a bundle of 0.2.0 on a server.
pub struct Field {
    pub signer: Arc<Signer>,
    pub new: Release,
    /// Where the bundle is.
    pub web: Web,
    bundle: String,
    pub disk: Disk,
    pub node: Node,
    pub published: Arc<Published>,
    pub follower: RolloutFollower,
}

impl Field {
    /// Starts the node.
    pub fn start() -> Field {
        let signer = signer();
        let old = recipe("0.1.0", 1, &signer).build(&signer);
        let new = recipe("0.2.0", 2, &signer).build(&signer);
        let disk = Disk::with(&old);
        let (web, bundle) = Web::serve(&new.bundle);
        let published = Arc::<Published>::default();
        let (node, follower) = begin(&disk, Slot::A, &published);
        Field {
            signer,
            new,
            web,
            bundle,
            disk,
            node,
            published,
            follower,
        }
    }

    /// Starts it again, from a slot, at the time that it is.
    pub fn restart(&mut self, slot: Slot) {
        let passed = self.node.clock.now_since(NOON);
        (self.node, self.follower) = begin(&self.disk, slot, &self.published);
        self.node.clock.advance(passed);
    }

    /// The rollout of 0.2.0; the node is in its second wave, which opens an hour after the first.
    pub fn rollout(&self, serial: u64) -> Rollout {
        let bundle = Bundle {
            url: self.bundle.clone(),
            manifest: manifest_of(&self.new),
            version: "0.2.0".parse().unwrap(),
            board: "test".into(),
        };
        Rollout {
            serial,
            waves: vec![10, 100],
            pause_seconds: HOUR.as_secs(),
            begins: Some(BEGINS),
            ..Rollout::new("test-0.2.0", bundle, "seed")
        }
    }

    /// The same, stopped.
    pub fn stopped(&self, serial: u64) -> Rollout {
        Rollout {
            stopped: true,
            reason: "batch 7".into(),
            ..self.rollout(serial)
        }
    }

    /// Publishes a rollout, signed by the key of the releases.
    pub fn publish(&self, rollout: &Rollout) {
        self.publish_by(rollout, &self.signer);
    }

    /// Publishes a rollout, signed by somebody.
    pub fn publish_by(&self, rollout: &Rollout, signer: &Signer) {
        let document = rollout.to_text().unwrap().into_bytes();
        let signatures = signer.sign(&document).into_bytes();
        *self.published.texts.lock().unwrap() = Some(Texts { document, signatures });
    }

    /// Takes what is published away.
    pub fn unpublish(&self) {
        *self.published.texts.lock().unwrap() = None;
    }

    /// Lets the node look, after the interval if it is not time yet. Returns how it stands then.
    pub async fn look(&mut self) -> RolloutStatus {
        if self.step().await != Action::WaitForChange {
            self.node.clock.advance(INTERVAL);
            assert_eq!(self.step().await, Action::WaitForChange, "it looks");
        }
        self.follower_rings().await;
        self.step().await;
        self.status()
    }

    /// Lets the node look because it was asked to.
    pub async fn looks_when_asked(&mut self) {
        self.follower_rings().await;
        assert_eq!(self.step().await, Action::WaitForChange, "it looks");
        self.follower_rings().await;
        self.step().await;
    }

    /// Lets the node see its upgrade to the restart.
    pub async fn arms(&mut self) {
        self.node.ended().await;
        self.node.keep().await;
        self.node.restarts().await;
    }

    /// What is said of the upgrade.
    pub fn message(&self) -> String {
        self.node.handle.shared.published.status().message
    }

    /// Waits until a look has come to its end.
    pub async fn follower_rings(&self) {
        let bell = self.follower.wake().unwrap();
        tokio::time::timeout(PATIENCE, bell.notified()).await.unwrap();
    }

    /// The pause before the first look.
    pub fn first(&self) -> Duration {
        crate::follow::poll_interval::first(INTERVAL, rollout::position(URL, "node1"))
    }

    /// Runs the controller once.
    pub async fn step(&mut self) -> Action {
        self.follower.reconcile(&self.node.store).await.unwrap()
    }

    pub fn status(&self) -> RolloutStatus {
        self.node.store.get(NODE).unwrap()
    }

    /// Returns true if nothing was started.
    pub async fn is_idle(&self) -> bool {
        self.node.handle.busy().await.is_none() && self.node.handle.shared.history.entries().is_empty()
    }

    /// All that was told of by the follower.
    pub fn events(&self) -> Vec<String> {
        let mut reader = self.node.events.follow(None);
        let mut told = Vec::new();
        while let Some(event) = reader.try_next() {
            if event.item.source == "rollout-follower" {
                told.push(event.item.message);
            }
        }
        told
    }
}

fn begin(disk: &Disk, slot: Slot, published: &Arc<Published>) -> (Node, RolloutFollower) {
    let node = Node::start(disk, slot);
    node.configure(|config| {
        config.machine.upgrades.rollout = Some(RolloutFeed {
            url: URL.parse().unwrap(),
            interval: Period::seconds(600),
        });
    });
    // In the rollout's order its place is 3247 of 10000.
    let name = HostNameStatus {
        name: "node1".parse().unwrap(),
        source: NameSource::Config,
    };
    node.store.put("host-name", NODE, name).unwrap();
    let follower = RolloutFollower::with(node.handle.clone(), published.clone());
    (node, follower)
}

trait Passed {
    fn now_since(&self, start: u64) -> Duration;
}

impl Passed for sys::clock::RecordingClock {
    fn now_since(&self, start: u64) -> Duration {
        let start = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(start);
        sys::clock::Clock::now(self).duration_since(start).unwrap()
    }
}
