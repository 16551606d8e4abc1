//! Bootstrap, join, replacement.

use std::collections::BTreeSet;
use std::time::Duration;

use backend::{BackendError, Etcd as _};

use state::kinds::EtcdMemberStatus;

use crate::lab::{Lab, votes};
use crate::program;
use crate::writer::{Writer, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn control_planes_come_together_and_replace_each_other() {
    let Some((etcd, version)) = program::find() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    // In no order: two of them wait for the one that is bootstrapped.
    let third = lab.start("node3", "disk3", 3, &[]);
    let second = lab.start("node2", "disk2", 2, &[("node3", 3)]);
    let first = lab.start("node1", "disk1", 1, &[]);
    second
        .until("it waits for a bootstrap", async |plane| {
            plane.waits_for().contains("bedplate bootstrap")
        })
        .await;
    first.handle.bootstrap().await.unwrap();
    first.until_it_votes().await;
    let writer = Writer::start((1..=3).map(|host| lab.etcd(host)).collect());
    second.until_it_votes().await;
    third.until_it_votes().await;
    match second.handle.bootstrap().await.unwrap_err() {
        BackendError::Refused(why) => assert!(why.contains("etcd has data on this node"), "{why}"),
        other => panic!("{other:?}"),
    }

    // A fresh card in the same node.
    let ids = async || -> BTreeSet<u64> {
        let members = first.etcd.members().await.unwrap().value;
        members.iter().map(|member| member.id).collect()
    };
    let before = ids().await;
    second.cut().await;
    lab.wipe("disk2");
    let second = lab.start("node2", "disk2", 2, &[("node3", 3)]);
    second.until_it_votes().await;
    let after = ids().await;
    assert_eq!(
        before.intersection(&after).count(),
        2,
        "it came back as the member that it was"
    );

    // Another machine of the same name, elsewhere.
    let elsewhere = lab.start("node3", "disk4", 4, &[("node2", 2)]);
    elsewhere
        .until("it is told that its name is taken", async |plane| {
            plane
                .waits_for()
                .contains("another control plane has the same name")
        })
        .await;
    match elsewhere.handle.bootstrap().await.unwrap_err() {
        BackendError::Refused(why) => assert!(why.contains("bootstrapped before"), "{why}"),
        other => panic!("{other:?}"),
    }
    third.cut().await;
    elsewhere.until_it_votes().await;
    let members = first.etcd.members().await.unwrap().value;
    assert_eq!(members.len(), 3, "{members:?}");

    let acknowledged = writer.stop().await;
    for plane in [&first, &second, &elsewhere] {
        verify(&plane.etcd, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn power_cuts_during_bootstrap_and_join_are_gone_on_from() {
    let Some((etcd, version)) = program::find() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let first = lab.start("node1", "disk1", 1, &[]);
    first
        .until("it waits for a bootstrap", async |plane| {
            plane.waits_for().contains("bedplate bootstrap")
        })
        .await;
    first.handle.bootstrap().await.unwrap();
    let mut first = first;
    // Cut off earlier and later in the time that etcd needs to start.
    for cut in 0..8_u64 {
        tokio::time::sleep(Duration::from_millis(60 * cut)).await;
        first.cut().await;
        first = lab.start("node1", "disk1", 1, &[]);
    }
    first.until_it_votes().await;
    first
        .until("the request is forgotten", async |plane| {
            plane.places.bootstrap().is_none()
        })
        .await;
    let writer = Writer::start(vec![lab.etcd(1)]);
    let mut second = lab.start("node2", "disk2", 2, &[]);
    for cut in 1..8_u64 {
        tokio::time::sleep(Duration::from_millis(250 * cut)).await;
        second.cut().await;
        second = lab.start("node2", "disk2", 2, &[]);
    }
    second.until_it_votes().await;
    let members = first.etcd.members().await.unwrap().value;
    assert!(members.len() == 2 && votes(&members, "node1"), "{members:?}");
    let acknowledged = writer.stop().await;
    verify(&second.etcd, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_that_was_removed_joins_again_and_a_lost_quorum_is_told_by_name() {
    let Some((etcd, version)) = program::find() else {
        return;
    };
    let lab = Lab::new(etcd, version);
    let first = lab.start("node1", "disk1", 1, &[]);
    let second = lab.start("node2", "disk2", 2, &[]);
    first.handle.bootstrap().await.unwrap();
    second.until_it_votes().await;
    let members = first.etcd.members().await.unwrap().value;
    let removed = members.iter().find(|member| member.name == "node2").unwrap().id;
    // etcd lets nobody go before everybody has known each other for some seconds.
    first
        .until("the member is removed", async |plane| {
            plane.etcd.remove(removed).await.is_ok()
        })
        .await;
    second
        .until("it is another member", async |plane| {
            let members = plane
                .etcd
                .members()
                .await
                .map(|answer| answer.value)
                .unwrap_or_default();
            votes(&members, "node2") && members.iter().all(|member| member.id != removed)
        })
        .await;
    assert!(second.places.beside.join("removed").exists());
    second.cut().await;
    first
        .until("the missing member is named", async |plane| {
            let why = plane.waits_for();
            why.contains("etcd has no quorum") && why.contains("node2 at ")
        })
        .await;
    let problem = |name: &str| -> Option<String> {
        let status: Option<EtcdMemberStatus> = first.node.store.get(name);
        status.unwrap().problem
    };
    assert_eq!(problem("node2").as_deref(), Some("it does not answer"));
    assert_eq!(problem("node1").as_deref(), Some("it has no leader"));
    let second = lab.start("node2", "disk2", 2, &[]);
    second.until_it_votes().await;
    first
        .until("nothing is wrong", async |plane| {
            let members = plane.node.store.list::<EtcdMemberStatus>();
            let leaders = members.iter().filter(|(_, member)| member.leader).count();
            let well = members
                .iter()
                .all(|(_, member)| member.problem.is_none() && !member.learner);
            plane.waits_for().is_empty() && members.len() == 2 && leaders == 1 && well
        })
        .await;
}
