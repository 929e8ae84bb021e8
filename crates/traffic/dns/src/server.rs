//! Sockets: one of UDP, one of TCP, on the same address and port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::answer::{Way, answer};
use crate::zone::Zones;

/// Most bytes of a question that is read from UDP.
const QUESTION_MAX: usize = 4096;
/// Most connections of TCP at once; more are closed.
const CONNECTIONS_MAX: usize = 128;
/// How long a connection may take for a question, or between two of them (RFC 7766, 6.2.3: seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How often a port that the system chose is tried for UDP after TCP had it.
const TRIES: usize = 16;

/// Answers on one address.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    zones: Zones,
}

impl Server {
    /// Takes the address for UDP and for TCP; with port 0, one that is free for both.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn bind(address: SocketAddr, zones: Zones) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let tcp = TcpListener::bind(address).await?;
            let bound = tcp.local_addr()?;
            match UdpSocket::bind(bound).await {
                Ok(udp) => return Ok(Self { udp, tcp, address: bound, zones }),
                Err(_) if address.port() == 0 && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { udp, tcp, zones, .. } = self;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = datagrams(&udp, &zones) => {}
            () = connections(&tcp, &zones) => {}
        }
    }
}

async fn datagrams(socket: &UdpSocket, zones: &Zones) {
    let mut question = vec![0; QUESTION_MAX];
    loop {
        match socket.recv_from(&mut question).await {
            Ok((length, client)) => {
                let Some(told) = answer(zones, &question[..length], Way::Udp) else { continue };
                if let Err(error) = socket.send_to(&told, client).await {
                    tracing::debug!(%error, %client, "an answer of DNS was lost");
                }
            }
            // The system tells so of what an earlier answer met.
            Err(error) => tracing::debug!(%error, "a question of DNS did not come"),
        }
    }
}

async fn connections(listener: &TcpListener, zones: &Zones) {
    let (room, mut open) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), JoinSet::new());
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(place) = room.clone().try_acquire_owned() else { continue };
                let zones = zones.clone();
                open.spawn(async move {
                    let ended = converse(stream, &zones).await;
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection of DNS broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of files, say: more come free as connections end.
                tracing::debug!(%error, "a connection of DNS did not come about");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Answers the questions of a connection, each with its length before it (RFC 1035, 4.2.2).
async fn converse(mut stream: TcpStream, zones: &Zones) -> io::Result<()> {
    loop {
        let asked = tokio::time::timeout(IDLE, read(&mut stream)).await;
        let Ok(Some(question)) = asked.map_err(io::Error::other)? else { return Ok(()) };
        let Some(told) = answer(zones, &question, Way::Tcp) else { return Ok(()) };
        let length = u16::try_from(told.len()).map_err(io::Error::other)?;
        let mut whole = length.to_be_bytes().to_vec();
        whole.extend_from_slice(&told);
        tokio::time::timeout(IDLE, stream.write_all(&whole)).await.map_err(io::Error::other)??;
    }
}

/// The next question; none at the end.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}
