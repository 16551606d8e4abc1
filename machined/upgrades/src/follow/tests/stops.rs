//! A stop counts until the node restarts.

use state::kinds::upgrade::Mode;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backend::{StartUpgrade, UpgradeSource, Upgrades as _};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Window;
use machine_config::value::Period;
use rollout::Rollout;
use slots::{Slot, SlotState};
use state::kinds::RolloutState;
use state::kinds::upgrade::Stage;

use super::field::{BEGINS, Field, HOUR, INTERVAL};
use crate::history::Outcome;
use crate::tests::bench;
use crate::tests::bench::{manifest_of, on_trial, recipe};

/// For so long a look counts, and a little longer.
const LATER: Duration = Duration::from_secs(61);

/// Sets a maintenance window of an hour.
fn open_at(field: &Field, start: &str) {
    let id = state::kinds::NODE;
    let mut config: MachineConfig = field.node.store.get(id).unwrap();
    config.machine.upgrades.window = Some(Window {
        days: Vec::new(),
        start: start.parse().unwrap(),
        duration: Period::seconds(3600),
    });
    field.node.store.put("config", id, config).unwrap();
}

/// A node whose upgrade is written at 14:10 or so, and waits for its window at 16:00.
async fn waiting() -> Field {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    open_at(&field, "16:00");
    field.publish(&field.rollout(1));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.node.ended().await;
    field.node.keep().await;
    assert_eq!(field.node.handle.shared.published.status().stage, Stage::Waiting);
    field
}

fn is_armed(field: &Field) -> bool {
    field.disk.record().slot(Slot::B) != SlotState::Empty || field.node.power.requested().is_some()
}

/// It looks because it is about to restart, and does not, for this reason.
async fn is_held(field: &mut Field, why: &str) {
    field.looks_when_asked().await;
    field.node.keep().await;
    let message = field.message();
    assert!(message.contains(why) && !is_armed(field), "{message}");
}

/// A newer version goes on, and it restarts into the release.
async fn is_let_go(field: &mut Field) {
    field.publish(&field.rollout(3));
    field.look().await;
    field.node.keep().await;
    field.node.restarts().await;
    assert!(on_trial(field.disk.record(), Slot::B));
}

#[tokio::test]
async fn in_a_window_a_stop_counts_until_the_node_restarts() {
    let mut field = waiting().await;
    field.publish(&field.stopped(2));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.node.keep().await;
    assert!(
        field.message().contains("is stopped: batch 7"),
        "{}",
        field.message()
    );

    // It restarts for another reason, and the window opens: what was seen before the restart does not count.
    field.restart(Slot::A);
    open_at(&field, "16:00");
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    assert!(
        field.message().contains("yet to be polled"),
        "{}",
        field.message()
    );
    is_held(&mut field, "is stopped: batch 7").await;
    is_let_go(&mut field).await;
}

#[tokio::test]
async fn a_stop_that_was_published_after_the_last_look_is_seen_when_the_window_opens() {
    let mut field = waiting().await;
    field.publish(&field.stopped(2));
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    assert!(!is_armed(&field), "the last look is two hours old");
    is_held(&mut field, "is stopped: batch 7").await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_in_the_window_arms_nothing() {
    let mut field = waiting().await;
    field.unpublish();
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    is_held(&mut field, "too early").await;
    // It is looked again soon, for a window passes.
    field.publish(&field.rollout(1));
    field.node.clock.advance(LATER);
    field.node.keep().await;
    field.looks_when_asked().await;
    field.node.keep().await;
    field.node.restarts().await;
}

#[tokio::test]
async fn a_document_that_ended_before_the_window_opens_arms_nothing() {
    let mut field = waiting().await;
    // Somebody shows what was published before a stop, forever.
    let bounded = Rollout {
        ends: Some(BEGINS.after(3 * 3600)),
        ..field.rollout(2)
    };
    field.publish(&bounded);
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    is_held(&mut field, "it ended at").await;
    is_let_go(&mut field).await;
}

#[tokio::test]
async fn without_a_window_a_stop_counts_as_well() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.rollout(1));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.node.ended().await;
    field.publish(&field.stopped(2));
    field.node.clock.advance(LATER);
    field.node.keep().await;
    assert!(!is_armed(&field), "what it read before it began is old");
    is_held(&mut field, "is stopped: batch 7").await;
    is_let_go(&mut field).await;
}

