//! Leading: packs of commits go to etcd, several on their way at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

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

/// Packs on their way at once. A pack that could hold more follows others only when it holds its
/// share: one of so many parts of all that waits and is on its way.
const FLIGHTS: usize = 4;

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

type Answers = FuturesOrdered<BoxFuture<'static, Result<EtcdAnswer, EtcdError>>>;

/// Packs on their way, in their order, and their answers.
#[derive(Default)]
struct Flights {
    flights: VecDeque<Flight>,
    answers: Answers,
}

impl Flights {
    /// How many transactions are on their way.
    fn carried(&self) -> usize {
        self.flights.iter().map(|flight| flight.taken.commits.len()).sum()
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
        let mut flights = Flights::default();
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
                    Some(answer) = flights.answers.next() => answer,
                    () = term.session.ended() => break Ended::Unknown,
                    () = cluster.wake.notified() => continue,
                }
            };
            let flight = flights.flights.pop_front().expect("each answer is a flight's");
            if let Err(ended) = self.land(term, flight, answer).await {
                break ended;
            }
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
        while flights.flights.len() < FLIGHTS {
            let Some(taken) = self.next_pack(flights) else { return Ok(()) };
            let base = *last;
            *last =
                HeadRecord { revision: taken.batch.revision, term: term.fence.created, staged: 0 };
            if taken.oversized {
                let staged = self.commit_staged(term, taken, base).await;
                *last = self.mirror.head;
                if staged == Err(Ended::Unknown) {
                    last.revision = Revision::MAX;
                }
                staged?;
                continue;
            }
            let flight = Flight { taken, base, next: *last, begun: self.cluster.etcd.now() };
            flights.answers.push_back(self.send(term, &flight));
            flights.flights.push_back(flight);
        }
        Ok(())
    }

    fn next_pack(&self, flights: &Flights) -> Option<Taken> {
        let mut head = self.shared.head.lock();
        let is_idle = flights.flights.is_empty();
        let share = flights.carried().div_ceil(FLIGHTS - 1).max(1);
        let may_go = match head.is_oversized() {
            true => is_idle,
            false => is_idle || head.has_full_pack() || head.pending() >= share,
        };
        let taken = if may_go { head.take() } else { None };
        // Whoever makes it a share wakes this task; while all are on their way, an answer does.
        let is_last = taken.is_some() && flights.flights.len() + 1 == FLIGHTS;
        head.wake_at = if is_last { usize::MAX } else { share };
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

    /// Takes the answer to the oldest flight.
    async fn land(
        &mut self,
        term: &Term,
        flight: Flight,
        mut answer: Result<EtcdAnswer, EtcdError>,
    ) -> Result<(), Ended> {
        let mut resends = 0;
        loop {
            match term.fence.judge(&flight.base, &flight.next, answer) {
                Verdict::Written(revision) => {
                    self.confirm(flight, revision);
                    return Ok(());
                }
                // All before it is confirmed, so now it is its turn.
                Verdict::Early if resends < RESENDS => {
                    resends += 1;
                    meters::ledger().overtaken.inc();
                    answer = self.send(term, &flight).await;
                }
                Verdict::Early => return Err(Ended::Fenced),
                Verdict::Over(ended) => return Err(ended),
            }
        }
    }

    fn confirm(&mut self, flight: Flight, revision: i64) {
        let Flight { taken, next, begun, .. } = flight;
        self.confirm_head(next, revision);
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
