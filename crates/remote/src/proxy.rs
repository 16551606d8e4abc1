//! Selects the proxy for an address from the environment.

use std::net::IpAddr;

use http::Uri;

use crate::Error;

/// The variables that name a proxy for an encrypted address; the first that is set counts.
const SECURE: [&str; 6] = [
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "http_proxy",
    "HTTP_PROXY",
];
/// The variables that name a proxy for an unencrypted address.
const PLAIN: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
/// The variables that list hosts to be reached without a proxy.
const NONE: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Finds the proxy for an address; `variable` reads the environment.
///
/// # Errors
///
/// Fails when a variable names a proxy that cannot be used. Connecting without it would not be what was configured.
pub(crate) fn from_environment(
    uri: &Uri,
    secure: bool,
    variable: impl Fn(&'static str) -> Option<String>,
) -> Result<Option<ureq::Proxy>, Error> {
    let find = |names: &[&'static str]| {
        let set = names
            .iter()
            .map(|name| (*name, variable(name).unwrap_or_default()));
        set.map(|(name, value)| (name, value.trim().to_owned()))
            .find(|(_, value)| !value.is_empty())
    };
    let Some((name, value)) = find(if secure { &SECURE } else { &PLAIN }) else {
        return Ok(None);
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let host = uri.host().unwrap_or_default();
    if find(&NONE).is_some_and(|(_, list)| is_exempt(&list, host, port)) {
        return Ok(None);
    }
    usable(&value).map(Some).map_err(|reason| Error::UnusableProxy {
        variable: name,
        reason,
    })
}

/// Makes a proxy from an address such as `http://HOST:PORT`, or returns why it cannot be used. Never repeats the address,
/// which may contain a password.
pub(crate) fn usable(value: &str) -> Result<ureq::Proxy, String> {
    let scheme = value.split_once("://").map_or("http", |(scheme, _)| scheme);
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(format!("a proxy of the kind {scheme} cannot be used"));
    }
    ureq::Proxy::new(value).map_err(|_| "it is not an address".to_owned())
}

/// Returns true if a list as in `NO_PROXY` contains a host.
///
/// An entry is `*`, a name (which includes its subdomains, with or without a dot or `*.` in front), an address, or a
/// network such as 10.0.0.0/8; names and addresses may have a port. For compatibility, a `*` after the start of a name
/// matches all names that begin so.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host
        .trim_start_matches('[')
        .trim_end_matches([']', '.'])
        .to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    let entries = list
        .split([',', ' ', '\t'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if let Some((network, length)) = entry.split_once('/') {
            return address.is_some_and(|address| is_inside(network, length, address));
        }
        let (name, only) = with_port(&entry);
        if only.is_some_and(|only| only != port) {
            return false;
        }
        match address {
            Some(address) if name.parse() == Ok(address) => true,
            None if is_below(name, &host) => true,
            _ => {
                name == "*"
                    || name
                        .strip_suffix('*')
                        .is_some_and(|start| host.starts_with(start))
            }
        }
    })
}

