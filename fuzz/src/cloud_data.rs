//! What clouds give to a machine: whoever attaches a volume, or answers at a link-local address, may send any bytes.

use std::io::Write as _;

use cloud::meta_data::{self, MetaData};
use cloud::network_data;
use cloud::user_data;
use cloud::volume::{LENGTH, identify};
use flate2::Compression;
use flate2::write::GzEncoder;
use machine_config::value::{HostName, IpPrefix};

/// The most bytes of a document here.
const MOST: usize = 8 * 1024;

/// What is taken fits, and a document is taken the same with and without compression.
pub(super) fn user_data(data: &[u8]) {
    let decoded = user_data::decode(data, MOST);
    if let Ok(Some(document)) = &decoded {
        assert!(document.len() <= MOST, "{} bytes were inflated", document.len());
    }
    if !data.starts_with(&[0x1f, 0x8b]) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let written = gzip.write_all(data).and_then(|()| gzip.finish());
        let gzip = written.expect("memory can be written");
        assert_eq!(user_data::decode(&gzip, MOST), decoded);
    }
}

/// The name that is taken is one that a machine config may have.
pub(super) fn meta_data(data: &[u8]) {
    for read in [meta_data::openstack(data), meta_data::nocloud(data)] {
        if let Ok(MetaData {
            host_name: Some(name),
            ..
        }) = read
        {
            assert!(name.parse::<HostName>().is_ok(), "{name:?} is no host name");
        }
    }
}

/// What is taken can be an address in a machine config.
pub(super) fn network_data(data: &[u8]) {
    let Ok(network) = network_data::read(data) else {
        return;
    };
    for interface in network.interfaces {
        let routes = interface.routes.into_iter().map(|(to, _)| to);
        for (address, length) in interface.addresses.into_iter().chain(routes) {
            let text = format!("{address}/{length}");
            assert!(text.parse::<IpPrefix>().is_ok(), "{text:?} is no address");
        }
    }
}

/// A label is in the volume's bytes, and short.
pub(super) fn volume(data: &[u8]) {
    let (first, descriptor) = data.split_at(data.len().min(LENGTH));
    if let Some(volume) = identify(first, descriptor) {
        assert!(!volume.label.is_empty() && volume.label.chars().count() <= 32);
        let text = String::from_utf8_lossy(data);
        let whole = [first, descriptor].map(String::from_utf8_lossy);
        // What is not UTF-8 may be replaced elsewhere in a piece than in the whole.
        let found = text.contains(&volume.label) || whole.iter().any(|part| part.contains(&volume.label));
        assert!(found || volume.label.contains(char::REPLACEMENT_CHARACTER));
    }
}
