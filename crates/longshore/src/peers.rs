//! Layers from node to node: what an agent is told of that.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use agent::{Exchange, PeerSettings};
use anyhow::{Context, Result, bail};
use clap::Args;
use terms::IdSource;
use wire::tls::TlsPeers;

use crate::clock::{RandomIds, SystemClock};
use crate::instances;

/// What is sent at most, in MiB a second, unless told otherwise.
const RATE_DEFAULT_MIB: u32 = 100;

/// Flags of agents.
#[derive(Args, Clone, Debug, Default)]
pub struct PeerFlags {
    /// Hand layers of images to other nodes at this address and port, and fetch from them what they
    /// have; beyond this machine over TLS [default: layers come from registries alone]
    #[arg(long, value_name = "ADDRESS:PORT", env = "LONGSHORE_PEER_LISTEN")]
    pub peer_listen: Option<SocketAddr>,
    /// The most that is sent to other nodes, in MiB a second [default: 100]
    #[arg(long, value_name = "MIB", requires = "peer_listen")]
    pub peer_rate: Option<NonZeroU32>,
    /// Hand layers out beyond this machine without TLS: whoever sees the network can read them
    #[arg(long, requires = "peer_listen")]
    pub peer_insecure_http: bool,
}

impl PeerFlags {
    /// Listens, if told to. `tls` is how this node speaks with others, if it has a certificate.
    ///
    /// # Errors
    /// If the address cannot be listened at, or is beyond this machine and there is no TLS.
    pub async fn open(
        &self,
        name: &str,
        tls: Option<TlsPeers>,
        server: &str,
    ) -> Result<Option<Exchange>> {
        let Some(listen) = self.peer_listen else { return Ok(None) };
        let is_near = listen.ip().to_canonical().is_loopback();
        if tls.is_none() && !is_near && !self.peer_insecure_http {
            bail!(
                "--peer-listen {listen}: layers are handed out beyond this machine over TLS only, and \
                 this node has no certificate; join a server with TLS that holds its authority's key, \
                 or give --peer-insecure-http"
            );
        }
        let mut key = [0; 32];
        key[..16].copy_from_slice(&RandomIds.next());
        key[16..].copy_from_slice(&RandomIds.next());
        let mib = self.peer_rate.map_or(RATE_DEFAULT_MIB, NonZeroU32::get);
        let exchange = Exchange::open(PeerSettings {
            listen,
            address: instances::address_towards(server),
            name: name.to_owned(),
            key,
            tls: tls.filter(|_| !self.peer_insecure_http),
            bytes_per_second: u64::from(mib) << 20,
            clock: Arc::new(SystemClock),
        });
        Ok(Some(exchange.await.with_context(|| format!("--peer-listen {listen}"))?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use terms::{Clock, Timestamp};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use wire::tls::TlsClient;

    use super::*;
    use crate::pki::{Authority, Owner};

    /// TLS of who shows this certificate.
    fn shows(authority: &Authority, owner: Option<&Owner>, now: Timestamp) -> TlsPeers {
        let client = TlsClient::with_authorities("test", authority.pem().as_bytes()).unwrap();
        if let Some(owner) = owner {
            let (certificate, key) = authority.issue(owner, now).unwrap();
            client.show(certificate.as_bytes(), key.as_bytes()).unwrap();
        }
        client.peers("test", authority.pem().as_bytes()).unwrap()
    }

    /// Who comes, as the one that is called `name` sees it, if both take each other.
    async fn meet(server: TlsPeers, client: TlsPeers, name: &str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepting = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, name) = server.accept(stream).await.ok()?;
            stream.write_all(b"x").await.ok()?;
            stream.flush().await.ok()?;
            Some(name)
        });
        let heard = async {
            let mut stream = client.connect(name, stream).await.ok()?;
            // Only what comes tells a client that it was taken.
            stream.read_u8().await.ok()
        };
        let heard = heard.await;
        accepting.await.unwrap().filter(|_| heard.is_some())
    }

    #[tokio::test]
    async fn nodes_of_one_plane_take_each_other_by_name() {
        let now = SystemClock.now();
        let (ours, _) = Authority::make(now).unwrap();
        let (other, _) = Authority::make(now).unwrap();
        let (a, b) = (Owner::Node("a".to_owned()), Owner::Node("b".to_owned()));
        let server = Owner::Server(vec!["127.0.0.1".to_owned()]);
        let check = async |client: TlsPeers, name: &str, expected: Option<&str>| {
            let met = meet(shows(&ours, Some(&a), now), client, name).await;
            assert_eq!(met.as_deref(), expected);
        };
        check(shows(&ours, Some(&b), now), "a", Some("b")).await;
        check(shows(&ours, Some(&b), now), "b", None).await;
        check(shows(&other, Some(&b), now), "a", None).await;
        check(shows(&ours, Some(&server), now), "a", None).await;
        check(shows(&ours, None, now), "a", None).await;
    }

    #[tokio::test]
    async fn nothing_is_handed_out_beyond_this_machine_without_tls() {
        let open = async |listen: &str, peer_insecure_http| {
            let flags = PeerFlags {
                peer_listen: Some(listen.parse().unwrap()),
                peer_rate: None,
                peer_insecure_http,
            };
            flags.open("node-1", None, "http://127.0.0.1:4566").await
        };
        assert!(PeerFlags::default().open("n", None, "").await.unwrap().is_none());
        let near = open("127.0.0.1:0", false).await.unwrap().unwrap();
        assert!(near.url().starts_with("http://127.0.0.1:"), "{}", near.url());
        let refused = open("0.0.0.0:0", false).await.unwrap_err().to_string();
        assert!(refused.contains("over TLS only"), "{refused}");
        // All addresses are told as the one towards the server.
        let far = open("0.0.0.0:0", true).await.unwrap().unwrap();
        assert!(far.url().starts_with("http://127.0.0.1:"), "{}", far.url());
    }
}
