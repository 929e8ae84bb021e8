//! A server's session: a lease that shows that it lives, and under which it may lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Cluster, RETRY, bounded};
use crate::store::{EtcdError, EtcdOp, EtcdTxn};
use crate::watch;

/// A lease and how long it surely lasts.
pub(super) struct Session {
    pub(super) lease: i64,
    ttl: Duration,
    /// Until this moment of [`crate::Etcd::now`], in nanoseconds, the lease lasts at least: the
    /// time when its last renewal was *sent*, and its whole length.
    valid_until: AtomicU64,
    over: watch::Sender<bool>,
}

/// A tenth of the lease covers that two machines' clocks run at different speeds.
const MARGIN_PARTS: u32 = 10;

/// Renewals in the time of a lease.
const RENEWALS: u32 = 3;

/// Tries in the time between two renewals.
const TRIES: u32 = 4;

impl Session {
    fn new(lease: i64, ttl: Duration, sent: Duration) -> Self {
        let session =
            Self { lease, ttl, valid_until: AtomicU64::new(0), over: watch::Sender::new(false) };
        session.extend(sent, ttl);
        session
    }

    fn extend(&self, sent: Duration, ttl: Duration) {
        let until = sent + ttl - ttl / MARGIN_PARTS;
        let nanos = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.valid_until.fetch_max(nanos, Ordering::SeqCst);
    }

    /// Whether no other server can lead at `now`, by this machine's clock.
    pub(super) fn is_surely_valid(&self, now: Duration) -> bool {
        !self.is_over() && now.as_nanos() < u128::from(self.valid_until.load(Ordering::SeqCst))
    }

    /// How long it surely lasts from `now` on.
    pub(super) fn left(&self, now: Duration) -> Duration {
        if self.is_over() {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.valid_until.load(Ordering::SeqCst)).saturating_sub(now)
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Ends it, whoever finds out first.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Returns when it is over.
    pub(super) async fn ended(&self) {
        let mut over = self.over.subscribe();
        // The sender lives in the session itself.
        let _ = over.wait_for(|over| *over).await;
    }
}

impl Cluster {
    /// Has a session at all times, one after the other, until the server resigns.
    pub(super) async fn keep_sessions(self: Arc<Self>) {
        let mut resigning = self.resigning.subscribe();
        while !self.is_resigning() {
            let opened = bounded(self.open_session()).await;
            let session = match opened {
                Ok(session) => Arc::new(session),
                Err(error) => {
                    tracing::warn!(%error, "no lease from etcd; trying again");
                    let _ = tokio::time::timeout(RETRY, resigning.wait_for(|now| *now)).await;
                    continue;
                }
            };
            self.session.send_replace(Some(session.clone()));
            self.keep_alive(&session).await;
            session.end();
            self.session.send_replace(None);
            // The others need not wait for the lease to run out. If this fails, they do.
            let revoked = tokio::time::timeout(session.ttl, self.etcd.revoke(session.lease));
            if let Ok(Err(error)) = revoked.await {
                tracing::warn!(%error, "a lease could not be given back");
            }
        }
        self.resigned.send_replace(true);
    }

    async fn open_session(&self) -> Result<Session, EtcdError> {
        let sent = self.etcd.now();
        let lease = self.etcd.grant(self.lease).await?;
        let put = EtcdOp::Put {
            key: self.keys.member(&self.own.member.name),
            value: self.own.encode(),
            lease: lease.id,
        };
        self.etcd.txn(EtcdTxn { then: vec![put], ..EtcdTxn::default() }).await?;
        Ok(Session::new(lease.id, lease.ttl, sent))
    }

    /// Renews the lease until it is lost, or the session was ended.
    async fn keep_alive(&self, session: &Session) {
        let pause = session.ttl / RENEWALS;
        let mut next = pause;
        loop {
            tokio::select! {
                biased;
                () = session.ended() => return,
                () = tokio::time::sleep(next) => {}
            }
            let sent = self.etcd.now();
            next = match tokio::time::timeout(pause, self.renew(session, sent)).await {
                Ok(Ok(true)) => pause,
                Ok(Ok(false)) => {
                    tracing::warn!("the lease in etcd is lost");
                    return;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a renewal of the lease failed");
                    pause / TRIES
                }
                Err(_) => pause / TRIES,
            };
            let now = self.etcd.now().as_nanos();
            if now >= u128::from(session.valid_until.load(Ordering::SeqCst)) {
                tracing::warn!("the lease in etcd could not be renewed in time");
                return;
            }
        }
    }

    /// Renews once; false when the lease, or the leadership under it, is gone.
    async fn renew(&self, session: &Session, sent: Duration) -> Result<bool, EtcdError> {
        let Some(ttl) = self.etcd.keep_alive(session.lease).await? else { return Ok(false) };
        // An etcd member that was deposed and does not know it yet renews too. A read that a
        // majority has to confirm finds that out, and also a leader's key deleted by hand.
        if self.leading.load().as_ref().is_some_and(|leading| leading.lease == session.lease) {
            let read =
                EtcdTxn { then: vec![EtcdOp::Get(self.keys.leader())], ..EtcdTxn::default() };
            let found = self.etcd.txn(read).await?.found.pop().flatten();
            if found.is_none_or(|key| key.lease != session.lease) {
                return Ok(false);
            }
        }
        session.extend(sent, ttl);
        Ok(true)
    }
}
