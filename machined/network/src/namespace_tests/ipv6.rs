//! Addresses, routes and names by IPv6 router advertisements, on a node that forwards.

use state::kinds::{
    AddressStatus, Dhcp6Lease, LinkStatus, NODE, NetworkStatus, ResolverStatus, RouteStatus,
    RouterAdvertisement,
};

use super::*;

/// What the node starts with: it forwards, and the kernel then no longer listens to routers by itself.
fn forward() {
    for (name, value) in node::boot::sysctls::DEFAULTS {
        if name.contains(".forwarding") || name.contains("ip_forward") {
            node::boot::sysctls::set(std::path::Path::new("/proc/sys"), name, value).unwrap();
        }
    }
}

fn setting(link: &str) -> String {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn a_router_is_asked_and_gives_address_route_and_names() {
    in_namespace(|bench| async move {
        forward();
        bench.switch("v1", true).await;
        let _router = router::serve(bench.index("v1").await, "v1", router::advertisement(0));
        bench.configure_without_servers("{name: v0}");
        bench
            .until::<RouterAdvertisement>("v0", "what the router names", |named| {
                named.is_some_and(|named| !named.nameservers.is_empty() && !named.search.is_empty())
            })
            .await;
        bench
            .until::<NetworkStatus>(NODE, "an address and a route", |status| {
                status.is_some_and(|status| {
                    let ours = |address: &std::net::IpAddr| address.to_string().starts_with("2001:db8:9:");
                    let route = status.default_route.as_ref();
                    status.ready
                        && status.addresses.iter().any(ours)
                        && route.is_some_and(|route| route.starts_with("fe80:"))
                })
            })
            .await;
        bench
            .until::<ResolverStatus>(NODE, "the name server", |status| {
                status.is_some_and(|status| status.servers == ["2001:db8:9::53"])
            })
            .await;
        let resolv = std::fs::read_to_string(bench.dir.path().join("resolv.conf")).unwrap();
        assert!(
            resolv.contains("nameserver 2001:db8:9::53\nsearch six6.example\n"),
            "{resolv}"
        );
        assert_eq!(setting("v0"), "2");
        assert_eq!(setting("v1"), "1", "what is not ours is not touched");
        let advertised = bench.store.list::<RouteStatus>();
        assert!(
            advertised.iter().all(|(_, route)| !route.ours),
            "the kernel keeps its own"
        );
    });
}

#[test]
fn routers_are_asked_anew_after_a_new_cable() {
    in_namespace(|bench| async move {
        forward();
        bench.switch("v1", true).await;
        let router = router::serve(bench.index("v1").await, "v1", router::advertisement(0));
        bench.configure_without_servers("{name: v0}");
        bench
            .until::<RouterAdvertisement>("v0", "what the router names", |named| named.is_some())
            .await;
        let before = router.solicitations();
        bench.switch("v1", false).await;
        bench
            .until::<LinkStatus>("v0", "the cable is out", |link| {
                link.is_some_and(|link| !link.carrier)
            })
            .await;
        bench
            .until::<RouterAdvertisement>("v0", "forgotten", |named| named.is_none())
            .await;
        bench.switch("v1", true).await;
        bench
            .until::<RouterAdvertisement>("v0", "named again", |named| named.is_some())
            .await;
        assert!(router.solicitations() > before, "it only speaks when asked");
    });
}

/// Answers DHCPv6 on an interface until dropped: whoever asks for an address gets 2001:db8:9::7, all get settings.
fn serve_dhcp6(
    index: u32,
    mac: machine_config::value::MacAddress,
) -> tokio_util::task::AbortOnDropHandle<()> {
    let socket = std::net::UdpSocket::bind("[::]:547").unwrap();
    let servers: std::net::Ipv6Addr = "ff02::1:2".parse().unwrap();
    socket.join_multicast_v6(&servers, index).unwrap();
    socket.set_nonblocking(true).unwrap();
    tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let mut message = [0; 1500];
        loop {
            let (_, from) = socket.recv_from(&mut message).await.unwrap();
            let xid = u32::from_be_bytes([0, message[1], message[2], message[3]]);
            let address = (message[0] != 11).then(|| "2001:db8:9::7".parse().unwrap());
            let kind = if message[0] == 1 { 2 } else { 7 };
            let answer = super::super::dhcp6::message::tests::answer(kind, xid, mac, address, (0, 0));
            socket.send_to(&answer, from).await.unwrap();
        }
    }))
}

#[test]
fn dhcpv6_is_asked_where_routers_say_that_it_is_there() {
    for (flags, address) in [(router::OTHER, false), (router::MANAGED, true)] {
        in_namespace(move |bench| async move {
            forward();
            bench.switch("v1", true).await;
            let _router = router::serve(bench.index("v1").await, "v1", router::advertisement(flags));
            bench
                .until::<LinkStatus>("v0", "its hardware address", |link| link.is_some())
                .await;
            let mac = bench.store.get::<LinkStatus>("v0").unwrap().mac_address.unwrap();
            let _server = serve_dhcp6(bench.index("v1").await, mac);
            bench.configure_without_servers("{name: v0}");
            bench
                .until::<Dhcp6Lease>("v0", "settings", |lease| {
                    lease.is_some_and(|lease| lease.address.is_some() == address)
                })
                .await;
            bench
                .until::<ResolverStatus>(NODE, "the server's name server beside the router's", |status| {
                    status.is_some_and(|status| status.servers.contains(&"2001:db8::53".to_owned()))
                })
                .await;
            if address {
                bench
                    .until::<AddressStatus>("v0/2001:db8:9::7/128", "the address", |found| {
                        found.is_some_and(|found| found.ours)
                    })
                    .await;
            }
        });
    }
}
