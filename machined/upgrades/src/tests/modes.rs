//! When the node restarts, and how that is cancelled.

use state::kinds::upgrade::Mode;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use api::v1alpha1::{UpgradeOutcome, UpgradeStage};
use backend::{BackendError, PushError, PushedBundle, UpgradeSource, Upgrades as _};
use machine_config::v1alpha1::Window;
use machine_config::value::Period;
use node::power::Stop;
use slots::{Slot, SlotState};
use state::Action;
use state::kinds::TrialStatus;
use state::kinds::upgrade::Stage;

use super::bench::{Disk, Node, on_trial, recipe, signer, start};
use super::web::Web;
use crate::history::{Entry, Outcome};

fn window(start: &str) -> Window {
    Window {
        days: Vec::new(),
        start: start.parse().unwrap(),
        duration: Period::seconds(3600),
    }
}

#[tokio::test]
async fn a_plan_changes_nothing() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let before = std::fs::read(disk.path("b")).unwrap();
    let record = disk.record();
    node.push_with(&new.bundle, Mode::Window, |start| start.plan_only = true)
        .await
        .unwrap();
    let status = node.ended().await;
    let plan = status.plan.clone().unwrap();
    assert_eq!(
        (status.stage(), plan.to_version.as_str()),
        (UpgradeStage::Idle, "0.2.0")
    );
    assert!(plan.fetch_bytes > 0 && plan.write_blocks > 0 && plan.findings.is_empty());
    let parts: Vec<&str> = plan.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(parts, ["vmlinuz", "initramfs.cpio", "root.erofs"]);
    assert!(std::fs::read(disk.path("b")).unwrap() == before && disk.record() == record);
    assert!(node.handle.history().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_staged_upgrade_waits_for_a_restart_and_can_be_taken_back() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let id = node.push(&new.bundle, Mode::Staged).await.unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Armed);
    assert_eq!(node.power.requested(), None);
    assert!(on_trial(disk.record(), Slot::B));
    let refused = node.push(&new.bundle, Mode::Now).await.unwrap_err();
    assert!(refused.to_string().contains("armed"), "{refused}");
    assert!(
        node.handle
            .rollback()
            .await
            .unwrap_err()
            .to_string()
            .contains("armed")
    );

    assert_eq!(node.handle.cancel().await.unwrap(), id);
    let record = disk.record();
    assert_eq!(
        (record.slot(Slot::B), record.preferred),
        (SlotState::Empty, Slot::A)
    );
    assert_eq!(
        node.handle.history().await.unwrap()[0].outcome(),
        UpgradeOutcome::Cancelled
    );
    let status = node.handle.status().borrow().clone();
    assert_eq!(
        (status.stage(), status.reason.as_str()),
        (UpgradeStage::Idle, "it was cancelled")
    );
    let nothing = node.handle.cancel().await.unwrap_err();
    assert!(matches!(nothing, BackendError::Refused(_)), "{nothing}");
    // What was written stays: the next time nothing is fetched but what tells so.
    node.push(&new.bundle, Mode::Staged).await.unwrap();
    let status = node.ended().await;
    assert_eq!(status.written_bytes, 0);
    assert!(status.fetched_bytes < 100_000, "{}", status.fetched_bytes);
}

#[tokio::test]
async fn a_window_is_waited_for_over_a_restart() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let mut node = Node::start(&disk, Slot::A);
    let refused = node.push(&new.bundle, Mode::Window).await.unwrap_err();
    assert!(
        refused.to_string().contains("machine.upgrades.window"),
        "{refused}"
    );

    node.configure(|config| config.machine.upgrades.window = Some(window("13:00")));
    let id = node.push(&new.bundle, Mode::Window).await.unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Waiting);
    assert!(disk.holds(Slot::B, &new) && disk.record().slot(Slot::B) == SlotState::Empty);
    assert!(matches!(node.keep().await, Action::After(_)));
    let status = node.handle.status().borrow().clone();
    assert_eq!(status.next_window_unix_ms, 1_793_624_400_000);
    assert!(node.push(&new.bundle, Mode::Now).await.is_err());

    let mut node = Node::start(&disk, Slot::A);
    node.configure(|config| config.machine.upgrades.window = Some(window("13:00")));
    node.keep().await;
    let status = node.handle.status().borrow().clone();
    assert_eq!(
        (status.stage(), status.id.as_str(), status.to_version.as_str()),
        (UpgradeStage::Waiting, id.as_str(), "0.2.0")
    );
    node.clock.advance(std::time::Duration::from_secs(3600));
    node.set_synchronised(false);
    node.keep().await;
    assert!(node.handle.status().borrow().message.contains("clock"));
    node.set_synchronised(true);
    node.set_health("unhealthy: containerd");
    node.keep().await;
    assert!(node.handle.status().borrow().message.contains("unhealthy"));
    assert_eq!(disk.record().slot(Slot::B), SlotState::Empty);
    node.set_health("");
    node.keep().await;
    node.restarts().await;
    assert!(on_trial(disk.record(), Slot::B));
    assert_eq!(node.handle.status().borrow().stage(), UpgradeStage::Rebooting);
}

