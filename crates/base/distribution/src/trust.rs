//! Whom registries' certificates may be of: whom the system trusts, and whom the operator names besides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Authorities that sign registries' certificates, besides those that the system trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// Why a file names no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It cannot be read, or is no PEM file.
    #[error("{} cannot be read as certificates in PEM form", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is none in it.
    #[error("{} has no certificate in it", .file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// One of them is of no authority.
    #[error("a certificate in {} cannot be an authority's", .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

impl Authorities {
    /// Those in the files, in PEM form; a file may have several. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthoritiesError`], which names the file.
    pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Self, AuthoritiesError> {
        let mut all = Vec::new();
        for file in files {
            let file = file.as_ref();
            let found = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|source| AuthoritiesError::Unreadable { file: file.to_owned(), source })?;
            if found.is_empty() {
                return Err(AuthoritiesError::Empty { file: file.to_owned() });
            }
            let mut store = RootCertStore::empty();
            for one in &found {
                store.add(one.clone()).map_err(|source| AuthoritiesError::Unusable {
                    file: file.to_owned(),
                    source,
                })?;
            }
            all.extend(found);
        }
        Ok(Self(all))
    }

    /// How a client checks certificates: the system's authorities, read now, and these.
    ///
    /// # Errors
    /// If the system has none that can be read, and there are none of ours.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(self.0.iter().cloned());
        if roots.is_empty() {
            let why =
                system.errors.first().map_or("there are none".to_owned(), ToString::to_string);
            return Err(format!("the system's certificates cannot be read: {why}"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.map_err(|error| format!("TLS cannot be used: {error}"))?;
        Ok(versions.with_root_certificates(roots).with_no_client_auth())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_that_name_no_authority_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: &str| {
            let file = folder.path().join("ca.crt");
            std::fs::write(&file, text).unwrap();
            let error = Authorities::read(&[&file]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("ca.crt"), "{error}");
        };
        check("", "has no certificate");
        check("no PEM at all", "has no certificate");
        check(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be an authority",
        );
        let none: [&Path; 0] = [];
        assert_eq!(Authorities::read(&none).unwrap(), Authorities::default());
        assert!(Authorities::read(&[folder.path().join("absent")]).is_err());
    }
}
