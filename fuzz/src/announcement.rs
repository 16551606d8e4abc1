//! Packets of multicast DNS: anybody on the network may send any.

use ::announcement::{
    Announcement, ClusterTag, MAX_ADDRESSES, MAX_PACKET, News, NodeRole, Packet, is_usable, read,
};

/// Whatever comes, what is read of it is within its limits, can be announced again as it is, and what is answered can be read.
pub(super) fn packet(data: &[u8]) {
    match read(data) {
        Some(Packet::Query(query)) => {
            let me = me();
            for legacy in [false, true] {
                if let Some(answer) = me.reply(&query, legacy) {
                    assert!(answer.len() <= MAX_PACKET, "an answer of {} bytes", answer.len());
                    assert!(matches!(read(&answer), Some(Packet::Response(_))));
                }
            }
            me.contest(&query);
        }
        Some(Packet::Response(response)) => {
            me().conflicts_with(&response);
            for news in response.news() {
                if let News::Here { announcement, .. } = news {
                    again(announcement);
                }
            }
        }
        None => (),
    }
}

fn again(announcement: Announcement) {
    assert!((1..=MAX_ADDRESSES).contains(&announcement.addresses.len()));
    assert!(announcement.addresses.iter().copied().all(is_usable));
    let packet = announcement.announce().expect("what was read can be written");
    let Some(Packet::Response(response)) = read(&packet) else {
        panic!("what was written cannot be read");
    };
    let news = response.news();
    assert!(
        matches!(&news[..], [News::Here { announcement: read, .. }] if *read == announcement),
        "{announcement:?} is read as {news:?}"
    );
}

fn me() -> Announcement {
    Announcement {
        label: "node1".to_owned(),
        node: "node1".parse().expect("it is a name"),
        cluster: Some(ClusterTag::of(b"home")),
        role: NodeRole::ControlPlane,
        port: 50000,
        addresses: vec![[10, 0, 0, 7].into()],
    }
}
