//! A cluster that is recovered from a snapshot.

use std::fs;
use std::time::Duration;

use api::v1alpha1::EtcdRecovered;
use backend::{BackendError, Etcd as _, PushError, PushedBundle, SnapshotSource};
use futures::StreamExt as _;
use machine_config::v1alpha1::EtcdSnapshots;
use machine_config::value::Period;
use sha2::{Digest as _, Sha256};

use crate::lab::{Lab, Plane};
use crate::program;
use crate::writer::{Writer, verify};

/// A snapshot as a client has it, that may be lost before its end.
struct Pushed {
    file: Vec<u8>,
    lost_after: u64,
}

impl PushedBundle for Pushed {
    fn length(&self) -> u64 {
        self.file.len() as u64
    }

    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
        if offset >= self.lost_after {
            return Err(PushError::Gone);
        }
        let start = usize::try_from(offset).unwrap();
        Ok(self.file[start..start + length as usize].to_vec())
    }
}

async fn recover(plane: &Plane, file: &[u8]) -> Result<EtcdRecovered, BackendError> {
    let pushed = Pushed {
        file: file.to_vec(),
        lost_after: u64::MAX,
    };
    let pushed = SnapshotSource::Pushed(Box::new(pushed));
    plane.handle.recover(pushed, false).await
}

