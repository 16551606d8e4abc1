//! What the API asks of etcd.

use backend::{BackendError, Etcd as _};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::lab::{Lab, votes};
use crate::program;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_api_shows_and_changes_the_real_etcd() {
    let Some((etcd, version)) = program::find() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let first = lab.start("node1", "disk1", 1, &[]);
    let second = lab.start("node2", "disk2", 2, &[]);
    first.handle.bootstrap().await.unwrap();
    first.until_it_votes().await;
    assert!(matches!(
        first.handle.leave().await,
        Err(BackendError::Refused(why)) if why.contains("the only voting member")
    ));
    second.until_it_votes().await;
    let shown = first.handle.members().await.unwrap();
    assert!(
        shown.quorum && shown.members.iter().all(|member| member.healthy),
        "{shown:?}"
    );
    assert_eq!(first.handle.alarms().await.unwrap(), Vec::new());
    first.handle.defragment().await.unwrap();

    first.etcd.put("test/key", b"value").await.unwrap();
    let mut pieces = first.handle.snapshot(None).await.unwrap();
    let mut snapshot = Vec::new();
    while let Some(piece) = pieces.next().await {
        snapshot.extend(piece.unwrap());
    }
    let (data, hash) = snapshot.split_at(snapshot.len() - 32);
    assert_eq!(Sha256::digest(data).as_slice(), hash);

    assert_eq!(
        first.handle.forfeit_leadership().await.unwrap().as_deref(),
        Some("node2")
    );
    assert!(matches!(
        first.handle.remove_member("node9").await,
        Err(BackendError::NotFound(why)) if why.contains("node2 at ")
    ));
    // etcd lets nobody go before everybody has known each other for some seconds.
    second
        .until("it has left", async |plane| plane.handle.leave().await.is_ok())
        .await;
    second
        .until("it waits for its next start", async |plane| {
            plane.waits_for().contains("the node has left etcd on request")
        })
        .await;
    let members = first.etcd.members().await.unwrap().value;
    assert!(members.len() == 1 && votes(&members, "node1"), "{members:?}");
    second.cut().await;
    let second = lab.start("node2", "disk2", 2, &[]);
    second.until_it_votes().await;
}
