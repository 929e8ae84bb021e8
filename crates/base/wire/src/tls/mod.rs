//! TLS both ways: what a server shows, what a client trusts, and who stands behind a client's
//! certificate.
//!
//! A certificate of ours names its owner in a URI of its subject's alternative names:
//! `longshore:server`, or `longshore:node:NAME` for the container instance that joined as `NAME`.
//! Certificates of the same authority without such a name are good for a connection and say
//! nothing about who calls.
//!
//! **Invariant:** a signature decides who calls; a certificate can only narrow that.
//! **Invariant:** no private key is printed or logged.

mod certificate;
mod client;
mod identity;
mod peers;
mod server;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use certificate::Certificate;
pub use client::{Connector, PinnedAuthority, TlsClient};
pub use identity::{ClientCertificates, FORWARDED_IDENTITY, Identity};
pub(crate) use identity::{Connection, allows, enter};
pub use peers::TlsPeers;
pub use server::{ServerFiles, TlsServer};
pub use stream::Stream;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file or text is not what it should be.
    #[error("{what}: {problem}")]
    Content {
        /// The file, or what the text is.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate, key and authority do not go together.
    #[error("{what} cannot be used: {source}")]
    Unusable {
        /// Which of them.
        what: String,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}

impl TlsError {
    fn content(what: &str, problem: impl std::fmt::Display) -> Self {
        Self::Content { what: what.to_owned(), problem: problem.to_string() }
    }

    fn unusable(what: &str, source: rustls::Error) -> Self {
        Self::Unusable { what: what.to_owned(), source }
    }
}

/// The cryptography that all our TLS uses, named each time: a process may hold several.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    let make = || Arc::new(rustls::crypto::ring::default_provider());
    Arc::clone(PROVIDER.get_or_init(make))
}
