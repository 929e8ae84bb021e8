//! Leading: packs of commits go to etcd, several on their way at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};

use super::bounded;
use super::fence::{Ended, Verdict};
use super::follow::{Driver, Term};
use crate::error::LedgerError;
use crate::head::{Taken, Waiter};
use crate::ledger::Shared;
use crate::role::Leadership;
use crate::state::{Revision, State};
use crate::store::etcd::layout::{HeadRecord, encode_row};
use crate::store::{Batch, EtcdAnswer, EtcdError, EtcdOp};

/// The most packs on their way at once.
const FLIGHTS_MAX: usize = 4;

/// After so many packs of which none overtook another, one more may be on its way.
const CALM_PACKS: u32 = 256;

/// How often a pack is sent again that overtook the one before it.
const RESENDS: usize = 3;

/// A pack on its way.
struct Flight {
    taken: Taken,
    /// The head that it builds on, and the one that it makes.
    base: HeadRecord,
    next: HeadRecord,
    begun: Duration,
}

/// What a pack is to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// One transaction takes it.
    Fits,
    /// It goes in parts, when nothing else is on its way.
    Oversized,
}

type Answers = FuturesOrdered<BoxFuture<'static, Result<EtcdAnswer, EtcdError>>>;

/// Packs on their way, in their order, and their answers.
struct Flights {
    flights: VecDeque<Flight>,
    answers: Answers,
    /// The oldest one's answer, if it came while nobody waited for it.
    arrived: Option<Result<EtcdAnswer, EtcdError>>,
    /// So many may be on their way.
    width: usize,
    /// Packs since the last one that overtook another, or since the width grew.
    calm: u32,
}

impl Flights {
    fn new() -> Self {
        let (flights, answers) = (VecDeque::new(), Answers::default());
        Self { flights, answers, arrived: None, width: 2, calm: 0 }
    }

    /// Lets what was sent begin its way, and waits for nothing.
    fn start(&mut self) {
        if self.arrived.is_none() {
            self.arrived = self.answers.next().now_or_never().flatten();
        }
    }

    /// The answer to the oldest one, if there is one. Dropping the future loses nothing.
    async fn answer(&mut self) -> Option<Result<EtcdAnswer, EtcdError>> {
        match self.arrived.take() {
            Some(answer) => Some(answer),
            None => self.answers.next().await,
        }
    }

    fn has_room(&self) -> bool {
        self.flights.len() < self.width
    }

    /// How many transactions are on their way.
    fn carried(&self) -> usize {
        self.flights.iter().map(|flight| flight.taken.commits.len()).sum()
    }

    /// One was written without being overtaken.
    fn went_well(&mut self) {
        self.calm += 1;
        if self.calm == CALM_PACKS {
            (self.calm, self.width) = (0, (self.width + 1).min(FLIGHTS_MAX));
        }
    }

    /// One was overtaken: those behind it are refused, and so would all be that were sent now.
    /// etcd lets requests overtake each other when it is busy; then one at a time is faster.
    fn went_wrong(&mut self) {
        (self.calm, self.width) = (0, 1);
    }
}

impl Driver {
    /// Leads until the term is over.
    pub(super) async fn lead(&mut self, term: Term) {
        tracing::info!(term = term.fence.created, revision = self.mirror.state.revision, "leading");
        let settled = term.fence.settle(self.mirror.head).await;
        let ended = match settled.map(|settled| self.confirm_settled(settled)) {
            Ok(()) => {
                self.begin(&term);
                self.serve(&term).await
            }
            Err(ended) => ended,
        };
        tracing::info!(term = term.fence.created, ?ended, "leading no more");
        term.session.end();
        self.mirror.state = State::clone(&self.shared.published.load());
    }

    fn confirm_settled(&mut self, settled: Option<(HeadRecord, i64)>) {
        if let Some((head, revision)) = settled {
            self.confirm_head(head, revision);
            self.cluster.applied.send_replace(revision);
        }
        self.mirror.forget_staged();
    }