#[tokio::test]
async fn what_is_cancelled_when_its_window_opens_is_not_armed() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let mut node = Node::start(&disk, Slot::A);
    node.configure(|config| config.machine.upgrades.window = Some(window("12:00")));
    node.push(&new.bundle, Mode::Window).await.unwrap();
    node.ended().await;
    let handle = node.handle.clone();
    let cancelled = async move {
        while handle.shared.history.entries()[0].stage == Stage::Waiting {
            tokio::task::yield_now().await;
        }
        handle.cancel().await
    };
    let (_, cancelled) = tokio::join!(node.keep(), cancelled);
    // It came too late, and says so.
    assert!(cancelled.unwrap_err().to_string().contains("already restarting"));
    node.restarts().await;
    assert!(on_trial(disk.record(), Slot::B));
    assert_eq!(node.handle.shared.history.entries()[0].outcome, None);
}

#[tokio::test]
async fn what_waits_for_a_window_is_not_armed_when_its_slot_was_touched() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let mut node = Node::start(&disk, Slot::A);
    node.configure(|config| config.machine.upgrades.window = Some(window("12:00")));
    node.push(&new.bundle, Mode::Window).await.unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Waiting);
    disk.put(Slot::B, &recipe("0.3.0", 3, &signer).build(&signer));
    node.keep().await;
    let status = node.handle.status().borrow().clone();
    assert!(
        status.reason.contains("no longer holds 0.2.0"),
        "{}",
        status.reason
    );
    assert_eq!(disk.record().slot(Slot::B), SlotState::Empty);
    assert_eq!(node.power.requested(), None);
}

/// A client that answers only when it is told to.
struct Slow {
    bundle: Vec<u8>,
    asked: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

impl PushedBundle for Slow {
    fn length(&self) -> u64 {
        self.bundle.len() as u64
    }
    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
        // Nobody may listen.
        let _unheard = self.asked.send(());
        self.go_on.recv().map_err(|_| PushError::Gone)?;
        let start = usize::try_from(offset).unwrap();
        Ok(self.bundle[start..start + length as usize].to_vec())
    }
}

#[tokio::test]
async fn one_at_a_time_and_cancelled_in_the_middle() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let node = Node::start(&disk, Slot::A);
    let ((tell, go_on), (asked, is_asked)) = (mpsc::channel(), mpsc::channel());
    let bundle = new.bundle.clone();
    let source = UpgradeSource::Pushed {
        length: bundle.len() as u64,
    };
    let client = Box::new(Slow { bundle, asked, go_on });
    let id = node
        .handle
        .start(start(source, Mode::Now), Some(client))
        .await
        .unwrap();
    while is_asked.try_recv().is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let refused = node.push(&new.bundle, Mode::Now).await.unwrap_err();
    assert!(refused.to_string().contains(&id), "{refused}");
    let handle = node.handle.clone();
    let cancelling = tokio::spawn(async move { handle.cancel().await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!cancelling.is_finished(), "nothing of it may go on by then");
    tell.send(()).unwrap();
    assert_eq!(cancelling.await.unwrap().unwrap(), id);
    let status = node.handle.status().borrow().clone();
    assert_eq!(status.stage(), UpgradeStage::Idle);
    assert!(!on_trial(disk.record(), Slot::B));
    assert_eq!(
        node.handle.history().await.unwrap()[0].outcome(),
        UpgradeOutcome::Cancelled
    );
    // And it is free again.
    node.push(&new.bundle, Mode::Now).await.unwrap();
    node.restarts().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_upgrade() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let new = recipe("0.2.0", 2, &signer).build(&signer);
    let disk = Disk::with(&old);
    let mut node = Node::start(&disk, Slot::A);
    let ((_, go_on), (asked, _)) = (mpsc::channel(), mpsc::channel());
    let source = UpgradeSource::Pushed { length: 10 };
    let client = Box::new(Slow {
        bundle: new.bundle.clone(),
        asked,
        go_on,
    });
    node.handle
        .start(start(source, Mode::Now), Some(client))
        .await
        .unwrap();
    let status = node.ended().await;
    assert_eq!(status.stage(), UpgradeStage::Failed);
    assert!(
        status
            .reason
            .contains("the client that pushed the bundle has disconnected"),
        "{}",
        status.reason
    );
    node.publish(TrialStatus::None);
    node.keep().await;
    assert_eq!(
        node.handle.history().await.unwrap()[0].outcome(),
        UpgradeOutcome::Failed
    );
}

