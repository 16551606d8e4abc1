//! Time servers that lie, the clock, and the certificate that hangs on it: all together.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use clock::{Bounds, Restored, Sample, SntpError, TimeSource, TimeSync};
use machine_config::Secret;
use machine_config::v1alpha1::Role;
use pki::{NodeClock, Secrets, ServerTls};
use state::kinds::certificate::ID;
use state::kinds::config::{Phase, Source};
use state::kinds::{CertificateStatus, ConfigStatus, NODE, NetworkStatus, TimeFrom, TimeStatus};
use state::testkit::settle_one;
use state::{Action, Controller as _, Store};
use sys::clock::{Clock, RecordingClock};

use super::CertificateController;

const START: u64 = 1_800_000_000;
const MONTH: i64 = 30 * 86_400;

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A server that tells the true time, or one that is off by some seconds.
#[derive(Clone)]
struct Server {
    clock: Arc<RecordingClock>,
    lie: Arc<AtomicI64>,
}

#[async_trait]
impl TimeSource for Server {
    async fn ask(&self, server: &str) -> Result<Sample, SntpError> {
        let truth = START + self.clock.since_boot().as_secs();
        let told = i64::try_from(truth).unwrap() + self.lie.load(Ordering::Relaxed);
        let shown = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Ok(Sample {
            server: server.to_owned(),
            offset_micros: told * 1_000_000 - i64::try_from(shown.as_micros()).unwrap(),
            delay: Duration::from_millis(5),
        })
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    clock: Arc<RecordingClock>,
    server: Server,
    time: TimeSync<Server>,
    certificate: CertificateController,
    told: Mutex<Vec<i64>>,
}

impl Bench {
    /// A machine whose clock is right, and which may believe in any time after its image.
    fn new() -> Self {
        let (dir, store) = (tempfile::tempdir().unwrap(), Store::new());
        let clock = Arc::new(RecordingClock::at(moment(START)));
        let built = moment(START - 400 * 86_400);
        let restored = Restored {
            source: TimeFrom::Rtc,
            bounds: Bounds::of_image(built),
            passed: built,
            at: Duration::ZERO,
        };
        let server = Server {
            clock: clock.clone(),
            lie: Arc::default(),
        };
        let secrets = Secrets::generate(moment(START - 90 * 86_400)).unwrap();
        let mut config = state::testkit::config();
        config.machine.role = Role::Standalone;
        config.machine.ca.cert = secrets.authority.certificate_pem().parse().unwrap();
        config.machine.ca.key = Some(Secret::new(secrets.authority.key_pem().as_str()));
        store.put("config", NODE, config).unwrap();
        let source = Source::State;
        let status = ConfigStatus {
            phase: Phase::Running { source },
            generation: 0,
            pending: None,
            problems: vec![],
        };
        store.put("config", NODE, status).unwrap();
        let ready = NetworkStatus {
            ready: true,
            ..NetworkStatus::default()
        };
        store.put("network", state::kinds::NODE, ready).unwrap();
        let (tls, trust) = (Arc::new(ServerTls::new()), Arc::new(NodeClock::new()));
        Self {
            time: TimeSync::new(server.clone(), clock.clone(), dir.path().join("clock"), restored),
            certificate: CertificateController::new(tls, trust, restored, Box::new(clock.clone())),
            _dir: dir,
            store,
            clock,
            server,
            told: Mutex::default(),
        }
    }

    /// Asks the server once, lets the certificate follow when the time's status changed, and the pause pass. Returns
    /// whether the certificate in service is valid by the true time.
    async fn round(&mut self, lie: i64) -> (bool, Duration) {
        self.server.lie.store(lie, Ordering::Relaxed);
        self.told.lock().unwrap().push(lie);
        let before = self.store.get::<TimeStatus>(state::kinds::NODE);
        let Action::After(pause) = self.time.reconcile(&self.store).await.unwrap() else {
            panic!("it always has a next time")
        };
        if self.store.get::<TimeStatus>(state::kinds::NODE) != before {
            settle_one(&self.store, &mut self.certificate).await.unwrap();
        }
        let served: CertificateStatus = self.store.get(ID).unwrap();
        let truth = START + self.clock.since_boot().as_secs();
        self.clock.advance(pause);
        ((served.not_before..served.not_after).contains(&truth), pause)
    }
}

#[tokio::test]
async fn one_answer_of_a_month_ahead_then_the_truth_locks_nobody_out() {
    let mut bench = Bench::new();
    for lie in [0, MONTH, 0, 0, -MONTH, 0] {
        assert!(bench.round(lie).await.0, "after {:?}", bench.told);
    }
    let ahead = bench.clock.now() > moment(START + 86_400);
    assert!(!ahead, "the clock stayed");
}

#[tokio::test]
async fn a_lie_that_was_believed_locks_out_for_less_than_ten_minutes_of_truth() {
    for lie in [MONTH, -MONTH] {
        let mut bench = Bench::new();
        assert!(bench.round(0).await.0);
        let mut lies = 0;
        while bench.round(lie).await.0 {
            lies += 1;
            assert!(lies < 20, "persistent lies are believed in the end");
        }
        assert!(lies >= 2, "but not at once: {lies}");
        let mut took = Duration::ZERO;
        loop {
            let (valid, pause) = bench.round(0).await;
            if valid {
                break;
            }
            took += pause;
            assert!(took < Duration::from_secs(600), "{lie}: locked out for {took:?}");
        }
    }
}
