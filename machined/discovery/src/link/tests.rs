use std::net::Ipv4Addr;

use announcement::{NodeRole, legacy_browse};

use super::*;

/// Nodes on one network, and a time of their own.
struct Network {
    now: Instant,
    links: Vec<(SocketAddr, Link)>,
    /// How many packets were sent to all.
    sent: usize,
    /// What nodes sent to somebody who is none of them.
    outside: Vec<Vec<u8>>,
}

fn cluster() -> Option<ClusterTag> {
    Some(ClusterTag::of(b"home"))
}

fn address(last: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 89, 32, last), PORT).into()
}

fn says(name: &str, last: u8) -> Announcement {
    Announcement {
        label: String::new(),
        node: name.parse().unwrap(),
        cluster: cluster(),
        role: NodeRole::Worker,
        port: 50000,
        addresses: vec![address(last).ip()],
    }
}

impl Network {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            links: Vec::new(),
            sent: 0,
            outside: Vec::new(),
        }
    }

    fn join(&mut self, name: &str, last: u8) {
        let mut link = Link::new(self.now);
        link.set(self.now, Some(says(name, last)), cluster());
        self.links.push((address(last), link));
    }

    /// Delivers packets, and what they bring about.
    fn deliver(&mut self, from: SocketAddr, out: Vec<Out>) {
        for packet in out {
            match packet {
                Out::All(packet) => {
                    self.sent += 1;
                    self.hear(from, &packet);
                }
                Out::One(to, packet) => {
                    let found = self.links.iter_mut().find(|(address, _)| *address == to);
                    match found {
                        Some((_, link)) => {
                            link.take(self.now, from, &packet);
                        }
                        None => self.outside.push(packet),
                    }
                }
            }
        }
    }

    fn hear(&mut self, from: SocketAddr, packet: &[u8]) {
        let mut answers = Vec::new();
        for (address, link) in self.links.iter_mut().filter(|(address, _)| *address != from) {
            answers.push((*address, link.take(self.now, from, packet)));
        }
        for (address, out) in answers {
            self.deliver(address, out);
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let nexts = self.links.iter().enumerate();
            let next = nexts
                .filter_map(|(index, (_, link))| Some((link.next()?, index)))
                .min();
            let Some((at, index)) = next.filter(|(at, _)| *at <= end) else {
                break;
            };
            assert!(
                at >= self.now || self.links[index].1.next() <= Some(self.now),
                "time goes on"
            );
            self.now = self.now.max(at);
            let (from, link) = &mut self.links[index];
            let (from, out) = (*from, link.due(self.now));
            self.deliver(from, out);
        }
        self.now = end;
    }

    fn names(&self) -> Vec<String> {
        let names = self.links.iter().map(|(_, link)| link.name().unwrap_or_default());
        names.collect()
    }

    fn known(&self, index: usize) -> Vec<String> {
        self.links[index]
            .1
            .peers()
            .map(|peer| peer.label.clone())
            .collect()
    }
}

const A_WHILE: Duration = Duration::from_secs(20);

#[test]
fn nodes_find_one_another_and_notice_who_leaves() {
    let mut network = Network::new();
    network.join("node1", 1);
    network.join("node2", 2);
    network.pass(Duration::from_secs(3));
    network.join("node3", 3);
    network.pass(Duration::from_secs(3));
    assert_eq!(network.known(0), ["node2", "node3"]);
    assert_eq!(network.known(1), ["node1", "node3"]);
    assert_eq!(network.known(2), ["node1", "node2"]);
    let (from, leaving) = network.links.remove(1);
    network.deliver(from, leaving.goodbye().map(Out::All).into_iter().collect());
    assert_eq!(network.known(0), ["node3"], "it said goodbye");
    network.links.pop();
    network.pass(Duration::from_secs(60));
    assert_eq!(
        network.known(0),
        ["node3"],
        "its power is off, and nobody knows yet"
    );
    network.pass(Duration::from_secs(120));
    assert_eq!(network.known(0), [] as [&str; 0]);
}

#[test]
fn nodes_of_one_name_get_different_ones() {
    for round in 0..20 {
        let mut network = Network::new();
        network.join("node1", 1);
        network.join("node1", 2);
        network.pass(Duration::from_millis(round * 100));
        network.join("node1", 3);
        network.pass(A_WHILE);
        let mut names = network.names();
        names.sort();
        assert_eq!(names, ["node1-2.local", "node1-3.local", "node1.local"]);
    }
}

#[test]
fn whoever_was_there_keeps_its_name() {
    let mut network = Network::new();
    network.join("node1", 9);
    network.pass(A_WHILE);
    network.join("node1", 1);
    network.pass(A_WHILE);
    assert_eq!(network.names(), ["node1.local", "node1-2.local"]);
    // Two networks that were apart are joined.
    let stranger = Announcement {
        label: "node1".to_owned(),
        ..says("node1", 20)
    };
    network.hear(address(20), &stranger.announce().unwrap());
    network.pass(A_WHILE);
    assert_eq!(network.names()[0], "node1.local", "nobody defends it");
}

#[test]
fn a_change_is_announced_and_a_new_name_too() {
    let mut network = Network::new();
    network.join("node1", 1);
    network.join("node2", 2);
    network.pass(A_WHILE);
    let set = |network: &mut Network, announcement| {
        let (from, link) = &mut network.links[1];
        let (from, out) = (*from, link.set(network.now, announcement, cluster()));
        network.deliver(from, out);
        network.pass(Duration::from_secs(2));
    };
    set(&mut network, Some(says("node2", 7)));
    let addresses = |network: &Network| -> Vec<_> {
        network.links[0]
            .1
            .peers()
            .flat_map(|peer| peer.addresses.clone())
            .collect()
    };
    assert_eq!(addresses(&network), [address(7).ip()]);
    set(&mut network, Some(says("node9", 7)));
    assert_eq!(network.known(0), ["node9"]);
    set(&mut network, None);
    assert_eq!(network.known(0), [] as [&str; 0]);
}

#[test]
fn a_network_at_rest_is_quiet() {
    let mut network = Network::new();
    for last in 1..=5 {
        network.join(&format!("node{last}"), last);
    }
    network.pass(Duration::from_secs(60));
    network.sent = 0;
    network.pass(Duration::from_secs(3600));
    for index in 0..5 {
        assert_eq!(network.known(index).len(), 4);
    }
    assert!(network.sent < 5 * 120, "{} packets in an hour", network.sent);
}

#[test]
fn a_flood_takes_no_memory_and_gets_few_answers() {
    let mut network = Network::new();
    network.join("node1", 1);
    network.pass(A_WHILE);
    network.sent = 0;
    for number in 0..500 {
        let fake = Announcement {
            label: format!("fake{number}"),
            ..says(&format!("fake{number}"), 66)
        };
        network.hear(address(66), &fake.announce().unwrap());
        let query = browse(std::iter::empty()).unwrap();
        network.hear(address(66), &query);
        let legacy = SocketAddr::new(address(66).ip(), 4711);
        network.hear(legacy, &legacy_browse(7).unwrap());
    }
    network.pass(Duration::from_secs(5));
    assert_eq!(network.known(0).len(), crate::peers::MOST);
    assert!(network.sent <= 4, "{} packets to all", network.sent);
    assert_eq!(
        network.outside.len(),
        1,
        "answers to one that asked 500 times at once"
    );
    let others = Announcement {
        cluster: Some(ClusterTag::of(b"other")),
        label: "other".to_owned(),
        ..says("other", 67)
    };
    network.hear(address(67), &others.announce().unwrap());
    assert!(!network.known(0).contains(&"other".to_owned()));
}