    /// Commits what is too large for one transaction. Nothing else is on its way.
    async fn commit_staged(
        &mut self,
        term: &Term,
        taken: Taken,
        base: HeadRecord,
    ) -> Result<(), Ended> {
        let Batch { revision, writes } = &taken.batch;
        let (valid, modified) = term.fence.stage(&base, *revision, writes).await?;
        let bytes: usize = writes.iter().map(crate::store::Write::size_bytes).sum();
        // Once in its parts, and once in its place.
        self.cluster.written.fetch_add(2 * bytes as u64, Ordering::Relaxed);
        self.confirm_head(valid, modified);
        self.shared.publish(taken.state, taken.commits);
        self.cluster.applied.send_replace(modified);
        let settled = term.fence.settle(valid).await?;
        self.confirm_settled(settled);
        Ok(())
    }

    fn begin(&self, term: &Term) {
        self.shared.head.lock().begin(self.mirror.state.clone());
        self.cluster.leading.store(Some(term.session.clone()));
        self.shared.set_leadership(Leadership::Leading);
        meters::ledger().terms.inc();
    }

    async fn serve(&mut self, term: &Term) -> Ended {
        let mut flights = Flights::new();
        let mut head = self.mirror.head;
        let ended = loop {
            if let Err(ended) = self.launch(term, &mut flights, &mut head).await {
                break ended;
            }
            if flights.flights.is_empty() && self.is_done() {
                break Ended::Resigned;
            }
            let answer = {
                let cluster = &self.cluster;
                tokio::select! {
                    biased;
                    Some(answer) = flights.answer() => answer,
                    () = term.session.ended() => break Ended::Unknown,
                    () = cluster.wake.notified() => continue,
                }
            };
            let flight = flights.flights.pop_front().expect("each answer is a flight's");
            let revision = match self.land(term, &mut flights, &flight, answer).await {
                Ok(revision) => revision,
                Err(ended) => break ended,
            };
            self.confirm_head(flight.next, revision);
            // First the next pack, so that etcd has work while callers are answered.
            self.send_packs(term, &mut flights, &mut head);
            flights.start();
            self.confirm(flight, revision);
        };
        // First of all nobody reads here without asking.
        self.cluster.leading.store(None);
        meters::ledger().failures.inc_by(flights.flights.len() as u64);
        // All that was launched may be written when an answer stayed away.
        let unknown = (ended == Ended::Unknown).then_some(head.revision);
        self.shared.end_term(unknown);
        ended
    }

    /// Whether this server is to stop leading, and nothing waits. From the first call of a server
    /// that resigns on, nothing more is taken.
    fn is_done(&self) -> bool {
        let mut head = self.shared.head.lock();
        if !head.closing && !self.cluster.is_resigning() {
            return false;
        }
        head.refused = Some(LedgerError::NotLeading { leader: None });
        head.pending() == 0
    }

    /// Sends what is to be sent now.
    async fn launch(
        &mut self,
        term: &Term,
        flights: &mut Flights,
        last: &mut HeadRecord,
    ) -> Result<(), Ended> {
        if self.cluster.is_resigning() {
            // So that what waits is all that is left to do.
            let refusal = LedgerError::NotLeading { leader: None };
            self.shared.head.lock().refused.get_or_insert(refusal);
        }
        self.send_packs(term, flights, last);
        while flights.flights.is_empty() {
            let Some(taken) = self.next_pack(flights, Size::Oversized) else { return Ok(()) };
            let base = *last;
            let staged = self.commit_staged(term, taken, base).await;
            *last = self.mirror.head;
            if staged == Err(Ended::Unknown) {
                last.revision = Revision::MAX;
            }
            staged?;
            self.send_packs(term, flights, last);
        }
        Ok(())
    }

    /// Sends the packs that fit into one transaction, as long as they may go.
    fn send_packs(&self, term: &Term, flights: &mut Flights, last: &mut HeadRecord) {
        while flights.has_room() {
            let Some(taken) = self.next_pack(flights, Size::Fits) else { return };
            let base = *last;
            *last =
                HeadRecord { revision: taken.batch.revision, term: term.fence.created, staged: 0 };
            let flight = Flight { taken, base, next: *last, begun: self.cluster.etcd.now() };
            flights.answers.push_back(self.send(term, &flight));
            flights.flights.push_back(flight);
        }
    }

