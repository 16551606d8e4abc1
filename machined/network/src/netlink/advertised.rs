//! Keeps the name servers and domains of routers for as long as they are valid.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine_config::value::Host;
use state::kinds::{LinkStatus, RouterAdvertisement};
use sys::router::UserOptions;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::names::LIST;
use super::user_options::{Named, What, read};

/// The kernel's messages hold the options of one advertisement.
const LONGEST: usize = 16 << 10;
/// The error for lost messages.
const ENOBUFS: i32 = 105;

/// The names announced on each interface, by its number. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Advertised(Arc<Mutex<HashMap<u32, Names>>>);

/// Entries with their ends; none means never.
type Entries<T> = Vec<(T, Option<Instant>)>;

#[derive(Debug, Default)]
struct Names {
    servers: Entries<Ipv6Addr>,
    domains: Entries<Host>,
}

impl Advertised {
    /// Reads the kernel's messages, and rings for each, until the socket fails.
    pub(super) async fn listen(self, options: UserOptions, bell: Arc<Notify>) -> io::Result<()> {
        // It is not a pipe, but is read and polled like one.
        let datagrams = Receiver::from_owned_fd_unchecked(OwnedFd::from(options))?;
        let mut buffer = vec![0; LONGEST];
        loop {
            datagrams.readable().await?;
            match datagrams.try_read(&mut buffer) {
                Ok(length) => {
                    self.take(read(&buffer[..length]), Instant::now());
                    bell.notify_one();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Some were lost: routers will send them again soon.
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, all: Vec<Named>, now: Instant) {
        let mut links = self.lock();
        for Named {
            index,
            lifetime,
            what,
        } in all
        {
            let link = links.entry(index).or_default();
            let until = lifetime.map(|lifetime| now + lifetime);
            match what {
                What::Servers(servers) => renew(&mut link.servers, servers, until, now),
                What::Domains(domains) => renew(&mut link.domains, domains, until, now),
            }
        }
    }

    /// Returns what is valid now on the existing interfaces, by their names. Drops the rest.
    pub(super) fn valid(
        &self,
        names: &BTreeMap<u32, (String, LinkStatus)>,
        now: Instant,
    ) -> BTreeMap<String, RouterAdvertisement> {
        fn values<T: Clone>(entries: &Entries<T>) -> Vec<T> {
            entries.iter().map(|(value, _)| value.clone()).collect()
        }
        let mut links = self.lock();
        links.retain(|index, link| {
            // Turned off or not: what was named for a network that is gone is of no use on the next one.
            let there = names
                .get(index)
                .is_some_and(|(_, status)| status.up && status.carrier);
            link.servers.retain(|(_, until)| holds(*until, now));
            link.domains.retain(|(_, until)| holds(*until, now));
            there && !(link.servers.is_empty() && link.domains.is_empty())
        });
        let named = |(index, link): (&u32, &Names)| {
            let advertisement = RouterAdvertisement {
                nameservers: values(&link.servers),
                search: values(&link.domains),
            };
            Some((names.get(index)?.0.clone(), advertisement))
        };
        links.iter().filter_map(named).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Names>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(until: Option<Instant>, now: Instant) -> bool {
    until.is_none_or(|until| until > now)
}

/// Sets a new end for entries. One that was not there is added, up to the limit; one that ends now goes.
fn renew<T: PartialEq>(entries: &mut Entries<T>, values: Vec<T>, until: Option<Instant>, now: Instant) {
    for value in values {
        if let Some(known) = entries.iter_mut().find(|(known, _)| *known == value) {
            known.1 = until;
        } else if entries.len() < LIST {
            entries.push((value, until));
        }
    }
    entries.retain(|(_, until)| holds(*until, now));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use state::kinds::LinkKind;

    use super::super::super::spec::tests::link;
    use super::*;

    #[test]
    fn what_was_named_holds_for_its_time_and_its_cable() {
        let (advertised, start) = (Advertised::default(), Instant::now());
        let names = |carrier| {
            let status = LinkStatus {
                carrier,
                ..link(2, LinkKind::Ethernet)
            };
            BTreeMap::from([(2, ("eth0".to_owned(), status))])
        };
        let say = |server: &str, seconds: Option<u64>| {
            let what = What::Servers(vec![server.parse().unwrap()]);
            let lifetime = seconds.map(Duration::from_secs);
            advertised.take(
                vec![Named {
                    index: 2,
                    lifetime,
                    what,
                }],
                start,
            );
        };
        let servers = |seconds| {
            let found = advertised.valid(&names(true), start + Duration::from_secs(seconds));
            let all = found
                .get("eth0")
                .map(|found| found.nameservers.clone())
                .unwrap_or_default();
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        say("2001:db8::1", Some(10));
        say("2001:db8::2", None);
        assert_eq!(servers(0), ["2001:db8::1", "2001:db8::2"]);
        say("2001:db8::1", Some(20));
        assert_eq!(
            servers(15),
            ["2001:db8::1", "2001:db8::2"],
            "renewed, in its place"
        );
        assert_eq!(servers(25), ["2001:db8::2"]);
        say("2001:db8::2", Some(0));
        assert!(servers(25).is_empty());
        for number in 0..100 {
            say(&format!("2001:db8::{number:x}"), None);
        }
        assert_eq!(servers(30).len(), LIST);
        assert!(advertised.valid(&names(false), start).is_empty());
        assert!(servers(30).is_empty(), "the next cable may lead elsewhere");
    }
}
