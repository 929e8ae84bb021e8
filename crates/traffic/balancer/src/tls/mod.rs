//! TLS both ways: what listeners show, and connections to targets.

mod client;
mod server;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub(crate) use client::connector;
pub(crate) use server::{Secure, cipher_name, version_name};

/// The cryptography of all of it, named each time: a process may hold several.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
}
