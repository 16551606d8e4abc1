//! Makes the certificate, and puts it into service.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use clock::Restored;
use machine_config::MachineConfig;
use pki::{Authority, Issued, NodeClock, ServerTls, Serving, authority};
use state::kinds::certificate::ID;
use state::kinds::{
    CertificateStatus, ComponentCertificate, ConfigStatus, HostNameStatus, NODE, NetworkStatus, OwnerStatus,
    TimeStatus,
};
use state::{Action, Controller, ControllerError, Resource as _, Store, chain};
use sys::clock::Clock;

use super::plan::{Desired, Facts, Span, desired};

const NAME: &str = "certificate";
/// How often it is looked whether the certificate is due. When our own controller sets the clock this is noticed at
/// once; what others do to it, such as a time server in a container, shows only in this way.
const LOOK: Duration = Duration::from_secs(60);
/// The certificate's common name; what it is for stands in its alternative names.
const NODE_NAME: &str = "Bedplate node";
/// The certificate that a control plane signs for a node without the authority's key.
const JOINED: &str = "bedplate/api";
/// What is said when nobody can believe the certificate any more.
const EXPIRED: &str = "machine.ca has expired: apply a config with another CA";
/// What the config's authority is called in errors.
const CA: &str = "machine.ca";

/// Keeps the API's certificate true, and swaps it in while the API serves. Sole owner of `CertificateStatus`.
pub struct CertificateController {
    tls: Arc<ServerTls>,
    trust: Arc<NodeClock>,
    restored: Restored,
    clock: Box<dyn Clock>,
    made: Option<Made>,
}

/// A certificate that was put into service.
struct New {
    issued: Issued,
    mutual: bool,
    signed: bool,
    /// When it may stay in service.
    stays: Span,
    /// What is wrong with it.
    problem: Option<String>,
}

impl New {
    /// One that nobody but the node has signed.
    fn vouchless(issued: Issued, mutual: bool) -> Self {
        New {
            issued,
            mutual,
            signed: false,
            stays: Span::endless(),
            problem: None,
        }
    }
}

/// What is in service.
struct Made {
    desired: Desired,
    stays: Span,
}

impl CertificateController {
    /// Keeps the certificate of `tls`, dated by what `trust` knows of the time.
    /// `restored` is what the clock started from.
    pub fn new(
        tls: Arc<ServerTls>,
        trust: Arc<NodeClock>,
        restored: Restored,
        clock: Box<dyn Clock>,
    ) -> Self {
        Self {
            tls,
            trust,
            restored,
            clock,
            made: None,
        }
    }

    fn make(&self, store: &Store, desired: &Desired, now: SystemTime) -> Result<Option<New>, pki::Error> {
        Ok(Some(match desired {
            Desired::Nothing => {
                self.tls.set(None);
                return Ok(None);
            }
            Desired::Maintenance => {
                let issued = authority::maintenance(&[])?;
                self.tls.set(Some(Serving::maintenance(&issued)?));
                New::vouchless(issued, false)
            }
            Desired::Locked { authorities } => self.reachable(authorities.iter())?,
            Desired::Mutual {
                authorities, names, ..
            } => match self.mutual(store, authorities, names, now) {
                Ok(new) => new,
                // Otherwise nobody could reach the node to repair it.
                Err(error) => {
                    let last = store.get::<OwnerStatus>(NODE).and_then(|owner| owner.authorities);
                    let new = self.reachable([authorities].into_iter().chain(&last))?;
                    let error = chain(&error);
                    tracing::error!("cannot create the API's certificate: {error}");
                    New {
                        problem: Some(format!("cannot create the API's certificate: {error}")),
                        ..new
                    }
                }
            },
        }))
    }