    /// The next pack, if it is of this size and may go: full ones may when there is room, others
    /// when nothing is on its way, or not more than they hold.
    fn next_pack(&self, flights: &Flights, size: Size) -> Option<Taken> {
        let mut head = self.shared.head.lock();
        let carried = flights.carried();
        let is_size = head.is_oversized() == (size == Size::Oversized);
        let is_share = carried == 0 || head.has_full_pack() || head.pending() >= carried;
        let taken = if is_size && is_share { head.take() } else { None };
        // While there is no room, answers wake this task.
        let carried = carried + taken.as_ref().map_or(0, |taken| taken.commits.len());
        let had_room = flights.flights.len() + usize::from(taken.is_some()) < flights.width;
        head.wake_at = if had_room { carried.max(1) } else { usize::MAX };
        taken
    }

    fn send(
        &self,
        term: &Term,
        flight: &Flight,
    ) -> BoxFuture<'static, Result<EtcdAnswer, EtcdError>> {
        let keys = &term.fence.keys;
        let Batch { writes, .. } = &flight.taken.batch;
        let mut then = Vec::with_capacity(writes.len() + 1);
        for write in writes {
            let key = keys.row(write.table, &write.key);
            then.push(match &write.row {
                Some(row) => EtcdOp::put(key, encode_row(row)),
                None => EtcdOp::Delete(key),
            });
        }
        // Last, so that whoever watches has all of the commit when the head comes.
        then.push(EtcdOp::put(keys.head(), flight.next.encode()));
        let fence = term.fence.clone();
        let txn = fence.txn(&flight.base, then);
        Box::pin(async move { bounded(fence.etcd.txn(txn)).await })
    }

    /// Takes the answer to the oldest flight; gives etcd's revision of it.
    async fn land(
        &self,
        term: &Term,
        flights: &mut Flights,
        flight: &Flight,
        mut answer: Result<EtcdAnswer, EtcdError>,
    ) -> Result<i64, Ended> {
        let mut resends = 0;
        loop {
            match term.fence.judge(&flight.base, &flight.next, answer) {
                Verdict::Written(revision) => {
                    if resends == 0 {
                        flights.went_well();
                    }
                    return Ok(revision);
                }
                // All before it is confirmed, so now it is its turn.
                Verdict::Early if resends < RESENDS => {
                    resends += 1;
                    flights.went_wrong();
                    meters::ledger().overtaken.inc();
                    answer = self.send(term, flight).await;
                }
                Verdict::Early => return Err(Ended::Fenced),
                Verdict::Over(ended) => return Err(ended),
            }
        }
    }

    /// Shows what was written, and answers those who wait for it.
    fn confirm(&self, flight: Flight, revision: i64) {
        let Flight { taken, begun, .. } = flight;
        let took = self.cluster.etcd.now().saturating_sub(begun);
        meters::ledger().committed(taken.commits.len(), taken.batch.writes.len(), took, true);
        let bytes: usize = taken.batch.writes.iter().map(crate::store::Write::size_bytes).sum();
        self.cluster.written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.shared.publish(taken.state, taken.commits);
        self.cluster.applied.send_replace(revision);
    }

    /// Notes the head that etcd has confirmed at its `revision`.
    fn confirm_head(&mut self, head: HeadRecord, revision: i64) {
        self.mirror.head = head;
        self.mirror.head_modified = revision;
        self.mirror.etcd = revision;
    }
}

impl Shared {
    /// Drops all that is not durable, and tells those who wait: of commits up to `unknown` that
    /// they may have been written, of later ones that they were not.
    fn end_term(self: &Arc<Self>, unknown: Option<Revision>) {
        let durable = State::clone(&self.published.load());
        let refusal = LedgerError::NotLeading { leader: None };
        let waiting: Vec<Waiter> = self.head.lock().refuse(durable, refusal.clone());
        self.set_leadership(Leadership::Following { leader: None });
        for waiter in waiting {
            let is_unknown = unknown.is_some_and(|unknown| waiter.revision() <= unknown);
            let error = if is_unknown { LedgerError::OutcomeUnknown } else { refusal.clone() };
            waiter.tell(Err(error));
        }
    }

    /// Tells who leads, if that is news.
    pub(crate) fn set_leadership(&self, now: Leadership) {
        self.leadership.send_if_modified(|told| {
            let is_news = *told != now;
            *told = now;
            is_news
        });
    }
}
