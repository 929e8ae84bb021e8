//! Balancers on hosts of their own: who has joined, what they are told (`route.rs`), what they found.
//!
//! Nothing of that is in the ledger. Who leads knows who has joined, because each of them keeps a
//! request open; when another server leads, they join there.

mod route;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use balancer::{Balancer, Count, Found};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::decide::{Front, Telling};
pub use route::BALANCER_PATH;
pub(crate) use route::route;

/// How long a balancer whose request ended counts as one that still serves: it may be back at once.
const AWAY: Duration = Duration::from_secs(10);
/// Most balancers at once.
const MEMBERS_MAX: usize = 64;

/// What a load balancer has had to do at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The balancer's name; none for the server itself.
    pub balancer: Option<String>,
    /// What there was.
    pub count: Count,
}

/// Those that have joined.
#[derive(Default)]
pub(crate) struct Balancers {
    members: Mutex<Vec<Member>>,
    /// Woken when they are others, or tell something new.
    pub(crate) changed: Notify,
    /// What there is to tell; nothing on a server that does not lead.
    telling: watch::Sender<Option<Arc<Telling>>>,
    /// The server's own data plane, while it leads.
    own: Mutex<Option<Balancer>>,
    tickets: AtomicU64,
}

/// One that has joined.
struct Member {
    /// The number of the request that it has open, or had last.
    ticket: u64,
    start: String,
    name: String,
    serves: Vec<String>,
    away_since: Option<Instant>,
    found: Option<Arc<Found>>,
}

/// Why one cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// This server does not lead, or not yet.
    NotLeading,
    /// There are as many as there may be.
    TooMany,
}

/// What a balancer's open request holds: when it is dropped, the balancer is away.
struct Ticket {
    balancers: Arc<Balancers>,
    number: u64,
    start: String,
    serves: Vec<String>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut members = self.balancers.members.lock();
        // It may have another request open by now.
        if let Some(member) = members.iter_mut().find(|member| member.ticket == self.number) {
            tracing::info!(balancer = member.name, "a balancer is away");
            member.away_since = Some(Instant::now());
        }
        drop(members);
        self.balancers.changed.notify_one();
    }
}

impl Balancers {
    /// Begins with this data plane of the server's own. Balancers can join as soon as there is
    /// something to tell.
    pub(crate) fn open(&self, own: &Balancer) {
        *self.own.lock() = Some(own.clone());
    }

    /// Ends what all of them have open, and forgets them.
    pub(crate) fn close(&self) {
        self.telling.send_replace(None);
        *self.own.lock() = None;
        self.members.lock().clear();
    }

    /// Tells them this from now on.
    pub(crate) fn tell(&self, telling: Telling) {
        self.telling.send_if_modified(|before| {
            let is_new = before.as_deref() != Some(&telling);
            if is_new {
                *before = Some(Arc::new(telling));
            }
            is_new
        });
    }

    /// Whether there is any.
    pub(crate) fn any(&self) -> bool {
        !self.members.lock().is_empty()
    }

    /// Those that have told what they found, in the order in which they joined; and when the next one
    /// that is away is forgotten.
    pub(crate) fn fronts(&self) -> (Vec<Front>, Option<Duration>) {
        let mut members = self.members.lock();
        let is_over = |member: &Member| member.away_since.is_some_and(|at| at.elapsed() >= AWAY);
        members.retain(|member| {
            if is_over(member) {
                tracing::warn!(balancer = member.name, "a balancer has gone");
            }
            !is_over(member)
        });
        let left = |member: &Member| Some(AWAY.saturating_sub(member.away_since?.elapsed()));
        let next = members.iter().filter_map(left).min();
        let front = |member: &Member| {
            Some(Front {
                start: member.start.clone(),
                is_there: member.away_since.is_none(),
                serves: member.serves.clone(),
                found: Arc::clone(member.found.as_ref()?),
            })
        };
        (members.iter().filter_map(front).collect(), next)
    }

    /// What load balancers have had to do, here and elsewhere.
    pub(crate) fn served(&self) -> Vec<Served> {
        let own = self.own.lock().clone();
        let own = own.map(|own| own.counts()).unwrap_or_default();
        let own = own.into_iter().map(|count| Served { balancer: None, count });
        let members = self.members.lock();
        let of_member = |member: &Member| {
            let name = member.name.clone();
            let counts = member.found.as_ref().map(|found| found.counts.clone());
            let served = move |count| Served { balancer: Some(name.clone()), count };
            counts.unwrap_or_default().into_iter().map(served).collect::<Vec<_>>()
        };
        own.chain(members.iter().flat_map(of_member)).collect()
    }

    /// How many are there.
    pub(crate) fn count(&self) -> usize {
        self.members.lock().iter().filter(|member| member.away_since.is_none()).count()
    }

    /// Lets one join. It takes the place of an earlier start of the same name that is away, and what
    /// that one found counts until it tells something itself.
    fn join(
        self: &Arc<Self>,
        name: String,
        start: String,
        serves: Vec<String>,
    ) -> Result<Ticket, Refused> {
        if self.telling.borrow().is_none() {
            return Err(Refused::NotLeading);
        }
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        let mut members = self.members.lock();
        let is_before = |member: &Member| member.name == name && member.away_since.is_some();
        let same = members.iter().position(|member| member.start == start);
        let place = same.or_else(|| members.iter().position(is_before));
        if place.is_none() && members.len() >= MEMBERS_MAX {
            return Err(Refused::TooMany);
        }
        tracing::info!(balancer = name, "a balancer has joined");
        let joined = Member {
            ticket: number,
            start: start.clone(),
            name,
            serves: serves.clone(),
            away_since: None,
            found: place.and_then(|place| members[place].found.take()),
        };
        match place {
            Some(place) => members[place] = joined,
            None => members.push(joined),
        }
        drop(members);
        self.changed.notify_one();
        Ok(Ticket { balancers: self.clone(), number, start, serves })
    }

    /// Takes what one found. Gives whether it has joined.
    fn note(&self, found: Found) -> bool {
        let mut members = self.members.lock();
        let Some(place) = members.iter().position(|member| member.start == found.start) else {
            return false;
        };
        match found.is_last {
            true => {
                let member = members.remove(place);
                tracing::info!(balancer = member.name, "a balancer has left");
            }
            false => members[place].found = Some(Arc::new(found)),
        }
        drop(members);
        self.changed.notify_one();
        true
    }
}
