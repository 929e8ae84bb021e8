//! Connections and the memory of their bodies: bounded, so that whoever makes many, or is slow on
//! them, loses his own (decision 0024).
//!
//! - [`table`]: who is connected, and who goes when room is needed. Pure.
//! - [`watched`]: a stream that sees when its client is slow.
//! - [`Exchange`]: one request on a connection; [`Charge`]: bytes held for one.
//!
//! **Invariant:** a connection whose request is being worked on is never closed for room, unless
//! its client does not take the answer.

mod table;
mod watched;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use table::{Change, ConnectionId, Table};
pub(crate) use watched::Watched;

use super::EdgeLimits;
use super::counters::{Counters, count, cut_off, refused};

/// Answers, and heads that were read, up to this size are not counted: they are at most 64 MiB
/// each over all connections.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// What a stream of HTTP/2 is counted as, beside the first of its connection.
const EXCHANGE_BYTES: usize = 8 * 1024;

/// From the next one on, a connection's requests that cannot be authenticated are answered late.
const FAILURES_MAX: u32 = 16;

/// How long a body waits for memory that is being freed.
const MEMORY_WAIT: Duration = Duration::from_secs(1);

/// How many expendable connections are closed when descriptors have run out.
const RELIEF: usize = 32;

/// What bytes are held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Heads and bodies of requests.
    Request,
    /// Answers.
    Response,
}

/// All connections of an edge, and what is held for them.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Mutex<Table>,
    request_bytes: AtomicUsize,
    response_bytes: AtomicUsize,
    freed: Notify,
    pub(crate) limits: EdgeLimits,
    pub(crate) counters: Arc<Counters>,
}

impl Connections {
    pub(crate) fn new(limits: EdgeLimits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::new(Table::new(limits.connections, limits.connections_per_peer)),
            request_bytes: AtomicUsize::new(0),
            response_bytes: AtomicUsize::new(0),
            freed: Notify::new(),
            limits,
            counters,
        })
    }

    /// Takes a connection, if need be in the place of one that is not at work. None if all are.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Link>> {
        let end = CancellationToken::new();
        let opened = self.table.lock().open(address, &end);
        let Some((id, in_place_of_another)) = opened else {
            cut_off(&self.counters.connections_refused, "all_at_work", 1);
            return None;
        };
        count(&self.counters.connections_accepted);
        if in_place_of_another {
            cut_off(&self.counters.connections_evicted, "room", 1);
        }
        let connections = self.clone();
        Some(Arc::new(Link {
            connections,
            id,
            end,
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            known: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }))
    }

    /// Closes some connections that are not at work: descriptors have run out.
    pub(crate) fn relieve(&self) -> usize {
        let ended = self.table.lock().end_some(RELIEF);
        cut_off(&self.counters.connections_evicted, "room", ended as u64);
        ended
    }

    /// Connections now.
    pub(crate) fn count(&self) -> usize {
        self.table.lock().len()
    }

    /// Bytes held now, of requests and of answers.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let get = |held: &AtomicUsize| held.load(Ordering::Relaxed);
        (get(&self.request_bytes), get(&self.response_bytes))
    }

    /// Waits while so much of answers waits to be read that no more should be made; ends
    /// connections that hold some and do not read. False if that did not help in time.
    pub(crate) async fn has_room_for_answers(&self) -> bool {
        let over = || {
            let held = self.response_bytes.load(Ordering::Relaxed);
            (held + 1).saturating_sub(self.limits.response_bytes)
        };
        if over() == 0 {
            return true;
        }
        let room = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                match over() {
                    0 => return,
                    bytes => self.make_room(bytes, None),
                };
                freed.await;
            }
        };
        let has_room = tokio::time::timeout(MEMORY_WAIT, room).await.is_ok();
        if !has_room {
            refused(&self.counters.refused_for_memory, "memory");
        }
        has_room
    }

    /// Room for so many bytes of a request; ends slow connections that hold some if there is none,
    /// and waits for theirs. None if that did not help.
    pub(crate) async fn charge_soon(
        self: &Arc<Self>,
        connection: Option<ConnectionId>,
        bytes: usize,
    ) -> Option<Charge> {
        let free = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if let Some(charge) = self.charge(connection, bytes) {
                    return Some(charge);
                }
                if self.make_room(bytes, connection) == 0 && bytes > self.limits.request_bytes {
                    return None;
                }
                freed.await;
            }
        };
        let charge = tokio::time::timeout(MEMORY_WAIT, free).await.ok().flatten();
        if charge.is_none() {
            refused(&self.counters.refused_for_memory, "memory");
        }
        charge
    }

    /// Room for so many bytes of a request, if need be from slow connections, but at once.
    fn charge_now(
        self: &Arc<Self>,
        connection: Option<ConnectionId>,
        bytes: usize,
    ) -> Option<Charge> {
        let charge = self.charge(connection, bytes);
        if charge.is_none() {
            self.make_room(bytes, connection);
            refused(&self.counters.refused_for_memory, "memory");
        }
        charge
    }

    /// Room for so many bytes of a request, if there is some now.
    fn charge(self: &Arc<Self>, connection: Option<ConnectionId>, bytes: usize) -> Option<Charge> {
        let fits =
            |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limits.request_bytes);
        let order = Ordering::Relaxed;
        let before = self.request_bytes.fetch_update(order, order, fits).ok()?;
        self.counters.request_bytes_peak.fetch_max(before + bytes, order);
        Some(self.charged(connection, Holding::Request, bytes))
    }

    /// Holds an answer's bytes. They are counted without a limit, for what was done cannot be
    /// undone; slow readers lose theirs if there are too many.
    fn charge_response(self: &Arc<Self>, connection: Option<ConnectionId>, bytes: usize) -> Charge {
        let before = self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = before + bytes;
        self.counters.response_bytes_peak.fetch_max(held, Ordering::Relaxed);
        let over = held.saturating_sub(self.limits.response_bytes);
        if over > 0 {
            self.make_room(over, connection);
        }
        self.charged(connection, Holding::Response, bytes)
    }

    fn charged(
        self: &Arc<Self>,
        connection: Option<ConnectionId>,
        holding: Holding,
        bytes: usize,
    ) -> Charge {
        if let Some(id) = connection {
            self.table.lock().change(id, Change::Holds(bytes));
        }
        Charge { connections: self.clone(), connection, holding, bytes }
    }

    fn make_room(&self, bytes: usize, spared: Option<ConnectionId>) -> usize {
        let ended = self.table.lock().end_holders(bytes, spared);
        cut_off(&self.counters.connections_evicted, "room", ended as u64);
        ended
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    connections: Arc<Connections>,
    id: ConnectionId,
    /// Cancelled when the connection is to make room.
    pub(crate) end: CancellationToken,
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU32,
    known: AtomicBool,
    over: AtomicBool,
}

