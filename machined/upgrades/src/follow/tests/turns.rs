//! A node takes its turn, and no other.

use std::sync::atomic::Ordering;

use backend::Upgrades as _;
use machine_config::value::Period;
use slots::{Reason, Slot};
use state::Action;
use state::kinds::upgrade::Mode;
use state::kinds::{RolloutState, TrialStatus};

use super::field::{Field, HOUR, INTERVAL};
use crate::tests::bench::on_trial;

#[tokio::test]
async fn a_node_begins_in_its_turn_and_is_done_when_the_release_is_kept() {
    let mut field = Field::start();
    field.publish(&field.rollout(1));
    let status = field.look().await;
    assert_eq!(status.state, RolloutState::Waiting, "{status:?}");
    let seen = status.document.unwrap();
    assert_eq!((seen.serial, seen.wave, seen.waves), (1, 2, 2));
    assert_eq!(seen.opens.unwrap().to_string(), "2026-11-02T13:00:00Z");
    assert!(field.is_idle().await);
    assert!(!status.url.contains("secret"), "{}", status.url);

    // The wave opens between two looks: only the next one begins.
    field.node.clock.advance(HOUR - INTERVAL);
    let status = field.look().await;
    assert_eq!(status.state, RolloutState::Underway, "{status:?}");
    field.arms().await;
    assert!(on_trial(field.disk.record(), Slot::B) && field.disk.holds(Slot::B, &field.new));
    let entry = field.node.handle.shared.history.entries()[0].clone();
    assert_eq!(entry.mode, Mode::Now);
    let who = field.node.events.follow(None);
    assert!(format!("{:?}", all(who)).contains("requested by rollout test-0.2.0, serial 1"));

    // The new system is on trial, then kept.
    field.restart(Slot::B);
    field.node.publish(TrialStatus::Waiting { deadline_ms: 1000 });
    assert_eq!(field.look().await.state, RolloutState::Waiting);
    field.disk.set_record(&field.disk.record().commit(Slot::B));
    field.node.publish(TrialStatus::Committed);
    field.node.keep().await;
    let status = field.look().await;
    assert_eq!(
        (status.state, status.why.as_str()),
        (RolloutState::Done, "its release is running")
    );
    assert_eq!(field.node.handle.shared.history.entries().len(), 1);
    let sentence = field.node.handle.status().borrow().rollout.clone();
    assert!(
        sentence.contains("test-0.2.0 serial 1, 0.2.0 in wave 2 of 2: its release is running"),
        "{sentence}"
    );
}

fn all(mut reader: node::logs::Reader<node::events::Event>) -> Vec<String> {
    std::iter::from_fn(|| reader.try_next().map(|event| event.item.message)).collect()
}

#[tokio::test]
async fn a_stop_is_honoured_and_may_be_lifted() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.stopped(1));
    let status = field.look().await;
    assert_eq!(
        (status.state, status.why.as_str()),
        (RolloutState::Stopped, "it is stopped: batch 7")
    );
    field.look().await;
    assert!(field.is_idle().await);
    assert_eq!(
        field.events().len(),
        1,
        "what stays the same is told once: {:?}",
        field.events()
    );

    field.publish(&field.rollout(2));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.arms().await;
}

#[tokio::test]
async fn a_stop_that_comes_before_its_wave_is_seen_at_its_wave() {
    let mut field = Field::start();
    field.publish(&field.rollout(1));
    assert_eq!(field.look().await.state, RolloutState::Waiting);
    field.publish(&field.stopped(2));
    // Whatever wakes the node in its wave, it begins by nothing that it read before.
    field.node.clock.advance(HOUR - INTERVAL);
    field.step().await;
    let status = field.status();
    assert_eq!(
        (status.state, field.is_idle().await),
        (RolloutState::Looking, true)
    );
    field.follower_rings().await;
    field.step().await;
    assert_eq!(
        (field.status().state, field.is_idle().await),
        (RolloutState::Stopped, true)
    );
}

