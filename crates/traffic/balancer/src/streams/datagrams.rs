//! Datagrams of UDP: what one client's address and port sends is a flow, which goes to one target as
//! long as it lasts (Network Load Balancer guide, "Listeners").

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::greeting::{LONGEST, Over, greeting};
use crate::listening::{Deed, Plan};
use crate::proxy::choose;
use crate::targets::{Held, TargetState};

/// How long a flow lasts without a datagram (Network Load Balancer guide, "Connection idle timeout").
const IDLE: Duration = Duration::from_secs(120);
/// Most flows of a listener; each has a socket. What is new is dropped beyond that.
const FLOWS_MAX: usize = 8 * 1024;
/// The largest datagram, in bytes.
const PART: usize = 64 * 1024;

/// What a client sends, on its way to one target.
struct Flow {
    to: Arc<UdpSocket>,
    target: Arc<TargetState>,
    /// What goes before each datagram, so that a target needs to remember none.
    greeting: Vec<u8>,
    /// Tells it from an earlier one of the same client.
    number: u64,
    life: Arc<Life>,
    back: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.back.abort();
    }
}

/// When a flow moved last, in milliseconds from its beginning on.
struct Life {
    begun: Instant,
    moved: AtomicU64,
}

impl Life {
    fn move_on(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for as long as a flow may be idle.
    async fn is_over(&self) {
        loop {
            let last = self.begun + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            if Instant::now() >= last + IDLE {
                return;
            }
            tokio::time::sleep_until(last + IDLE).await;
        }
    }
}

/// The flows of a listener.
struct Flows {
    socket: Arc<UdpSocket>,
    by_client: HashMap<SocketAddr, Flow>,
    backs: JoinSet<(SocketAddr, u64)>,
    next: u64,
}

/// Passes datagrams on, both ways, until `closing`.
pub(crate) async fn serve_datagrams(
    socket: UdpSocket,
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
) {
    let socket = Arc::new(socket);
    let mut flows =
        Flows { socket: socket.clone(), by_client: HashMap::new(), backs: JoinSet::new(), next: 0 };
    let mut part = vec![0; LONGEST + PART];
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            Some(ended) = flows.backs.join_next(), if !flows.backs.is_empty() => {
                if let Ok((client, number)) = ended {
                    flows.forget(client, number);
                }
            }
            came = socket.recv_from(&mut part[LONGEST..]) => match came {
                Ok((length, client)) => flows.pass(&mut part[..LONGEST + length], client, &plan).await,
                // The system tells so of what an earlier answer met.
                Err(error) => tracing::debug!(%error, "a datagram did not come"),
            },
        }
    }
}

impl Flows {
    /// Passes on a datagram that has room before it; what cannot be is lost, as datagrams may be.
    async fn pass(&mut self, datagram: &mut [u8], client: SocketAddr, plan: &ArcSwap<Plan>) {
        let left = self.by_client.get(&client).is_some_and(|flow| flow.target.is_leaving());
        if left {
            self.by_client.remove(&client);
        }
        if !self.by_client.contains_key(&client) && self.begin(client, plan).await.is_none() {
            return;
        }
        let Some(flow) = self.by_client.get(&client) else { return };
        flow.life.move_on();
        let begin = LONGEST - flow.greeting.len();
        datagram[begin..LONGEST].copy_from_slice(&flow.greeting);
        if let Err(error) = flow.to.send(&datagram[begin..]).await {
            tracing::debug!(%error, %client, "a datagram was lost");
        }
    }

    async fn begin(&mut self, client: SocketAddr, plan: &ArcSwap<Plan>) -> Option<()> {
        if self.by_client.len() >= FLOWS_MAX {
            return None;
        }
        let (target, greets) = {
            let plan = plan.load();
            let Deed::Forward(weighted, _) = &plan.default else { return None };
            plan.counts.connection();
            let group = choose(weighted)?;
            (group.pick_of(client, None)?, group.greets())
        };
        let greeting = match greets {
            true => greeting(Over::Datagram, client, self.socket.local_addr().ok()?),
            false => Vec::new(),
        };
        let address = target.address();
        let from: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let to = UdpSocket::bind(from).await.ok()?;
        to.connect(address).await.ok()?;
        self.next += 1;
        let (to, number) = (Arc::new(to), self.next);
        let life = Arc::new(Life { begun: Instant::now(), moved: AtomicU64::new(0) });
        let way = back(self.socket.clone(), to.clone(), client, (life.clone(), target.hold()));
        let back = self.backs.spawn(async move {
            way.await;
            (client, number)
        });
        self.by_client.insert(client, Flow { to, target, greeting, number, life, back });
        Some(())
    }

    fn forget(&mut self, client: SocketAddr, number: u64) {
        if self.by_client.get(&client).is_some_and(|flow| flow.number == number) {
            self.by_client.remove(&client);
        }
    }
}

/// Passes back what the target sends, until the flow is idle or its target turns unhealthy.
async fn back(
    socket: Arc<UdpSocket>,
    from: Arc<UdpSocket>,
    client: SocketAddr,
    (life, held): (Arc<Life>, Held),
) {
    let passing = async {
        let mut part = vec![0; PART];
        loop {
            match from.recv(&mut part).await {
                Ok(length) => {
                    life.move_on();
                    let _ = socket.send_to(&part[..length], client).await;
                }
                // Nobody listens there just now: checks will tell.
                Err(error) => tracing::debug!(%error, "a target took no datagram"),
            }
        }
    };
    tokio::select! {
        biased;
        () = passing => {}
        () = life.is_over() => {}
        () = held.cut() => {}
    }
}
