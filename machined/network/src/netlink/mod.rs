//! The real kernel, by rtnetlink. `messages` knows its words; `advertised` keeps what routers name, which
//! `user_options` reads.

mod advertised;
mod messages;
mod user_options;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use advertised::Advertised;
use async_trait::async_trait;
use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use messages::{
    ACCEPT_THOUGH_FORWARDING, address_message, address_status, link_status, route_message, route_status,
};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::proto::Connection;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, MulticastGroup};
use state::kinds::{AddressSpec, AddressStatus, LinkStatus, RouteSpec, RouteStatus};
use state::{chain, tasks};
use sys::router::UserOptions;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::kernel::{Kernel, NetlinkError};
use super::plan::{Change, Observed};

/// The kernel's errors when what is to be added exists, or what is to be removed does not.
const EEXIST: i32 = -17;
const ENODEV: i32 = -19;
const ESRCH: i32 = -3;
const EADDRNOTAVAIL: i32 = -99;

const GROUPS: &[MulticastGroup] = &[
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    // Whether there is DHCPv6, which routers say.
    MulticastGroup::Ipv6Ifinfo,
];

/// A connection to the kernel of the network namespace it was opened in.
pub struct Netlink {
    /// The connection's end for requests; a new one when the connection had to be opened again.
    handle: Arc<Mutex<Handle>>,
    advertised: Advertised,
    bell: Arc<Notify>,
    /// The connection, and the listener to routers; both end with this.
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Netlink {
    /// Opens a socket that also listens for changes. Must run inside a tokio runtime.
    pub fn open() -> Result<Self, NetlinkError> {
        let opened = rtnetlink::new_multicast_connection(GROUPS).map_err(NetlinkError::Open)?;
        let options = UserOptions::open()?;
        let (handle, bell) = (Arc::new(Mutex::new(opened.1.clone())), Arc::new(Notify::new()));
        let advertised = Advertised::default();
        let tasks = [
            keep_connection(opened, handle.clone(), bell.clone()),
            keep_listening(options, advertised.clone(), bell.clone()),
        ];
        Ok(Self {
            handle,
            advertised,
            bell,
            _tasks: tasks,
        })
    }

    fn handle(&self) -> Handle {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn links(&self) -> Result<BTreeMap<u32, (String, LinkStatus)>, NetlinkError> {
        let list = |source| NetlinkError::List {
            what: "network interfaces",
            source,
        };
        let messages: Vec<_> = self
            .handle()
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(list)?;
        Ok(messages
            .iter()
            .filter_map(link_status)
            .map(|(name, link)| (link.index, (name, link)))
            .collect())
    }

    async fn index(&self, link: &str, change: &Change) -> Result<u32, NetlinkError> {
        let mut found = self.handle().link().get().match_name(link).execute();
        match found.try_next().await {
            Ok(Some(message)) => Ok(message.header.index),
            Ok(None) => Err(NetlinkError::Gone(Box::new(change.clone()))),
            Err(error) if code(&error) == Some(ENODEV) => Err(NetlinkError::Gone(Box::new(change.clone()))),
            Err(source) => Err(NetlinkError::List {
                what: "a network interface",
                source,
            }),
        }
    }

    async fn send(&self, change: &Change, index: u32) -> Result<(), rtnetlink::Error> {
        let set =
            |message: LinkMessageBuilder<LinkUnspec>| self.handle().link().set(message.index(index).build());
        match change {
            // Not by netlink, and done by the caller.
            Change::AcceptRouters { .. } | Change::AskRouters { .. } => Ok(()),
            Change::SetUp { .. } => set(LinkMessageBuilder::<LinkUnspec>::new().up()).execute().await,
            Change::SetMtu { mtu, .. } => {
                set(LinkMessageBuilder::<LinkUnspec>::new().mtu(*mtu))
                    .execute()
                    .await
            }
            Change::AddAddress(spec) => {
                let mut request =
                    self.handle()
                        .address()
                        .add(index, spec.address.address, spec.address.length);
                *request.message_mut() = address_message(index, spec.address);
                request.execute().await
            }
            Change::RemoveAddress(old) => {
                self.handle()
                    .address()
                    .del(address_message(index, old.address))
                    .execute()
                    .await
            }
            Change::AddRoute(spec) => {
                self.handle()
                    .route()
                    .add(route_message(index, spec))
                    .execute()
                    .await
            }
            Change::RemoveRoute(old) => {
                let RouteStatus {
                    link,
                    to,
                    via,
                    metric,
                    ..
                } = old.clone();
                let spec = RouteSpec {
                    link,
                    to,
                    via,
                    metric,
                    on_link: false,
                };
                self.handle()
                    .route()
                    .del(route_message(index, &spec))
                    .execute()
                    .await
            }
        }
    }
}

type Opened = (
    Connection<RouteNetlinkMessage>,
    Handle,
    UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
);

/// Runs the connection and rings for each event; opens another one when it ends.
fn keep_connection(first: Opened, handle: Arc<Mutex<Handle>>, bell: Arc<Notify>) -> AbortOnDropHandle<()> {
    let mut first = Some(first);
    tasks::keep("the connection to the kernel's network", move || {
        let opened = first
            .take()
            .map_or_else(|| rtnetlink::new_multicast_connection(GROUPS), Ok);
        let (handle, bell) = (handle.clone(), bell.clone());
        async move {
            let (connection, requests, mut messages) =
                opened.map_err(|error| chain(&NetlinkError::Open(error)))?;
            *handle.lock().unwrap_or_else(PoisonError::into_inner) = requests;
            // Events in the meantime were missed.
            bell.notify_one();
            let listener = async {
                // Whatever the message says, even that messages were lost: look again.
                while messages.next().await.is_some() {
                    bell.notify_one();
                }
            };
            tokio::select! {
                // Neither is run again after the other has ended.
                () = connection => {}
                () = listener => {}
            }
            Ok::<(), String>(())
        }
    })
}

fn keep_listening(first: UserOptions, advertised: Advertised, bell: Arc<Notify>) -> AbortOnDropHandle<()> {
    let mut first = Some(first);
    tasks::keep("listening to IPv6 routers", move || {
        let options = first.take().map_or_else(UserOptions::open, Ok);
        let (advertised, bell) = (advertised.clone(), bell.clone());
        async move {
            let options = options.map_err(|error| chain(&error))?;
            let ended = advertised.listen(options, bell).await;
            ended.map_err(|error| error.to_string())
        }
    })
}

#[async_trait]
impl Kernel for Netlink {
    async fn observe(&self) -> Result<Observed, NetlinkError> {
        let links = self.links().await?;
        let list = |source| NetlinkError::List {
            what: "addresses",
            source,
        };
        let addresses: Vec<_> = self
            .handle()
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(list)?;
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            let list = |source| NetlinkError::List {
                what: "routes",
                source,
            };
            let messages: Vec<_> = self
                .handle()
                .route()
                .get(filter)
                .execute()
                .try_collect()
                .await
                .map_err(list)?;
            routes.extend(
                messages
                    .iter()
                    .filter_map(|message| route_status(message, &links)),
            );
        }
        Ok(Observed {
            addresses: addresses
                .iter()
                .filter_map(|message| address_status(message, &links))
                .collect(),
            routes,
            advertised: self.advertised.valid(&links, Instant::now()),
            links: links.into_values().collect(),
        })
    }

    async fn apply(&self, change: &Change) -> Result<(), NetlinkError> {
        let link = match change {
            Change::SetUp { link }
            | Change::SetMtu { link, .. }
            | Change::AcceptRouters { link }
            | Change::AskRouters { link } => link,
            Change::AddAddress(AddressSpec { link, .. })
            | Change::RemoveAddress(AddressStatus { link, .. }) => link,
            Change::AddRoute(RouteSpec { link, .. }) | Change::RemoveRoute(RouteStatus { link, .. }) => link,
        };
        let index = self.index(link, change).await?;
        match change {
            Change::AcceptRouters { link } => return accept_routers(link, change),
            Change::AskRouters { .. } => {
                // Nothing to ask from yet: the kernel asks by itself as soon as there is.
                if let Err(error) = sys::router::solicit(index) {
                    tracing::debug!("network: {}", chain(&error));
                }
                return Ok(());
            }
            _ => {}
        }
        let Err(source) = self.send(change, index).await else {
            return Ok(());
        };
        // An address that is there is what was wanted. A route is not: it may be another one to the same network.
        let done_already = match change {
            Change::AddAddress(_) => code(&source) == Some(EEXIST),
            Change::RemoveAddress(_) => code(&source) == Some(EADDRNOTAVAIL),
            Change::RemoveRoute(_) => code(&source) == Some(ESRCH),
            _ => false,
        };
        if done_already {
            Ok(())
        } else {
            Err(NetlinkError::Apply {
                change: Box::new(change.clone()),
                source,
            })
        }
    }

    fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }
}

/// Sets a parameter by a file, since netlink has no message for it.
fn accept_routers(link: &str, change: &Change) -> Result<(), NetlinkError> {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
    std::fs::write(path, format!("{ACCEPT_THOUGH_FORWARDING}\n")).map_err(|source| NetlinkError::Setting {
        change: Box::new(change.clone()),
        source,
    })
}

pub(super) fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get()),
        _ => None,
    }
}