#[tokio::test]
async fn a_clock_that_nobody_vouches_for_opens_no_wave() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.node.set_synchronised(false);
    field.publish(&field.rollout(1));
    let status = field.look().await;
    assert!(
        status.state == RolloutState::Waiting && status.why.contains("clock"),
        "{status:?}"
    );
    assert!(field.is_idle().await);
    field.node.set_synchronised(true);
    assert_eq!(field.look().await.state, RolloutState::Underway);
}

#[tokio::test]
async fn a_release_that_failed_is_not_tried_again() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.rollout(1));
    assert_eq!(field.look().await.state, RolloutState::Underway);
    field.arms().await;
    let bad = field.disk.record().mark_bad(Slot::B, Reason::NotHealthy);
    field.disk.set_record(&bad);

    field.restart(Slot::A);
    field.node.keep().await;
    let status = field.look().await;
    assert!(
        status.state == RolloutState::Over && status.why.contains("it fell back"),
        "{status:?}"
    );
    // Also by a newer version of the document.
    field.publish(&field.rollout(2));
    assert_eq!(field.look().await.state, RolloutState::Over);
    assert_eq!(field.node.handle.busy().await, None);
    assert_eq!(field.node.handle.shared.history.entries().len(), 1);
}

#[tokio::test]
async fn what_was_taken_back_is_not_begun_again() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.rollout(1));
    field.look().await;
    field.arms().await;
    field.restart(Slot::B);
    field.disk.set_record(&field.disk.record().commit(Slot::B));
    field.node.publish(TrialStatus::Committed);
    field.node.keep().await;
    field.node.handle.rollback().await.unwrap();
    field.node.restarts().await;

    field.restart(Slot::A);
    field.node.keep().await;
    let status = field.look().await;
    assert!(
        status.state == RolloutState::Over && status.why.contains("rolled back"),
        "{status:?}"
    );
    assert_eq!(field.node.handle.busy().await, None);
}

#[tokio::test]
async fn a_node_that_is_not_well_or_stopping_does_not_begin() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.node.set_health("unhealthy: containerd");
    field.publish(&field.rollout(1));
    let status = field.look().await;
    assert!(status.why.contains("unhealthy: services"), "{status:?}");
    assert!(field.is_idle().await);
    field.node.set_health("");
    field.node.power.request(node::power::Stop::Shutdown);
    field.step().await;
    assert!(field.is_idle().await);
}

#[tokio::test]
async fn a_node_looks_as_often_as_its_config_says_and_not_at_all_without() {
    let mut field = Field::start();
    let asked = |field: &Field| field.published.asked.load(Ordering::SeqCst);
    // Its first look is at its place among others, and every further one an interval later.
    let Action::After(first) = field.step().await else {
        panic!("it waits for its first look");
    };
    assert!(first < INTERVAL / 2 && asked(&field) == 0, "{first:?}");
    field.look().await;
    field.publish(&field.rollout(1));
    field.look().await;
    assert_eq!(field.step().await, Action::After(INTERVAL));
    assert_eq!(asked(&field), 2);
    // Another address starts from scratch, and the state of the first does not count there.
    field.node.configure(|config| {
        config.machine.upgrades.rollout = Some(machine_config::v1alpha1::RolloutFeed {
            url: "https://releases.example.org/other.json".parse().unwrap(),
            interval: Period::seconds(60),
        });
    });
    assert!(matches!(field.step().await, Action::After(left) if left < INTERVAL / 10));
    assert_eq!(
        (field.status().document, field.status().state),
        (None, RolloutState::Looking)
    );
    field.node.configure(|_| {});
    assert_eq!(field.step().await, Action::WaitForChange);
    assert_eq!(field.node.store.get::<state::kinds::RolloutStatus>("node"), None);
    assert_eq!(field.node.handle.status().borrow().rollout, "");
}