impl Link {
    /// A request's head of so many bytes has come. None if there is no memory for it.
    pub(crate) fn begin(self: &Arc<Self>, head_bytes: usize) -> Option<Arc<Exchange>> {
        // Streams beside the first are what a connection costs more than others.
        let is_beside = self.in_flight.load(Ordering::Relaxed) > 0;
        let counted =
            head_bytes.saturating_sub(UNCOUNTED_BYTES) + if is_beside { EXCHANGE_BYTES } else { 0 };
        let mut charge = None;
        if counted > 0 {
            let charged = self.connections.charge_now(Some(self.id), counted);
            charge = Some(charged?);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.change(Change::RequestBegan);
        let stage = AtomicU8::new(READING);
        Some(Arc::new(Exchange { link: self.clone(), stage, _charge: charge }))
    }

    /// Whether a request has ever come.
    pub(crate) fn has_spoken(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// It is over, or was upgraded and belongs to its handler now: it is not watched any more,
    /// and exchanges that live on do not count.
    pub(crate) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.connections.table.lock().close(self.id);
        self.connections.freed.notify_waiters();
    }

    /// Whether a head is awaited.
    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0 && !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn change(&self, change: Change) {
        self.connections.table.lock().change(self.id, change);
    }
}

/// One request on a connection, from its head until its answer has been handed over.
#[derive(Debug)]
pub(crate) struct Exchange {
    link: Arc<Link>,
    stage: AtomicU8,
    _charge: Option<Charge>,
}

/// The stages of an exchange, in their order.
const READING: u8 = 0;
const WORKING: u8 = 1;
const WRITING: u8 = 2;

impl Exchange {
    /// The body is there: from here on the connection is not closed for room.
    pub(crate) fn work(&self) {
        if self.stage.swap(WORKING, Ordering::Relaxed) == READING {
            self.link.change(Change::WorkBegan);
        }
    }

    /// The answer is there: from here on it is the client's turn to take it.
    pub(crate) fn answered(&self) {
        self.work();
        if self.stage.swap(WRITING, Ordering::Relaxed) == WORKING {
            self.link.change(Change::Answered);
        }
    }

    /// The request was authenticated: the connection goes after those of strangers.
    pub(crate) fn authenticated(&self) {
        if !self.link.known.swap(true, Ordering::Relaxed) {
            self.link.change(Change::Known);
        }
    }

    /// The request could not be authenticated: whether that has happened too often here.
    pub(crate) fn failed(&self) -> bool {
        self.link.failures.fetch_add(1, Ordering::Relaxed) >= FAILURES_MAX
    }

    /// The connection's number.
    pub(crate) fn connection(&self) -> ConnectionId {
        self.link.id
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.link.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.link.change(match *self.stage.get_mut() {
            READING => Change::ReadingEnded,
            WORKING => Change::WorkEnded,
            _ => Change::WritingEnded,
        });
    }
}

/// Bytes that are held; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    connections: Arc<Connections>,
    connection: Option<ConnectionId>,
    holding: Holding,
    bytes: usize,
}

impl Charge {
    /// Takes another charge of the same kind and connection over.
    pub(crate) fn merge(&mut self, mut other: Self) {
        debug_assert!(other.holding == self.holding && other.connection == self.connection);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let held = match self.holding {
            Holding::Request => &self.connections.request_bytes,
            Holding::Response => &self.connections.response_bytes,
        };
        held.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(id) = self.connection {
            self.connections.table.lock().change(id, Change::Released(self.bytes));
        }
        self.connections.freed.notify_waiters();
    }
}

/// Bytes with what is charged for them.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes, charged for until the last of them is let go.
pub(crate) fn with_charge(bytes: Bytes, charge: Charge) -> Bytes {
    Bytes::from_owner(Held { bytes, _charge: charge })
}

/// An answer's bytes, charged for until the socket has taken them.
pub(crate) fn held_response(
    connections: &Arc<Connections>,
    exchange: Option<&Exchange>,
    bytes: Bytes,
) -> Bytes {
    if bytes.len() <= UNCOUNTED_BYTES {
        return bytes;
    }
    let charge = connections.charge_response(exchange.map(Exchange::connection), bytes.len());
    with_charge(bytes, charge)
}