#[tokio::test]
async fn what_a_power_cut_interrupted_is_not_begun_again_while_it_is_stopped() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.rollout(1));
    field.web.down.store(true, Ordering::SeqCst);
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.node.power.request(node::power::Stop::Reboot);
    while field.node.handle.busy().await.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    field.web.down.store(false, Ordering::SeqCst);
    field.publish(&field.stopped(2));

    field.restart(Slot::A);
    field.node.keep().await;
    assert_eq!(field.node.handle.busy().await, None);
    field.looks_when_asked().await;
    field.node.keep().await;
    assert_eq!(field.node.handle.busy().await, None, "it is stopped");
    assert!(
        field.message().contains("is stopped: batch 7"),
        "{}",
        field.message()
    );
    field.publish(&field.rollout(3));
    field.node.clock.advance(INTERVAL);
    field.look().await;
    field.node.keep().await;
    field.arms().await;
    assert_eq!(field.node.handle.shared.history.entries().len(), 1);
}

#[tokio::test]
async fn a_rollout_of_another_release_takes_the_place_of_what_waits() {
    let mut field = waiting().await;
    let mut next = field.rollout(1);
    next.id = "test-0.3.0".into();
    next.seed = "seed".into();
    let third = recipe("0.3.0", 3, &field.signer).build(&field.signer);
    next.bundle.manifest = manifest_of(&third);
    next.bundle.version = "0.3.0".parse().unwrap();
    next.begins = next.begins.map(|begins| begins.after(3 * 3600));
    field.publish(&next);
    field.look().await;
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    assert!(
        field.message().contains("test-0.3.0 is for another release"),
        "{}",
        field.message()
    );
    assert!(!is_armed(&field));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    let entries = field.node.handle.shared.history.entries();
    assert_eq!(
        (entries.len(), entries[1].outcome, entries[1].cause.as_str()),
        (2, Some(Outcome::Failed), "it was replaced by another upgrade")
    );
}

#[tokio::test]
async fn what_cannot_be_written_down_is_neither_begun_nor_armed() {
    let mut field = Field::start();
    field.publish(&field.rollout(1));
    field.look().await;
    let state = field.disk.path("state");
    std::fs::remove_dir_all(&state).unwrap();
    field.node.clock.advance(2 * HOUR);
    let status = field.look().await;
    assert!(
        status.state == RolloutState::Waiting && status.why.contains("history of upgrades"),
        "{status:?}"
    );
    assert_eq!(field.node.handle.busy().await, None);

    let mut field = waiting().await;
    std::fs::remove_dir_all(field.disk.path("state")).unwrap();
    field.node.clock.advance(2 * HOUR);
    field.node.keep().await;
    field.looks_when_asked().await;
    field.node.keep().await;
    let reason = field.node.handle.shared.published.status().reason;
    assert!(
        reason.contains("history of upgrades") && !is_armed(&field),
        "{reason}"
    );
}

#[tokio::test]
async fn what_a_person_began_and_cancelled_is_not_begun_again() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    let start = bench::start(UpgradeSource::Url(field.rollout(1).bundle.url), Mode::Now);
    let start = StartUpgrade {
        rate_limit: NonZeroU64::new(100_000),
        ..start
    };
    field.node.handle.start(start, None).await.unwrap();
    while field.node.handle.shared.published.status().to_version.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    field.node.handle.cancel().await.unwrap();
    field.publish(&field.rollout(1));
    let status = field.look().await;
    assert!(
        status.state == RolloutState::Over && status.why.contains("cancelled here"),
        "{status:?}"
    );
}
