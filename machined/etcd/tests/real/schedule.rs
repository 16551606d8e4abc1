//! Snapshots that are taken on a schedule.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use backend::{BackendError, Etcd as _};
use futures::StreamExt as _;
use machine_config::v1alpha1::EtcdSnapshots;
use machine_config::value::Period;
use sha2::{Digest as _, Sha256};
use state::kinds::{EtcdSnapshotStatus, NODE};

use crate::lab::{Lab, Plane};
use crate::program;

/// Takes a second with each: the shortest of a real config is ten minutes.
const OFTEN: EtcdSnapshots = EtcdSnapshots {
    interval: Period::seconds(1),
    keep: 2,
};

async fn names(plane: &Plane) -> Vec<String> {
    let listed = plane.handle.snapshots().await.unwrap();
    assert_eq!(listed.problem, "");
    listed.snapshots.into_iter().map(|kept| kept.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_newest_snapshots_are_kept_and_what_was_cut_off_is_removed() {
    let Some((etcd, version)) = program::find() else {
        return;
    };
    let mut lab = Lab::new(etcd, version);
    lab.snapshots = OFTEN;
    let first = lab.start("node1", "disk1", 1, &[]);
    let folder = first.places.beside.join("snapshots");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("arriving"), b"a part of one").unwrap();
    first.handle.bootstrap().await.unwrap();
    first.until_it_votes().await;
    first
        .until("the first is taken", async |plane| !names(plane).await.is_empty())
        .await;
    let mut seen = names(&first).await;
    for round in 0..3_u8 {
        first.etcd.put("test/key", &[round]).await.unwrap();
        let before = names(&first).await;
        first
            .until("another one is taken", async |plane| {
                names(plane).await.first() != before.first()
            })
            .await;
        seen.extend(names(&first).await);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 4, "{seen:?}");
    let kept = names(&first).await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(!folder.join("arriving").exists());
    first
        .until("its status names the newest", async |plane| {
            let status: EtcdSnapshotStatus = plane.node.store.get(NODE).unwrap();
            status.problem.is_none() && status.newest == kept.first().cloned() && status.count == 2
        })
        .await;

    let mut pieces = first.handle.snapshot(Some(&kept[1])).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = pieces.next().await {
        read.extend(piece.unwrap());
    }
    let (data, hash) = read.split_at(read.len() - 32);
    assert_eq!(Sha256::digest(data).as_slice(), hash);
    let file = folder.join(&kept[1]);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    for other in ["../cluster.json", "arriving", "20260101T000000Z-r1.db"] {
        let Err(BackendError::NotFound(why)) = first.handle.snapshot(Some(other)).await.map(|_| ()) else {
            panic!("{other} is read")
        };
        assert!(why.contains(&kept[0]), "{why}");
    }

    // Without a change there is nothing to keep.
    let before = names(&first).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(names(&first).await, before);
}
