//! Encryption to servers. The server's certificate and name are always verified; there is no way to turn that off.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind, Result};

/// How to encrypt, trusting the certificates in the file `roots`, or those that the system trusts.
pub(crate) fn client(roots: Option<&str>) -> Result<ClientConfig> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let unusable = |error| Error::with_source(ErrorKind::Setup, format!("`{path}` holds no certificates"), error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(unusable)? {
                let certificate = certificate.map_err(unusable)?;
                store.add(certificate).map_err(|error| {
                    Error::with_source(ErrorKind::Setup, format!("a certificate in `{path}` cannot be used"), error)
                })?;
            }
        }
        // Some of a system's certificates may be unreadable; what counts is that there are any.
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        return Err(Error::new(ErrorKind::Setup, "no certificates to verify the server with were found"));
    }
    // Named, because another library in the process may have chosen another one for all.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::with_source(ErrorKind::Setup, "encryption cannot be set up", error))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// Whether what is sent to `host` stays on this machine.
#[cfg(feature = "postgres")]
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
