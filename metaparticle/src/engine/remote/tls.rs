//! Encryption to servers. The server's certificate and name are always verified; there is no way to turn that off.

#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
use std::sync::Arc;

#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, ErrorKind, Result};

/// How to encrypt, trusting the certificates in the file `path`, or those that the system trusts.
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
pub(crate) fn client(path: Option<&str>) -> Result<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots(path)?);
    // Named, because another library in the process may have chosen another one for all.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::with_source(ErrorKind::Setup, "encryption cannot be set up", error))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// The certificates to trust: those in the file `path`, or those that the system trusts.
pub(crate) fn roots(path: Option<&str>) -> Result<Vec<CertificateDer<'static>>> {
    let usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone());
    let mut roots = Vec::new();
    match path {
        Some(path) => {
            let unusable = |error| Error::with_source(ErrorKind::Setup, format!("`{path}` holds no certificates"), error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(unusable)? {
                let certificate = certificate.map_err(unusable)?;
                usable(&certificate).map_err(|error| {
                    Error::with_source(ErrorKind::Setup, format!("a certificate in `{path}` cannot be used"), error)
                })?;
                roots.push(certificate);
            }
        }
        // Some of a system's certificates may be unreadable; what counts is that there are any.
        None => {
            roots = rustls_native_certs::load_native_certs().certs;
            roots.retain(|certificate| usable(certificate).is_ok());
        }
    }
    if roots.is_empty() {
        return Err(Error::new(ErrorKind::Setup, "no certificates to verify the server with were found"));
    }
    Ok(roots)
}

/// Has drivers that take the process's default for encryption find one. Where a program has chosen none and two are built in, they
/// would panic.
#[cfg(feature = "mysql")]
pub(crate) fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Whether what is sent to `host` stays on this machine.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
