//! Connections of clients that speak HTTP/2: one task for each, which runs all of its streams.
//!
//! `connection.rs` is that task: it reads, lets streams go on, and writes what came together.
//! `frames.rs` does what frames ask for, `ending.rs` looks at the time. `streams.rs` is what a stream
//! does, `link.rs` what streams write to, `ready.rs` tells which of them can go on. `asking.rs` reads a
//! list of headers as a request. Requests of the usual kind go from there to a target's connection, and
//! its answer back into frames (`usual.rs`); all others are made into requests of the library's kind and
//! take the way of all (`answering.rs`).
//!
//! **Invariant:** what is kept of a stream has a limit: bodies of requests by the window that is given
//! back only as they are taken, answers by what was read of the target at once.
//! **Invariant:** a client that does much which leads to nothing is sent away (`budget.rs`).

mod answering;
mod asking;
mod budget;
mod connection;
mod ending;
mod frames;
mod link;
mod ready;
mod streams;
mod usual;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::clients::{Client, Plans};
use connection::Connection;

/// Most streams at the same time (Application Load Balancer guide, "Listener configuration").
const STREAMS_MAX: usize = 128;
/// Most requests over a connection; then the client is to make another.
const REQUESTS_MAX: u64 = 10_000;
/// How long a connection may take to end once it has been told to, with nothing under way.
const FAREWELL: Duration = Duration::from_secs(5);
/// Largest list of headers (Application Load Balancer guide, "Quotas"), in bytes, packed or not.
const LIST_MAX: usize = 64 * 1024;
/// Most frames that a list of headers may come in.
const LIST_FRAMES_MAX: usize = 64;
/// What the client's table of headers may have, in bytes: the usual.
const TABLE_MAX: usize = 4096;
/// What may come over a connection without being taken, in bytes.
const WINDOW: u32 = 1024 * 1024;
/// The same of one stream: one that nobody takes leaves room for others.
const STREAM_WINDOW: u32 = 512 * 1024;
/// What is read at once, in bytes.
const PART: usize = 16 * 1024;
/// Answers are added to what is to be written as long as it is less than this, in bytes.
const OUT_MAX: usize = 64 * 1024;
/// Nothing more is read while this is to be written, in bytes: a client that does not read is not heard.
const OUT_STOP: usize = 2 * OUT_MAX;

/// Serves a connection until it ends, with `closing`, or by itself.
pub(super) async fn serve<S>(
    stream: S,
    client: Arc<Client>,
    plans: Plans,
    closing: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream, client, plans);
    let mut closed = std::pin::pin!(closing.cancelled());
    std::future::poll_fn(|cx| connection.poll(cx, closed.as_mut())).await;
    // Whoever does not hear the farewell has gone already.
    let _ = tokio::time::timeout(FAREWELL, connection.into_stream().shutdown()).await;
}