    /// Serves as the config says.
    fn mutual(
        &self,
        store: &Store,
        authorities: &str,
        names: &[String],
        now: SystemTime,
    ) -> Result<New, pki::Error> {
        let config = store.get::<MachineConfig>(NODE);
        let key = config.and_then(|config| config.machine.ca.key);
        let new = match key {
            Some(key) => {
                let authority = Authority::from_pem(authorities, key.expose(), CA)?;
                // The authority exists: that much time has certainly passed.
                self.trust.raise_floor(authority.validity().not_before);
                let planned = self.trust.plan(now);
                let validity = planned.within(authority.validity());
                let issued = authority.issue_server(NODE_NAME, names, validity)?;
                New {
                    signed: true,
                    stays: Span::of(validity, planned),
                    ..New::vouchless(issued, true)
                }
            }
            None => match self.joined(store, authorities, now) {
                Some(issued) => New {
                    signed: true,
                    ..New::vouchless(issued, true)
                },
                None => New::vouchless(authority::unjoined(names)?, true),
            },
        };
        self.tls.set(Some(Serving::mutual(
            authorities,
            &new.issued,
            self.trust.clone(),
        )?));
        Ok(new)
    }

    /// Returns the certificate that a control plane has signed, while it is good.
    fn joined(&self, store: &Store, authorities: &str, now: SystemTime) -> Option<Issued> {
        let held: ComponentCertificate = store.get(JOINED)?;
        let issued = Issued::from_pem(
            &held.certificate,
            held.key.expose(),
            authorities,
            "the node's certificate",
        );
        let issued = issued
            .inspect_err(|error| tracing::warn!("{}", chain(error)))
            .ok()?;
        (issued.certificate.details().not_after > self.trust.now(now)).then_some(issued)
    }

    /// Serves with a certificate that nobody vouches for, to clients of the first of these authorities that is one. Without
    /// any the node can be looked at, and no more.
    fn reachable<'a>(&self, authorities: impl Iterator<Item = &'a String>) -> Result<New, pki::Error> {
        let issued = authority::locked()?;
        let mut usable = authorities
            .filter_map(|authorities| Serving::mutual(authorities, &issued, self.trust.clone()).ok());
        let (serving, mutual) = match usable.next() {
            Some(serving) => (serving, true),
            None => (Serving::locked(&issued)?, false),
        };
        self.tls.set(Some(serving));
        Ok(New::vouchless(issued, mutual))
    }
}

#[async_trait]
impl Controller for CertificateController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ConfigStatus::KIND,
            OwnerStatus::KIND,
            NetworkStatus::KIND,
            HostNameStatus::KIND,
            TimeStatus::KIND,
            ComponentCertificate::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[CertificateStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        // A clock that followed a true one stays good enough for dates, even when its servers are lost.
        if store
            .get::<TimeStatus>(state::kinds::NODE)
            .is_some_and(|time| time.synchronised)
        {
            self.trust.set_synchronised(true);
        }
        let network: NetworkStatus = store.get(NODE).unwrap_or_default();
        let hostname = store.get::<HostNameStatus>(NODE);
        let facts = Facts {
            hostname: hostname.map(|status| status.name.to_string()).unwrap_or_default(),
            addresses: network.addresses.iter().map(ToString::to_string).collect(),
            synchronised: self.trust.is_synchronised(),
            joined: store
                .get::<ComponentCertificate>(JOINED)
                .map(|held| held.certificate),
        };
        let status = store.get::<ConfigStatus>(NODE);
        let config = store.get::<MachineConfig>(NODE);
        let owner = store.get::<OwnerStatus>(NODE);
        let desired = desired(status.as_ref(), config.as_ref(), owner.as_ref(), facts);
        self.trust
            .raise_floor(self.restored.passed(self.clock.since_boot()));
        let system = self.clock.now();
        let now = self.trust.now(system);
        if self
            .made
            .as_ref()
            .is_some_and(|made| made.desired == desired && made.stays.contains(now))
        {
            return Ok(Action::After(LOOK));
        }
        let Some(new) = self.make(store, &desired, system)? else {
            self.made = None;
            store.remove::<CertificateStatus>(NAME, ID)?;
            return Ok(Action::WaitForChange);
        };
        let certificate = &new.issued.certificate;
        let expired = self.trust.now(system) >= certificate.details().not_after;
        if expired {
            tracing::error!("{EXPIRED}");
        }
        tracing::info!("the API's certificate is {}", certificate.fingerprint());
        let stays = new.stays;
        store.put(NAME, ID, describe(new, expired))?;
        self.made = Some(Made { desired, stays });
        Ok(Action::After(LOOK))
    }
}

