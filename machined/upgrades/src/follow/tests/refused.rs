//! What is not believed, and what follows from that.

use std::sync::Arc;

use backend::Upgrades as _;
use rollout::MAX_LEN;
use slots::Slot;
use state::chain;
use state::kinds::RolloutState;

use super::field::{Field, HOUR, INTERVAL};
use crate::follow::fetch::{Ask, Fetch as _, Web};
use crate::history::Outcome;
use crate::tests::bench::{manifest_of, recipe, signer};
use crate::tests::web;

#[tokio::test]
async fn an_older_version_is_refused_also_after_a_restart() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish(&field.stopped(2));
    field.look().await;
    field.publish(&field.rollout(1));
    let status = field.look().await;
    let error = status.error.clone().unwrap();
    assert!(error.contains("serial 1 is older than 2"), "{error}");
    assert_eq!(status.state, RolloutState::Stopped, "what was seen before counts");

    field.restart(Slot::A);
    assert_eq!(field.step().await, state::Action::After(field.first()));
    assert_eq!(
        field.status().state,
        RolloutState::Stopped,
        "before the first look, too"
    );
    let status = field.look().await;
    assert!(status.error.unwrap().contains("serial 1 is older than 2"));
    assert!(field.is_idle().await);
    // Nor is the same serial with another content.
    field.publish(&field.rollout(2));
    assert!(
        field
            .look()
            .await
            .error
            .unwrap()
            .contains("serial 2 was seen before")
    );
    assert!(field.is_idle().await);
}

#[tokio::test]
async fn what_no_trusted_key_signed_is_shown_and_looking_goes_on() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    field.publish_by(&field.rollout(1), &signer());
    let status = field.look().await;
    assert!(
        status.error.clone().unwrap().contains("not to be trusted"),
        "{status:?}"
    );
    assert_eq!((status.state, status.document), (RolloutState::Looking, None));
    field.look().await;
    assert_eq!(field.events().len(), 1, "{:?}", field.events());

    field.unpublish();
    let status = field.look().await;
    let error = status.error.unwrap();
    assert!(
        error.ends_with("the connection ended 9 bytes too early"),
        "{error}"
    );
    assert!(status.looked_unix.is_none() && field.is_idle().await);
    let sentence = field.node.handle.status().borrow().rollout.clone();
    assert!(sentence.contains("the last poll failed"), "{sentence}");

    field.publish(&field.rollout(1));
    let status = field.look().await;
    assert_eq!((status.state, status.error), (RolloutState::Underway, None));
    assert!(status.looked_unix.is_some());
    assert!(
        field
            .events()
            .contains(&"the rollout can be read again".to_owned())
    );
}

#[tokio::test]
async fn a_document_that_cannot_be_read_anew_begins_nothing() {
    let mut field = Field::start();
    field.publish(&field.rollout(1));
    assert_eq!(field.look().await.state, RolloutState::Waiting);
    field.node.clock.advance(2 * HOUR - INTERVAL);
    field.unpublish();
    let status = field.look().await;
    assert_eq!(
        (status.state, field.is_idle().await),
        (RolloutState::Looking, true)
    );
}

#[tokio::test]
async fn another_release_under_its_address_is_refused_before_a_byte_is_written() {
    let mut field = Field::start();
    field.node.clock.advance(2 * HOUR);
    let meant = recipe("0.2.1", 9, &field.signer).build(&field.signer);
    let mut rollout = field.rollout(1);
    rollout.bundle.manifest = manifest_of(&meant);
    field.publish(&rollout);
    let before = std::fs::read(field.disk.path("b")).unwrap();
    let record = field.disk.record();
    assert_eq!(field.look().await.state, RolloutState::Underway);
    let ended = field.node.ended().await;
    assert!(ended.reason.contains("not the requested one"), "{}", ended.reason);
    assert!(std::fs::read(field.disk.path("b")).unwrap() == before && field.disk.record() == record);
    let entries = field.node.handle.shared.history.entries();
    assert_eq!((entries.len(), entries[0].outcome), (1, Some(Outcome::Failed)));

    // Nothing was tried, so it is retried: after a pause, which doubles.
    field.step().await;
    assert!(
        field.status().why.contains("will be retried after"),
        "{:?}",
        field.status()
    );
    field.look().await;
    field.node.ended().await;
    assert_eq!(field.node.handle.shared.history.entries().len(), 2);
    field.look().await;
    field.node.ended().await;
    assert_eq!(
        field.node.handle.shared.history.entries().len(),
        2,
        "the second pause is longer"
    );
    field.look().await;
    field.node.ended().await;
    assert_eq!(field.node.handle.shared.history.entries().len(), 3);
}

#[test]
fn two_small_files_are_fetched_and_no_large_ones() {
    let ask = |url: String| Ask {
        url,
        proxy: None,
        authority: None,
        stop: Arc::default(),
    };
    let (_web, url) = web::Web::serve(b"a text");
    let texts = Web.fetch(&ask(url)).unwrap();
    assert_eq!(
        (&texts.document[..], &texts.signatures[..]),
        (&b"a text"[..], &b"a text"[..])
    );
    let (_web, url) = web::Web::serve(&vec![b' '; MAX_LEN + 1]);
    let error = chain(&Web.fetch(&ask(url)).unwrap_err());
    assert!(error.contains("more than 65536 bytes"), "{error}");
    let (_web, url) = web::Web::serve(&[b' '; 20_000]);
    let error = chain(&Web.fetch(&ask(url)).unwrap_err());
    assert!(error.contains(".minisig has more than 16384 bytes"), "{error}");
    let address = "http://127.0.0.1:1/x?token=secret".into();
    let error = chain(&Web.fetch(&ask(address)).unwrap_err());
    assert!(
        error.contains("127.0.0.1:1") && !error.contains("secret"),
        "{error}"
    );
}
