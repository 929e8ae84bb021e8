//! A container instance's side: its key, its request, and the files that it keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use terms::Timestamp;
use wire::tls::{Certificate, TlsClient};

use crate::data_dir::write_private;

/// A fresh key and the request that has it certified, both as PEM.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn signing_request() -> Result<(String, String)> {
    let key = KeyPair::generate().context("making this machine's key")?;
    let request = CertificateParams::default().serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

/// What an instance keeps of TLS beside its key for signing.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl NodeFiles {
    /// The files in an instance's folder, whether or not they are there.
    pub fn at(folder: &Path) -> Self {
        Self {
            authority: folder.join("ca.crt"),
            certificate: folder.join("node.crt"),
            key: folder.join("node.key"),
        }
    }

    /// The authority that the instance was told when it joined.
    pub fn authority(&self) -> Option<Vec<u8>> {
        std::fs::read(&self.authority).ok()
    }

    /// Where that is, if it was told one.
    pub fn authority_file(&self) -> Option<PathBuf> {
        self.authority.is_file().then(|| self.authority.clone())
    }

    /// Keeps the authority.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep_authority(&self, pem: &str) -> Result<()> {
        write_private(&self.authority, pem)
    }

    /// Keeps a certificate and its key.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn keep(&self, certificate: &str, key: &str) -> Result<()> {
        write_private(&self.key, key)?;
        write_private(&self.certificate, certificate)
    }

    /// What the certificate says, if there is one.
    pub fn certificate(&self) -> Option<Certificate> {
        let pem = std::fs::read(&self.certificate).ok()?;
        Certificate::of_pem("the instance's certificate", &pem).ok()
    }

    /// Shows the certificate from now on, if there is one that is valid now.
    ///
    /// # Errors
    /// If the files do not belong together.
    pub fn show(&self, tls: &TlsClient, now: Timestamp) -> Result<()> {
        // One that is over would end each handshake; without one the key still works, unless
        // the server asks for certificates.
        if self.certificate().is_none_or(|found| now >= found.ends_at) {
            return Ok(());
        }
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("reading {}", path.display()))
        };
        Ok(tls.show(&read(&self.certificate)?, &read(&self.key)?)?)
    }

    /// How long it is until a new certificate is wanted: when a third of this one's life is left, or
    /// now if none is there.
    pub fn renewal_in(&self, now: Timestamp) -> Duration {
        let Some(found) = self.certificate() else { return Duration::ZERO };
        let (begins, ends) = (found.begins_at.millis(), found.ends_at.millis());
        let at = ends - (ends - begins) / 3;
        Duration::from_millis(u64::try_from(at - now.millis()).unwrap_or(0))
    }
}
