//! The task that follows, campaigns, and leads in turns.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::barrier::Newest;
use super::fence::Fence;
use super::{Cluster, Leader, Mirror, RETRY, Session, bounded};
use crate::ledger::Shared;
use crate::role::Leadership;
use crate::store::{EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdOp, EtcdTxn, EtcdWatch};
use crate::watch;

/// How often a follower asks whether it has missed something that its watch should have told.
const CHECK: Duration = Duration::from_secs(2);

/// The pause before everything is loaded again after that failed.
const RELOAD_PAUSE: Duration = Duration::from_secs(2);

/// Servers campaign one after the other, in the order of their names, so far apart.
const STAGGER: Duration = Duration::from_millis(30);

/// Follows and leads, until the ledger closes.
pub(super) struct Driver {
    pub(super) cluster: Arc<Cluster>,
    pub(super) shared: Arc<Shared>,
    pub(super) mirror: Mirror,
    session: watch::Receiver<Option<Arc<Session>>>,
}

/// A time of leading.
pub(super) struct Term {
    pub(super) fence: Fence,
    pub(super) session: Arc<Session>,
}

/// Why following stopped.
enum Followed {
    /// This server's own leader's key came by.
    Won(Term),
    /// The watch broke.
    Broken,
    /// History is missing, or makes no sense: load everything.
    Reload,
    Closed,
}

/// What a follower waits for besides the watch.
#[derive(Default)]
struct Errands {
    campaign: Option<BoxFuture<'static, Result<EtcdAnswer, EtcdError>>>,
    /// The check, with the moment at which it was put.
    check: Option<BoxFuture<'static, Result<(Duration, Newest), EtcdError>>>,
    /// What the last check found and the watch had not told by then.
    missed: Option<Newest>,
    /// Whether a campaign was tried since the last leader went.
    tried: bool,
}

enum Happened {
    Events(Result<Vec<EtcdEvent>, EtcdError>),
    Woken,
    SessionChanged,
    Rewatch,
    Campaigned(Result<EtcdAnswer, EtcdError>),
    Checked(Result<(Duration, Newest), EtcdError>),
}