/// Splits the port off an entry. An IPv6 address has one only after brackets.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    let is_bare = entry.parse::<IpAddr>().is_ok();
    let (name, port) = match entry.rsplit_once(':').filter(|_| !is_bare) {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (entry, None),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

fn is_below(name: &str, host: &str) -> bool {
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.strip_prefix('.').unwrap_or(name).trim_end_matches('.');
    let rest = host.strip_suffix(name).filter(|_| !name.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_inside(network: &str, length: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let (network, address, bits) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (u128::from(network), u128::from(address), 128),
        _ => return false,
    };
    // A shift by all bits leaves nothing: every address is in /0.
    let shifted = |value: u128| value.checked_shr(bits - length).unwrap_or(0);
    length <= bits && shifted(network) == shifted(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(url: &str, variables: &[(&str, &str)]) -> Result<Option<String>, Error> {
        let uri: Uri = url.parse().unwrap();
        let secure = uri.scheme_str() == Some("https");
        let proxy = from_environment(&uri, secure, |name| {
            let set = variables.iter().find(|(known, _)| *known == name);
            set.map(|(_, value)| (*value).to_owned())
        })?;
        Ok(proxy.map(|proxy| proxy.host().to_owned()))
    }

    #[test]
    fn the_variable_of_the_scheme_comes_first() {
        let both = [
            ("HTTP_PROXY", "http://plain:1"),
            ("HTTPS_PROXY", "secure:2"),
            ("ALL_PROXY", "http://all:3"),
        ];
        assert_eq!(found("http://a/", &both).unwrap().as_deref(), Some("plain"));
        assert_eq!(found("https://a/", &both).unwrap().as_deref(), Some("secure"));
        assert_eq!(found("https://a/", &both[2..]).unwrap().as_deref(), Some("all"));
        assert_eq!(found("https://a/", &[("HTTPS_PROXY", " ")]).unwrap(), None);
        assert_eq!(found("https://a/", &[]).unwrap(), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_by_name() {
        for (value, said) in [
            (
                "socks5://me:secret@h:1080",
                "HTTP_PROXY names a proxy that cannot be used: a proxy of the kind socks5",
            ),
            (
                "http://",
                "HTTP_PROXY names a proxy that cannot be used: it is not an address",
            ),
            ("http://a b/", "it is not an address"),
        ] {
            let error = found("http://a/", &[("HTTP_PROXY", value)])
                .unwrap_err()
                .to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
            assert_eq!(
                found("http://a/", &[("HTTP_PROXY", value), ("NO_PROXY", "a")]).unwrap(),
                None
            );
        }
    }

    #[test]
    fn hosts_are_exempt_by_name_address_network_and_port() {
        for (list, host, port, expected) in [
            ("*", "a.b", 80, true),
            ("b.example, a.example", "a.example", 80, true),
            ("example", "a.example", 80, true),
            (".example", "a.example", 80, true),
            ("*.example", "A.Example", 80, true),
            ("ample", "a.example", 80, false),
            ("a.example:8080", "a.example", 8080, true),
            ("a.example:8080", "a.example", 80, false),
            ("10.0.0.0/8", "10.200.3.4", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("10.0.0.0/8", "10.example", 80, false),
            ("10.0.0.0/33", "10.0.0.1", 80, false),
            ("0.0.0.0/0", "8.8.8.8", 80, true),
            ("0.0.0.0/0", "[fd00::1]", 80, false),
            ("fd00::/8", "[fd12::1]", 80, true),
            ("fd00::/8", "[fe80::1]", 80, false),
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1:81", "10.0.0.1", 80, false),
            ("fd00::1", "[fd00::1]", 80, true),
            ("[fd00::1]:80", "[fd00::1]", 80, true),
            ("[fd00::1]:81", "[fd00::1]", 80, false),
            ("0.0.1", "10.0.0.1", 80, false),
            ("192.168.*", "192.168.7.7", 80, true),
            ("", "a", 80, false),
            (", ,", "a", 80, false),
        ] {
            assert_eq!(is_exempt(list, host, port), expected, "{list:?} {host} {port}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_accepted(list in "[a-z0-9.:*/, \\[\\]-]{0,40}", host in "[a-z0-9.:\\[\\]-]{0,20}", port: u16) {
            is_exempt(&list, &host, port);
            let all = format!("{list},*");
            prop_assert!(is_exempt(&all, &host, port));
        }

        #[test]
        fn a_network_contains_addresses_with_its_prefix(network: u32, address: u32, length in 0u32..=32) {
            let alike = length == 0 || network >> (32 - length) == address >> (32 - length);
            let [network, address] = [network, address].map(std::net::Ipv4Addr::from);
            let list = format!("{network}/{length}");
            prop_assert_eq!(is_exempt(&list, &address.to_string(), 80), alike);
        }
    }
}