fn describe(new: New, expired: bool) -> CertificateStatus {
    let details = new.issued.certificate.details();
    let seconds = |moment: SystemTime| {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    };
    let fingerprint = new.issued.certificate.fingerprint().to_string();
    let reach = format!("use bedplate --fingerprint {fingerprint}");
    let unjoined = new.mutual && !new.signed && details.name == authority::UNJOINED_NAME;
    let problem = match new.problem {
        Some(problem) if new.mutual => Some(format!("{problem}; {reach}")),
        None if expired => Some(format!(
            "{EXPIRED}, with bedplate --fingerprint {fingerprint} apply"
        )),
        problem => problem,
    };
    CertificateStatus {
        mutual: new.mutual,
        signed: new.signed,
        fingerprint,
        names: details.alternative_names.clone(),
        not_before: seconds(details.not_before),
        not_after: seconds(details.not_after),
        remark: unjoined.then(|| format!("until this worker has joined, {reach}")),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use clock::Bounds;
    use machine_config::v1alpha1::Role;
    use machine_config::{MachineConfig, Secret};
    use pki::Secrets;
    use state::kinds::TimeFrom;
    use state::kinds::clock::Origin;
    use state::kinds::config::{Phase, Source};
    use state::testkit::settle_one;
    use sys::clock::RecordingClock;

    use super::*;

    const START: u64 = 1_800_000_000;

    fn moment(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    struct Bench {
        store: Store,
        clock: Arc<RecordingClock>,
        tls: Arc<ServerTls>,
        controller: CertificateController,
    }

    fn bench(now: u64) -> Bench {
        let (clock, tls) = (
            Arc::new(RecordingClock::at(moment(now))),
            Arc::new(ServerTls::new()),
        );
        let trust = Arc::new(NodeClock::new());
        let restored = Restored {
            source: TimeFrom::Rtc,
            bounds: Bounds::of_image(moment(START - 86400)),
            passed: moment(START - 86400),
            at: Duration::ZERO,
        };
        let system = Box::new(clock.clone());
        Bench {
            store: Store::new(),
            tls: tls.clone(),
            controller: CertificateController::new(tls, trust, restored, system),
            clock,
        }
    }

    impl Bench {
        fn phase(&self, phase: Phase) {
            let status = ConfigStatus {
                phase,
                generation: 0,
                pending: None,
                problems: vec![],
            };
            self.store.put("config", NODE, status).unwrap();
        }

        fn configure(&self, role: Role) -> Secrets {
            let secrets = Secrets::generate(moment(START)).unwrap();
            let mut config: MachineConfig = state::testkit::config();
            config.machine.role = role;
            config.machine.ca.cert = secrets.authority.certificate_pem().parse().unwrap();
            let key = Secret::new(secrets.authority.key_pem().as_str());
            config.machine.ca.key = role.holds_ca_key().then_some(key);
            self.store.put("config", NODE, config).unwrap();
            self.phase(Phase::Running {
                source: Source::State,
            });
            secrets
        }

        fn synchronise(&self) {
            let status = TimeStatus {
                synchronised: true,
                source: TimeFrom::Ntp,
                server: None,
                offset_nanos: 0,
                last_sync_unix: None,
                servers: vec![],
                servers_from: Origin::Default,
                reason: None,
            };
            self.store.put("time", state::kinds::NODE, status).unwrap();
        }

        async fn run(&mut self) -> CertificateStatus {
            settle_one(&self.store, &mut self.controller).await.unwrap();
            self.store.get(ID).unwrap()
        }
    }

    #[tokio::test]
    async fn nothing_then_maintenance_then_the_cluster() {
        let mut bench = bench(START);
        settle_one(&bench.store, &mut bench.controller).await.unwrap();
        assert!(bench.tls.current().is_none());
        bench.phase(Phase::Maintenance);
        let first = bench.run().await;
        assert!(!first.mutual && !first.signed);
        assert_eq!(bench.run().await, first, "its fingerprint stands on the console");
        bench.configure(Role::Standalone);
        let second = bench.run().await;
        assert!(second.mutual && second.signed);
        assert!(second.names.contains(&"127.0.0.1".to_owned()));
        assert_eq!(
            bench.tls.current().unwrap().fingerprint.to_string(),
            second.fingerprint
        );
    }

    impl Bench {
        fn own(&self, authorities: Option<&str>) {
            let owner = OwnerStatus {
                owned: true,
                authorities: authorities.map(str::to_owned),
            };
            self.store.put("config", NODE, owner).unwrap();
        }

        fn mode(&self) -> (pki::Mode, Option<pki::Trusted>) {
            let serving = self.tls.current().unwrap();
            (serving.mode, serving.trust.clone())
        }
    }

    #[tokio::test]
    async fn a_locked_node_asks_for_its_last_owner_or_shows_its_state_only() {
        let mut bench = bench(START);
        bench.phase(Phase::Locked {
            reason: "damaged".into(),
        });
        for lost in [None, Some("no certificate")] {
            bench.own(lost);
            let status = bench.run().await;
            assert!(!status.mutual && !status.signed);
            assert_eq!(bench.mode(), (pki::Mode::Locked, None), "and never maintenance");
        }
        let authority = Authority::generate("home", moment(START)).unwrap();
        bench.own(Some(authority.certificate_pem()));
        let status = bench.run().await;
        assert!(status.mutual && !status.signed);
        let (mode, trust) = bench.mode();
        assert_eq!(mode, pki::Mode::Mutual);
        assert!(trust.is_some());
    }

    #[tokio::test]
    async fn where_no_certificate_can_be_made_the_node_stays_reachable_and_says_why() {
        let mut bench = bench(START);
        bench.configure(Role::Standalone);
        let other = Authority::generate("other", moment(START)).unwrap();
        bench.own(Some(other.certificate_pem()));
        let mut config: MachineConfig = bench.store.get(NODE).unwrap();
        config.machine.ca.key = Some(Secret::new(other.key_pem().as_str()));
        bench.store.put("config", NODE, config.clone()).unwrap();
        let status = bench.run().await;
        let remark = status.problem.unwrap();
        assert!(remark.contains("belongs to another certificate"), "{remark}");
        assert!(remark.ends_with(&status.fingerprint), "{remark}");
        let own = bench.mode();
        assert_eq!(own.0, pki::Mode::Mutual, "clients of the config's own authority");

        config.machine.ca.cert = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
            .parse()
            .unwrap();
        bench.store.put("config", NODE, config).unwrap();
        assert!(bench.run().await.mutual);
        assert_eq!(bench.mode().0, pki::Mode::Mutual);
        assert_ne!(bench.mode().1, own.1, "clients of the last one that was good");
    }

    #[tokio::test]
    async fn is_renewed_before_half_its_life_is_over() {
        let mut bench = bench(START);
        bench.configure(Role::ControlPlane);
        bench.synchronise();
        let first = bench.run().await;
        assert_eq!(first.not_after, START + 86400);
        bench.clock.advance(Duration::from_secs(11 * 3600));
        assert_eq!(bench.run().await, first);
        bench.clock.advance(Duration::from_secs(3600));
        let second = bench.run().await;
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(second.not_after, START + 86400 + 12 * 3600);
    }

    #[tokio::test]
    async fn a_clock_in_1970_dates_nothing() {
        let mut bench = bench(5);
        bench.configure(Role::Standalone);
        let blind = bench.run().await;
        assert!(
            blind.not_before >= START - 3600,
            "not before the authority existed: {}",
            blind.not_before
        );
        assert!(
            blind.not_after > START + 365 * 86400,
            "valid until the time is known"
        );
        bench.clock.set(moment(START + 40 * 86400)).unwrap();
        bench.synchronise();
        assert_eq!(bench.run().await.not_after, START + 41 * 86400);
    }

    #[tokio::test]
    async fn a_clock_in_2099_dates_nothing_either() {
        let mut bench = bench(4_080_000_000);
        bench.configure(Role::Standalone);
        let blind = bench.run().await;
        assert_eq!(blind.not_before, START - 3600, "the authority's first day");
        assert!(blind.not_after < START + 11 * 365 * 86400);
        bench.clock.advance(Duration::from_secs(86400));
        assert_eq!(bench.run().await, blind, "and it stays");
        bench.clock.set(moment(START + 2 * 86400)).unwrap();
        bench.synchronise();
        assert_eq!(bench.run().await.not_after, START + 3 * 86400);
    }

    #[tokio::test]
    async fn a_clock_that_was_ahead_for_a_moment_locks_nobody_out() {
        let mut bench = bench(START);
        bench.configure(Role::Standalone);
        bench.synchronise();
        bench.run().await;
        let month = Duration::from_secs(30 * 86400);
        bench.clock.set(moment(START) + month).unwrap();
        let ahead = bench.run().await;
        assert!(ahead.not_before > START + 86400);
        bench.clock.set(moment(START + 100)).unwrap();
        let back = bench.run().await;
        assert!(
            back.not_before <= START + 100 && START + 100 < back.not_after,
            "{back:?}"
        );
        assert_eq!(
            bench.tls.current().unwrap().fingerprint.to_string(),
            back.fingerprint,
            "it is in service"
        );
    }

    #[tokio::test]
    async fn an_authority_that_has_expired_is_told_and_its_certificate_stays() {
        let mut bench = bench(START + 11 * 365 * 86400);
        bench.configure(Role::Standalone);
        bench.synchronise();
        let status = bench.run().await;
        assert!(status.not_before <= status.not_after, "{status:?}");
        assert!(
            status
                .problem
                .as_deref()
                .unwrap()
                .starts_with("machine.ca has expired"),
            "{status:?}"
        );
        bench.clock.advance(Duration::from_secs(86400));
        assert_eq!(bench.run().await, status, "another would be no better");
    }

    #[tokio::test]
    async fn a_worker_serves_with_what_a_control_plane_has_signed_while_that_is_good() {
        let mut bench = bench(START);
        let authority = bench.configure(Role::Worker).authority;
        bench.synchronise();
        assert!(!bench.run().await.signed);
        let names = ["node1", "192.0.2.7"].map(str::to_owned);
        let sign = |authority: &Authority, days: u64| {
            let from = moment(START) - Duration::from_secs(days * 86400);
            let validity = pki::Validity::starting(from, authority::SERVER_LIFE);
            let issued = authority.issue_server(NODE_NAME, &names, validity).unwrap();
            ComponentCertificate {
                certificate: issued.pem.clone(),
                key: Secret::new(issued.key.to_pem().as_str()),
                names: names.to_vec(),
                not_before: 0,
                not_after: 0,
            }
        };
        let away = Authority::generate("away", moment(START)).unwrap();
        let (good, useless) = (sign(&authority, 0), [sign(&authority, 2), sign(&away, 0)]);
        bench.store.put("cluster-join", JOINED, good).unwrap();
        let status = bench.run().await;
        assert!(
            status.mutual && status.signed && status.remark.is_none(),
            "{status:?}"
        );
        assert_eq!(status.names, names);
        for useless in useless {
            bench.store.put("cluster-join", JOINED, useless).unwrap();
            let status = bench.run().await;
            assert!(
                status.mutual && !status.signed && status.remark.is_some(),
                "{status:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_worker_asks_for_client_certificates_though_nobody_vouches_for_its_own() {
        let mut bench = bench(START);
        bench.configure(Role::Worker);
        let status = bench.run().await;
        assert!(status.mutual && !status.signed);
        assert!(
            status.remark.unwrap().ends_with(&status.fingerprint),
            "the console shows it"
        );
    }
}