/// A node whose upgrade from a server was interrupted by a restart, after that.
async fn interrupted(disk: &Disk, url: &str, web: &Web) -> Node {
    web.down.store(true, Ordering::SeqCst);
    let node = Node::start(disk, Slot::A);
    node.fetch(url, Mode::Now).await.unwrap();
    node.power.request(Stop::Reboot);
    while node.handle.busy().await.is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    web.down.store(false, Ordering::SeqCst);
    let node = Node::start(disk, Slot::A);
    assert!(node.handle.shared.history.open_entry().is_some());
    node
}

#[tokio::test]
async fn what_was_interrupted_is_not_begun_again_after_another_took_its_place() {
    let signer = signer();
    let old = recipe("0.1.0", 1, &signer).build(&signer);
    let second = recipe("0.2.0", 2, &signer).build(&signer);
    let third = recipe("0.3.0", 3, &signer).build(&signer);
    let disk = Disk::with(&old);
    let (web, url) = Web::serve(&second.bundle);
    let mut node = interrupted(&disk, &url, &web).await;
    // A plan takes no place.
    node.push_with(&third.bundle, Mode::Now, |start| start.plan_only = true)
        .await
        .unwrap();
    node.ended().await;
    assert!(node.handle.shared.history.open_entry().is_some());
    node.push(&third.bundle, Mode::Staged).await.unwrap();
    assert_eq!(node.ended().await.stage(), UpgradeStage::Armed);
    let told = &node.handle.history().await.unwrap()[1];
    assert_eq!(
        (told.outcome(), told.cause.as_str()),
        (UpgradeOutcome::Failed, "it was replaced by another upgrade")
    );
    node.keep().await;
    assert_eq!(node.handle.busy().await, None);
}

#[tokio::test]
async fn what_was_interrupted_is_not_begun_again_after_going_back() {
    let signer = signer();
    let disk = Disk::with(&recipe("0.1.0", 1, &signer).build(&signer));
    let (web, url) = Web::serve(&recipe("0.3.0", 3, &signer).build(&signer).bundle);
    let node = interrupted(&disk, &url, &web).await;
    disk.put(Slot::B, &recipe("0.0.9", 2, &signer).build(&signer));
    disk.set_record(&disk.record().commit(Slot::B).commit(Slot::A));
    node.handle.rollback().await.unwrap();
    node.restarts().await;
    let mut node = Node::start(&disk, Slot::B);
    node.keep().await;
    assert_eq!(node.handle.busy().await, None);
    let outcomes = node.handle.shared.history.entries();
    let outcomes: Vec<_> = outcomes.iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::RolledBack), Some(Outcome::Cancelled)]);
}

#[tokio::test]
async fn what_runs_is_not_put_on_trial() {
    let signer = signer();
    let disk = Disk::with(&recipe("0.1.0", 1, &signer).build(&signer));
    let node = Node::start(&disk, Slot::A);
    let system = node.handle.system().await.unwrap();
    let entry = Entry {
        slot: Some(Slot::A),
        manifest: system.release.id(),
        ..Entry::default()
    };
    node.handle.arm(entry).await;
    let status = node.handle.status().borrow().clone();
    assert!(status.reason.contains("slot a is running"), "{}", status.reason);
    assert_eq!(disk.record().slot(Slot::A), SlotState::Committed);
}