async fn refusal(plane: &Plane, file: &[u8]) -> String {
    match recover(plane, file).await.unwrap_err() {
        BackendError::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

async fn snapshot(plane: &Plane) -> Vec<u8> {
    let mut pieces = plane.handle.snapshot(None).await.unwrap();
    let mut snapshot = Vec::new();
    while let Some(piece) = pieces.next().await {
        snapshot.extend(piece.unwrap());
    }
    snapshot
}

/// Begins a cluster on one node, writes, takes a snapshot, and cuts the power.
async fn snapshot_of_one(lab: &Lab) -> Vec<u8> {
    let first = lab.start("node1", "lost", 1, &[]);
    first.handle.bootstrap().await.unwrap();
    first.until_it_votes().await;
    first.etcd.put("test/key", &[7; 100_000]).await.unwrap();
    let file = snapshot(&first).await;
    first.cut().await;
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_cluster_is_recovered_from_a_snapshot_and_others_join() {
    let Some((etcd, version)) = program::find_with_tool() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let first = lab.start("node1", "disk1", 1, &[]);
    let second = lab.start("node2", "disk2", 2, &[]);
    first.handle.bootstrap().await.unwrap();
    second.until_it_votes().await;
    let writer = Writer::start(vec![lab.etcd(1), lab.etcd(2)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = writer.stop().await;
    assert!(before.len() > 10, "{}", before.len());
    // More than one piece.
    first.etcd.put("test/large", &vec![7; 1 << 20]).await.unwrap();
    let file = snapshot(&first).await;
    let revision = first.etcd.put("test/after", b"lost").await.unwrap();
    assert!(
        refusal(&first, &file)
            .await
            .contains("etcd has data on this node")
    );

    first.cut().await;
    lab.wipe("disk1");
    let first = lab.start("node1", "disk1", 1, &[("node2", 2)]);
    let why = refusal(&first, &file).await;
    assert!(
        why.contains("are still there, on node2 at ") && why.contains("reset --scope data"),
        "{why}"
    );
    second.cut().await;

    // Nothing of these changes anything.
    let mut changed = file.clone();
    changed[40_000] ^= 1;
    for (bad, expected) in [
        (&file[..file.len() - 512], "damaged or incomplete"),
        (&file[..file.len() - 32], "has no checksum"),
        (&changed, "damaged or incomplete"),
        (b"#!/bin/sh", "is no snapshot of etcd"),
    ] {
        let why = refusal(&first, bad).await;
        assert!(why.contains(expected), "{why}");
    }
    // It begins like one and has the right hash, and is garbage nevertheless.
    let mut garbage = file[..28].to_vec();
    garbage.resize(64 << 10, 0x5a);
    garbage.extend(Sha256::digest(&garbage).as_slice());
    let why = refusal(&first, &garbage).await;
    assert!(why.contains("etcdutl cannot restore the snapshot"), "{why}");
    let lost = Pushed {
        file: file.clone(),
        lost_after: 1,
    };
    let cut_off = first
        .handle
        .recover(SnapshotSource::Pushed(Box::new(lost)), false)
        .await;
    assert!(
        matches!(&cut_off, Err(BackendError::Unavailable(why)) if why.contains("nothing was changed")),
        "{cut_off:?}"
    );
    assert_eq!(first.places.data().unwrap(), etcd::Data::Empty);
    let recovered = recover(&first, &file).await.unwrap();
    assert_eq!(recovered.size_bytes, file.len() as u64);
    assert_eq!(recovered.sha256, hex::encode(Sha256::digest(&file)));
    first.until_it_votes().await;
    first
        .until("the recovery is forgotten", async |plane| {
            !plane.places.beside.join("recovery.json").exists()
        })
        .await;
    verify(&first.etcd, &before).await;
    assert_eq!(first.etcd.get("test/after").await.unwrap(), None);
    let next = first.etcd.put("test/next", b"new").await.unwrap();
    assert!(next > revision + 1000, "{next} after {revision}");
    assert!(
        refusal(&first, &file)
            .await
            .contains("etcd has data on this node")
    );

    // A node that was away has data of the former cluster: they stay until a person gives them up.
    let second = lab.start("node2", "disk2", 2, &[("node1", 1)]);
    second
        .until("it waits for a person", async |plane| {
            plane.waits_for().contains("a person's decision")
        })
        .await;
    second.cut().await;
    lab.wipe("disk2");
    let second = lab.start("node2", "disk2", 2, &[("node1", 1)]);
    let third = lab.start("node3", "disk3", 3, &[("node1", 1)]);
    second.until_it_votes().await;
    third.until_it_votes().await;
    for plane in [&first, &second, &third] {
        verify(&plane.etcd, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn power_cuts_during_a_recovery_leave_all_or_nothing() {
    let Some((etcd, version)) = program::find_with_tool() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let file = snapshot_of_one(&lab).await;
    let (mut nothing, mut all) = (0, 0);
    for cut in 0..14_u64 {
        lab.wipe("disk1");
        let first = lab.start("node1", "disk1", 1, &[]);
        first
            .until("it waits for a bootstrap", async |plane| {
                plane.waits_for().contains("bedplate bootstrap")
            })
            .await;
        let handle = first.handle.clone();
        let pushed = SnapshotSource::Pushed(Box::new(Pushed {
            file: file.clone(),
            lost_after: u64::MAX,
        }));
        let asked = tokio::spawn(async move { handle.recover(pushed, false).await });
        tokio::time::sleep(Duration::from_millis(cut * cut * 5)).await;
        first.cut().await;
        asked.abort();
        let _cut = asked.await;

        let first = lab.start("node1", "disk1", 1, &[]);
        let ready = first.places.beside.join("recovery.json").exists();
        let begun = first.places.data().unwrap() != etcd::Data::Empty;
        match ready || begun {
            true => all += 1,
            false => {
                nothing += 1;
                first
                    .until("it waits for a bootstrap, and nothing is left", async |plane| {
                        plane.waits_for().contains("bedplate bootstrap")
                            && !plane.places.beside.join("recovery").exists()
                    })
                    .await;
                recover(&first, &file).await.unwrap();
            }
        }
        first.until_it_votes().await;
        assert_eq!(first.etcd.get("test/key").await.unwrap().unwrap(), [7; 100_000]);
        first.cut().await;
    }
    eprintln!("{nothing} cuts left nothing, {all} went on by themselves");
    assert!(
        nothing > 0 && all > 0,
        "{nothing} and {all}: no cut came before or after the end"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_etcd_is_broken_is_recovered_from_what_it_keeps() {
    let Some((etcd, version)) = program::find_with_tool() else {
        return;
    };
    let mut lab = Lab::new(etcd, version);
    lab.snapshots = EtcdSnapshots {
        interval: Period::seconds(1),
        keep: 50,
    };
    let first = lab.start("node1", "disk1", 1, &[]);
    first.handle.bootstrap().await.unwrap();
    first.until_it_votes().await;
    let written = first.etcd.put("test/kept", b"kept").await.unwrap();
    first
        .until("it is in a snapshot", async |plane| {
            let kept = plane.handle.snapshots().await.unwrap().snapshots;
            kept.first()
                .is_some_and(|newest| newest.revision >= written.cast_unsigned())
        })
        .await;
    let name = first.handle.snapshots().await.unwrap().snapshots.remove(0).name;
    first.etcd.put("test/after", b"lost").await.unwrap();
    first.cut().await;
    let database = lab.places("disk1").data.join("member/snap/db");
    fs::write(&database, vec![0x5a; 40_000]).unwrap();

    let mut first = lab.start("node1", "disk1", 1, &[]);
    let recover = async |plane: &Plane, replace| {
        let source = SnapshotSource::Kept(name.clone());
        plane.handle.recover(source, replace).await
    };
    match recover(&first, false).await.unwrap_err() {
        BackendError::Refused(why) => assert!(why.contains("--replace-data"), "{why}"),
        other => panic!("{other:?}"),
    }
    let other = SnapshotSource::Kept("20260101T000000Z-r1.db".to_owned());
    let other = first.handle.recover(other, true).await;
    assert!(
        matches!(&other, Err(BackendError::NotFound(why)) if why.contains(&name)),
        "{other:?}"
    );
    recover(&first, true).await.unwrap();
    // Cut off earlier and later in the time that it takes to put the one aside and the other in its place.
    for cut in 0..6_u64 {
        tokio::time::sleep(Duration::from_millis(50 * cut)).await;
        first.cut().await;
        first = lab.start("node1", "disk1", 1, &[]);
    }
    first.until_it_votes().await;
    assert_eq!(first.etcd.get("test/kept").await.unwrap().unwrap(), b"kept");
    assert_eq!(first.etcd.get("test/after").await.unwrap(), None);
    let aside = first.places.beside.join("removed/snap/db");
    assert_eq!(fs::read(aside).unwrap(), vec![0x5a; 40_000]);
    assert!(!first.places.note().unwrap().removed);
    let second = lab.start("node2", "disk2", 2, &[("node1", 1)]);
    second.until_it_votes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_of_another_cluster_is_told() {
    let Some((etcd, version)) = program::find_with_tool() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let first = lab.start("node1", "disk1", 1, &[]);
    first.handle.bootstrap().await.unwrap();
    first
        .until("the cluster is bootstrapped", async |plane| {
            plane.places.bootstrap().is_none()
        })
        .await;
    first.etcd.put("bedplate/cluster", b"away").await.unwrap();
    let file = snapshot(&first).await;
    first.cut().await;
    lab.wipe("disk1");
    let first = lab.start("node1", "disk1", 1, &[]);
    recover(&first, &file).await.unwrap();
    first
        .until("it says whose data they are", async |plane| {
            plane.waits_for().contains("another cluster (away, not home-id)")
        })
        .await;
}
