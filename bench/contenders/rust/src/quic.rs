//! quinn's endpoints with their settings.
use crate::{certificate, Failure};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub const NAME: &str = "bench";
/// The only one that either end offers: ours on a processor with instructions for AES, and what keys of the first packets need
/// (RFC 9001, section 5.2).
pub const CIPHER: &str = "TLS13_AES_128_GCM_SHA256";
static SUITES: &[rustls::SupportedCipherSuite] = &[rustls::cipher_suite::TLS13_AES_128_GCM_SHA256];

/// What ours finds on a path of 1,500 bytes; this version searches for none.
const DATAGRAM: u16 = 1452;

const STREAM_WINDOW: u32 = 4 << 20;
const WINDOW: u32 = 8 << 20;
const STREAMS: u32 = 4096;

fn transport() -> Result<Arc<quinn::TransportConfig>, Failure> {
    let mut transport = quinn::TransportConfig::default();
    transport
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW as u64)
        .initial_max_udp_payload_size(DATAGRAM)
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
    Ok(Arc::new(transport))
}

pub fn server(address: SocketAddr, files: &certificate::Files) -> Result<quinn::Endpoint, Failure> {
    let mut tls = rustls::ServerConfig::builder()
        .with_cipher_suites(SUITES)
        .with_safe_default_kx_groups()
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificate::chain(&files.chain)?, certificate::key(&files.key)?)?;
    tls.alpn_protocols = vec![NAME.into()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport()?);
    Ok(quinn::Endpoint::server(config, address)?)
}

pub fn client(credential: &str) -> Result<quinn::Endpoint, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificate::chain(credential)? {
        roots.add(&certificate)?;
    }
    let mut tls = rustls::ClientConfig::builder()
        .with_cipher_suites(SUITES)
        .with_safe_default_kx_groups()
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![NAME.into()];
    // A set-up is a whole one.
    tls.session_storage = Arc::new(rustls::client::NoClientSessionStorage {});
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport()?);
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}
