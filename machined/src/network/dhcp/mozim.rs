//! Leases by the DHCP client library mozim, over a packet socket.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use mozim::{DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};

use super::{Asker, DhcpError, LeaseSource, Reporter, lease};

/// Asks real servers. Remembers each interface's last lease, to ask for the same one again.
#[derive(Default)]
pub struct Mozim {
    last: Mutex<HashMap<String, DhcpV4Lease>>,
}

#[async_trait]
impl LeaseSource for Mozim {
    async fn run(&self, link: Asker, report: Reporter) -> DhcpError {
        let failed = |error: mozim::DhcpError| DhcpError::Client {
            link: link.name.clone(),
            message: error.to_string(),
        };
        let mut config = DhcpV4Config::new(&link.name);
        config.set_iface_index(link.index).use_mac_as_client_id();
        if let Err(error) = config.set_iface_mac_raw(&link.mac_address.0) {
            return failed(error);
        }
        if let Some(hostname) = &link.hostname {
            config.set_host_name(hostname.as_str());
        }
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&link.name)
            .cloned();
        let mut client = match DhcpV4Client::init(config, last).await {
            Ok(client) => client,
            Err(error) => return failed(error),
        };
        let mut bound = false;
        loop {
            match client.run().await {
                Ok(DhcpV4State::Done(raw)) => match lease::check(&raw) {
                    Ok(lease) => {
                        bound = true;
                        tracing::info!(
                            "network: {}: leased {} for {} s",
                            link.name,
                            lease.address,
                            lease.seconds
                        );
                        self.last
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(link.name.clone(), *raw);
                        report.report(Some(lease));
                    }
                    Err(source) => {
                        return DhcpError::Lease {
                            link: link.name.clone(),
                            source,
                        };
                    }
                },
                // Back to the start: the server took the lease back, or it ended before anybody renewed it.
                Ok(DhcpV4State::InitReboot) => {
                    self.last
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&link.name);
                    // Before the first answer, though, a lease from before the cable was out still holds: either
                    // nobody is there to ask, or the next answer replaces it.
                    if bound {
                        report.report(None);
                    }
                }
                Ok(_) => {}
                Err(error) => return failed(error),
            }
        }
    }
}
