//! Sets up the HTTP client.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::address::Address;
use crate::{Error, Options, Proxy, proxy};

/// Makes a client with these options.
pub(crate) fn agent(address: &Address, options: &Options) -> Result<Agent, Error> {
    let proxy = match &options.proxy {
        Proxy::None => None,
        Proxy::At(url) => Some(proxy::usable(url).map_err(|_| Error::Proxy)?),
        Proxy::FromEnvironment => {
            // A value that is not text is not an address either, and is reported as such.
            let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
            proxy::from_environment(&address.uri, address.secure, variable)?
        }
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // Whoever asks for encryption must not lose it by a redirect.
        .https_only(address.secure)
        .tls_config(tls(options.authority.as_deref())?)
        .proxy(proxy)
        .max_redirects(options.redirects)
        .user_agent(concat!("bedplate/", env!("CARGO_PKG_VERSION")))
        // In a compressed form, other bytes are at other offsets.
        .accept_encoding("identity")
        .timeout_resolve(Some(options.connect))
        .timeout_connect(Some(options.connect))
        .timeout_send_request(Some(options.answer))
        .timeout_recv_response(Some(options.answer))
        .timeout_per_read(Some(options.stall))
        .build();
    Ok(config.new_agent())
}

/// Trusts the public authorities, and the one in the options.
fn tls(authority: Option<&str>) -> Result<TlsConfig, Error> {
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let mut roots: Vec<Certificate<'static>> = public.map(|der| Certificate::from_der(der)).collect();
    if let Some(pem) = authority {
        let own: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(Error::Authority)?;
        if own.is_empty() {
            return Err(Error::Authority(rustls_pki_types::pem::Error::NoItemsFound));
        }
        roots.extend(own.iter().map(|der| Certificate::from_der(der).to_owned()));
    }
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots))
        .build())
}