impl Driver {
    pub(super) fn new(cluster: Arc<Cluster>, shared: Arc<Shared>, mirror: Mirror) -> Self {
        let session = cluster.session.subscribe();
        Self { cluster, shared, mirror, session }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.follow().await {
                Followed::Won(term) => self.lead(term).await,
                Followed::Broken => tokio::time::sleep(RETRY).await,
                Followed::Reload => self.reload().await,
                Followed::Closed => break,
            }
            self.tell_leadership();
        }
        self.cluster.barrier.close();
    }

    fn is_closing(&self) -> bool {
        self.shared.head.lock().closing
    }

    /// Ends the session of a server that resigns or closes; the keeper gives the lease back.
    fn obey(&self) {
        if self.is_closing() {
            self.cluster.resigning.send_replace(true);
        }
        if self.cluster.is_resigning()
            && let Some(session) = &*self.session.borrow()
        {
            session.end();
        }
    }

    fn own_term(&self) -> Option<Term> {
        let session = self.session.borrow().clone()?;
        let leader = self.mirror.leader.as_ref()?;
        if leader.lease != session.lease || session.is_over() {
            return None;
        }
        let Cluster { etcd, keys, .. } = &*self.cluster;
        let fence = Fence { etcd: etcd.clone(), keys: keys.clone(), created: leader.created };
        Some(Term { fence, session })
    }

    /// Tells who leads, when that has changed.
    fn tell_leadership(&self) {
        let session = self.session.borrow().as_ref().map(|session| session.lease);
        // Its own key still stands when a term ended badly; to lead it has to be won again.
        let others = |leader: &&Leader| Some(leader.lease) != session;
        let leader = self.mirror.leader.as_ref().filter(others);
        let leader = leader.map(|leader| leader.member.clone());
        let leader = leader.filter(|leader| *leader != self.cluster.own.member);
        self.shared.set_leadership(Leadership::Following { leader });
    }

    async fn follow(&mut self) -> Followed {
        let mut watch = match self.open_watch().await {
            Ok(watch) => watch,
            Err(stopped) => return stopped,
        };
        let mut errands = Errands::default();
        loop {
            if let Some(term) = self.own_term() {
                return Followed::Won(term);
            }
            self.tell_leadership();
            self.cluster.notes.servers(self.mirror.members.len());
            self.obey();
            if self.is_closing() {
                return Followed::Closed;
            }
            self.send_out(&mut errands);
            let happened = self.wait(&mut *watch, &mut errands).await;
            if let Some(stopped) = self.react(happened, &mut errands) {
                return stopped;
            }
        }
    }

    async fn open_watch(&mut self) -> Result<Box<dyn EtcdWatch>, Followed> {
        if self.is_closing() {
            self.obey();
            return Err(Followed::Closed);
        }
        self.mirror.forget_half_read();
        let cluster = &self.cluster;
        let from = self.mirror.etcd + 1;
        match bounded(cluster.etcd.watch(cluster.keys.all(), from)).await {
            Ok(watch) => Ok(watch),
            Err(EtcdError::Compacted) => Err(Followed::Reload),
            Err(error) => {
                tracing::warn!(%error, "etcd cannot be watched; trying again");
                Err(Followed::Broken)
            }
        }
    }

    /// Starts a campaign when nobody leads, and a check now and then.
    fn send_out(&self, errands: &mut Errands) {
        if self.mirror.leader.is_some() {
            (errands.campaign, errands.tried) = (None, false);
        } else if errands.campaign.is_none()
            && let Some(session) = self.candidacy()
        {
            errands.campaign = Some(self.campaign(&session, errands.tried));
            errands.tried = true;
        }
        if errands.check.is_none() {
            let barrier = self.cluster.barrier.clone();
            let etcd = self.cluster.etcd.clone();
            errands.check = Some(Box::pin(async move {
                tokio::time::sleep(CHECK).await;
                let asked = etcd.now();
                Ok((asked, barrier.newest().await?))
            }));
        }
    }

    /// The session to campaign under, if this server may.
    fn candidacy(&self) -> Option<Arc<Session>> {
        let own = &self.cluster.own;
        let session = self.session.borrow().clone().filter(|session| !session.is_over())?;
        let defers = self.mirror.members.values().any(|other| own.outruns(other));
        (!self.cluster.is_resigning() && !defers).then_some(session)
    }

    fn campaign(
        &self,
        session: &Session,
        tried: bool,
    ) -> BoxFuture<'static, Result<EtcdAnswer, EtcdError>> {
        let cluster = self.cluster.clone();
        let name = &cluster.own.member.name;
        let before = self.mirror.members.keys().filter(|other| *other < name).count();
        let turn = STAGGER * u32::try_from(before).unwrap_or(u32::MAX).min(100);
        let pause = if tried { RETRY + turn } else { turn };
        let key = cluster.keys.leader();
        let value = cluster.own.encode();
        let txn = EtcdTxn {
            compares: vec![EtcdCompare::Created(key.clone(), 0)],
            then: vec![EtcdOp::Put { key, value, lease: session.lease }],
            or_else: Vec::new(),
        };
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            bounded(cluster.etcd.txn(txn)).await
        })
    }

    async fn wait(&mut self, watch: &mut dyn EtcdWatch, errands: &mut Errands) -> Happened {
        let Errands { campaign, check, .. } = errands;
        tokio::select! {
            biased;
            events = watch.next() => Happened::Events(events),
            () = self.cluster.wake.notified() => Happened::Woken,
            _ = self.session.changed() => Happened::SessionChanged,
            () = self.cluster.rewatch.notified() => Happened::Rewatch,
            answer = ready(campaign) => Happened::Campaigned(answer),
            newest = ready(check) => Happened::Checked(newest),
        }
    }

    /// Gives why following stops, if it does.
    fn react(&mut self, happened: Happened, errands: &mut Errands) -> Option<Followed> {
        match happened {
            Happened::Events(Ok(events)) => return self.apply(events),
            Happened::Events(Err(EtcdError::Compacted)) => return Some(Followed::Reload),
            Happened::Events(Err(error)) => {
                tracing::warn!(%error, "the watch of etcd broke; opening it again");
                return Some(Followed::Broken);
            }
            Happened::Rewatch => return Some(Followed::Broken),
            // Nobody polls this session's successor for a campaign under the old one.
            Happened::SessionChanged => (errands.campaign, errands.tried) = (None, false),
            // Whether it was won the watch tells.
            Happened::Campaigned(answer) => {
                errands.campaign = None;
                if let Err(error) = answer {
                    tracing::debug!(%error, "a campaign for the leadership failed");
                }
            }
            Happened::Checked(newest) => {
                errands.check = None;
                let (asked, newest) = newest.ok()?;
                if newest.head <= self.mirror.head_modified {
                    self.cluster.notes.fresh(asked);
                }
                return self.compare(newest, errands);
            }
            Happened::Woken => {}
        }
        None
    }

    fn apply(&mut self, events: Vec<EtcdEvent>) -> Option<Followed> {
        for event in events {
            match self.mirror.apply(&self.cluster.keys, &self.shared.schema, event) {
                Ok(None) => {}
                Ok(Some(commit)) => self.shared.show(self.mirror.state.clone(), [commit.into()]),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot follow");
                    return Some(Followed::Reload);
                }
            }
            self.cluster.applied.send_if_modified(|applied| {
                std::mem::replace(applied, self.mirror.head_modified) != self.mirror.head_modified
            });
            // What comes next may be the work of this very server.
            if let Some(term) = self.own_term() {
                return Some(Followed::Won(term));
            }
        }
        None
    }

    /// Finds out, from one check to the next, that the watch is dead though it does not say so.
    fn compare(&mut self, newest: Newest, errands: &mut Errands) -> Option<Followed> {
        let term = self.mirror.leader.as_ref().map_or(0, |leader| leader.created);
        let (head, before) = (self.mirror.head_modified, errands.missed.take());
        if newest.head < head {
            // Someone put an older state back under us.
            return before.is_some_and(|before| before.head < head).then_some(Followed::Reload);
        }
        if newest.head > head || newest.term != term {
            let is_stuck = before.is_some_and(|before| {
                before.head > head || (before.term != term && before.term == newest.term)
            });
            if is_stuck {
                tracing::warn!("the watch of etcd tells nothing; opening it again");
                return Some(Followed::Broken);
            }
            errands.missed = Some(newest);
        }
        None
    }

    async fn reload(&mut self) {
        let Cluster { etcd, keys, .. } = &*self.cluster;
        let endpoints = self.mirror.endpoints().to_owned();
        match Mirror::load(&**etcd, keys, &self.shared.schema, &endpoints).await {
            Ok(mirror) => {
                tracing::info!(revision = mirror.state.revision, "loaded everything again");
                self.mirror = mirror;
                self.shared.show_reloaded(self.mirror.state.clone());
                self.cluster.applied.send_replace(self.mirror.head_modified);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot load again");
                tokio::time::sleep(RELOAD_PAUSE).await;
            }
        }
    }
}

/// The output of a future that may not be there; then it waits for ever.
async fn ready<T>(errand: &mut Option<BoxFuture<'static, T>>) -> T {
    match errand {
        Some(errand) => errand.await,
        None => std::future::pending().await,
    }
}
