//! What containers reach the instance's own servers by.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One accepted connection.
pub type Connection = Box<dyn Stream>;

/// Accepts connections; a simulation has one without sockets.
#[async_trait]
pub trait Listener: Send {
    /// The next connection, and who it is from. May be dropped and called again without losing
    /// one.
    async fn accept(&mut self) -> io::Result<(Connection, SocketAddr)>;
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&mut self) -> io::Result<(Connection, SocketAddr)> {
        let (socket, from) = TcpListener::accept(self).await?;
        Ok((Box::new(socket), from))
    }
}
