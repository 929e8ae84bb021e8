//! The real etcd, over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions,
    Identity, KeyValue, KvClient, LeaseKeepAliveStream, LeaseKeeper, PutOptions, ResponseHeader,
    StatusResponse, TlsOptions, Txn, TxnOp, TxnOpResponse, WatchClient, WatchOptions, WatchStream,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::api::{
    Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair,
    EtcdRange, EtcdStatus, EtcdTxn, EtcdWatch,
};
use super::layout::{Keys, behind};
use super::link::{Link, explain};
use super::settings::{EtcdSettings, EtcdTls};
use crate::store::Pace;

/// A connection that is silent for so long is asked for a sign of life, and given up when none
/// comes for as long again.
const SILENCE: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a member is waited for when all are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The connection to etcd.
pub(crate) struct EtcdClient {
    link: Link,
    kv: KvClient,
    watch: WatchClient,
    /// The stream of the lease that was last renewed.
    renewal: Mutex<Option<Renewal>>,
    /// Where the last renewal, or the grant, was answered.
    place: parking_lot::Mutex<Option<Place>>,
    /// A client of each member, to look at it, once one was asked for.
    each: Mutex<Vec<Option<Client>>>,
    /// A key that every user of this ledger may read.
    readable: Vec<u8>,
}

struct Renewal {
    lease: i64,
    /// The number of the endpoint that it goes to.
    member: usize,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

/// Which member answered, in which of etcd's own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    member: u64,
    term: u64,
}

impl Place {
    fn of(header: Option<&ResponseHeader>) -> Option<Self> {
        header.map(|header| Self { member: header.member_id(), term: header.raft_term() })
    }
}

impl EtcdClient {
    /// Connects; with a user, asks etcd for a token, which is renewed when it expires.
    pub(crate) async fn connect(settings: &EtcdSettings) -> Result<Self, EtcdError> {
        let mut options = ConnectOptions::new()
            .with_keep_alive(SILENCE, SILENCE)
            .with_connect_timeout(CONNECT)
            .with_require_leader(true);
        if let Some((name, password)) = &settings.user {
            options = options.with_user(name, password.reveal()).with_auto_token_refresh(true);
        }
        if let Some(tls) = &settings.tls {
            options = options.with_tls(tls_options(tls));
        }
        let link = Link::connect(&settings.endpoints, options).await?;
        // What we ask for has limits of its own; one answer too large would stop a reader for good.
        let kv = link.client().kv_client().max_decoding_message_size(usize::MAX);
        let watch = link.client().watch_client().max_decoding_message_size(usize::MAX);
        let (renewal, place) = (Mutex::default(), parking_lot::Mutex::default());
        let each = Mutex::new((0..link.members()).map(|_| None).collect());
        let readable = Keys::new(&settings.prefix).format();
        Ok(Self { link, kv, watch, renewal, place, each, readable })
    }

    /// Renews the lease: how long it lasts, and who says so.
    async fn renew(&self, lease: i64) -> Result<Option<(Duration, Option<Place>)>, EtcdError> {
        // Kept again only when its answer has come: an answer that nobody took would otherwise
        // count for a later question.
        let Some(mut renewal) = self.renewal_of(lease).await? else { return Ok(None) };
        let answer = self.link.ask(async {
            renewal.keeper.keep_alive().await?;
            renewal.answers.message().await
        });
        match answer.await? {
            Some(answer) if answer.ttl() > 0 => {
                *self.renewal.lock().await = Some(renewal);
                Ok(Some((seconds_of(answer.ttl()), Place::of(answer.header()))))
            }
            Some(_) => Ok(None),
            None => Err(EtcdError::Lost("the stream of renewals ended".to_owned())),
        }
    }

    async fn renewal_of(&self, lease: i64) -> Result<Option<Renewal>, EtcdError> {
        let member = self.link.present();
        match self.renewal.lock().await.take() {
            Some(renewal) if (renewal.lease, renewal.member) == (lease, member) => {
                return Ok(Some(renewal));
            }
            _ => {}
        }
        let mut client = self.link.client().lease_client();
        let opened = self.link.ask(async {
            match client.keep_alive(lease).await {
                // The crate asks once when it opens the stream, and says so when the lease is gone.
                Err(Error::LeaseKeepAliveError(text)) if text == "lease not found" => Ok(None),
                opened => opened.map(Some),
            }
        });
        let opened = opened.await?;
        Ok(opened.map(|(keeper, answers)| Renewal { lease, member, keeper, answers }))
    }

    /// Where etcd is now, as a majority of its members confirms.
    async fn confirmed(&self) -> Result<Option<Place>, EtcdError> {
        let mut kv = self.kv.clone();
        let options = GetOptions::new().with_count_only();
        let answer = self.link.ask(kv.get(self.readable.as_slice(), Some(options))).await?;
        Ok(Place::of(answer.header()))
    }
}

fn tls_options(tls: &EtcdTls) -> TlsOptions {
    let mut options = match &tls.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(certificate, key.reveal()));
    }
    options
}

#[async_trait]
impl Etcd for EtcdClient {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        let ops = |ops: Vec<EtcdOp>| ops.into_iter().map(operation).collect::<Vec<_>>();
        let compares: Vec<Compare> = txn.compares.into_iter().map(comparison).collect();
        let txn = Txn::new().when(compares).and_then(ops(txn.then)).or_else(ops(txn.or_else));
        let mut kv = self.kv.clone();
        let answer = self.link.ask(kv.txn(txn)).await?;
        let found = answer.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(mut get) => Some(get.take_kvs().into_iter().next().map(pair)),
            _ => None,
        });
        Ok(EtcdAnswer {
            succeeded: answer.succeeded(),
            revision: answer.header().map_or(0, |header| header.revision()),
            found: found.collect(),
        })
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        let options = GetOptions::new()
            .with_range(range.to)
            .with_limit(i64::from(range.limit))
            .with_revision(range.revision);
        let mut kv = self.kv.clone();
        let mut answer = self.link.ask(kv.get(range.from, Some(options))).await?;
        Ok(EtcdPage {
            pairs: answer.take_kvs().into_iter().map(pair).collect(),
            more: answer.more(),
            revision: answer.header().map_or(0, |header| header.revision()),
        })
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        // Fragments bound what one message holds; the ledger needs no revision in one piece.
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_fragment();
        let mut watch = self.watch.clone();
        let stream = self.link.ask(watch.watch(prefix, Some(options))).await?;
        Ok(Box::new(Watching { link: self.link.clone(), stream }))
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        let seconds = ttl.as_secs().max(1).cast_signed();
        let mut leases = self.link.client().lease_client();
        let answer = self.link.ask(leases.grant(seconds, None)).await?;
        // A majority took part in the grant.
        *self.place.lock() = Place::of(answer.header());
        Ok(EtcdLease { id: answer.id(), ttl: seconds_of(answer.ttl()) })
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        let before = *self.place.lock();
        let Some((ttl, renewed)) = self.renew(lease).await? else { return Ok(None) };
        let after = self.confirmed().await?;
        *self.place.lock() = after;
        // A member that was deposed and does not know it yet renews too (before etcd 3.4.25 and
        // 3.5.8), and so does one that asks it. If the same member was in the same term of etcd
        // before, then and after, where a majority confirmed it, that term's leader renewed.
        if before.is_none() || before != renewed || renewed != after {
            let moved = "the renewal of a lease came from another term of etcd; it does not count";
            return Err(EtcdError::Refused(moved.to_owned()));
        }
        Ok(Some(ttl))
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        let mut leases = self.link.client().lease_client();
        let revoked = self.link.ask(async {
            match leases.revoke(lease).await {
                Err(Error::GRpcStatus(status)) if status.message().contains("lease not found") => {
                    Ok(())
                }
                revoked => revoked.map(drop),
            }
        });
        revoked.await
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        let mut kv = self.kv.clone();
        self.link.ask(kv.compact(revision, None)).await.map(drop)
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        let mut each = self.each.lock().await;
        let looks = each.iter_mut().enumerate().map(|(number, client)| async move {
            let look = async {
                if client.is_none() {
                    *client = self.link.to_member(number).await.ok();
                }
                client.as_mut()?.status().await.ok()
            };
            timeout(LOOK, look).await.ok().flatten()
        });
        let all = futures_util::future::join_all(looks).await;
        // The fullest one stops them all.
        let fullest = all.into_iter().flatten().max_by_key(StatusResponse::db_size);
        let none = || EtcdError::Lost("no member tells its status".to_owned());
        let status = fullest.ok_or_else(none)?;
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(EtcdStatus {
            size_bytes: bytes(status.db_size()),
            used_bytes: bytes(status.raft_used_db_size()),
            quota_bytes: Some(bytes(status.db_size_quota())).filter(|&quota| quota > 0),
        })
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }

    fn now(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

struct Watching {
    link: Link,
    stream: WatchStream,
}

#[async_trait]
impl EtcdWatch for Watching {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        loop {
            let Some(message) = self.stream.message().await.map_err(explain)? else {
                return Err(EtcdError::Lost("the watch ended".to_owned()));
            };
            if message.compact_revision() > 0 {
                return Err(EtcdError::Compacted);
            }
            if message.canceled() {
                self.link.heed(message.cancel_reason()).await;
                return Err(EtcdError::Lost(message.cancel_reason().to_owned()));
            }
            if !message.events().is_empty() {
                return Ok(message.events().iter().filter_map(event).collect());
            }
        }
    }
}

fn event(event: &etcd_client::Event) -> Option<EtcdEvent> {
    let deleted = event.event_type() == EventType::Delete;
    Some(EtcdEvent { deleted, pair: pair(event.kv()?.clone()) })
}

fn pair(pair: KeyValue) -> EtcdPair {
    let (created, modified, lease) = (pair.create_revision(), pair.mod_revision(), pair.lease());
    let (key, value) = pair.into_key_value();
    EtcdPair { key, value, created, modified, lease }
}

fn comparison(compare: EtcdCompare) -> Compare {
    match compare {
        EtcdCompare::Created(key, revision) => {
            Compare::create_revision(key, CompareOp::Equal, revision)
        }
        EtcdCompare::Value(key, value) => Compare::value(key, CompareOp::Equal, value),
    }
}

fn operation(op: EtcdOp) -> TxnOp {
    match op {
        EtcdOp::Put { key, value, lease: 0 } => TxnOp::put(key, value, None),
        EtcdOp::Put { key, value, lease } => {
            TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease)))
        }
        EtcdOp::Delete(key) => TxnOp::delete(key, None),
        EtcdOp::DeletePrefix(prefix) => {
            let end = behind(&prefix);
            let options = etcd_client::DeleteOptions::new().with_range(end);
            TxnOp::delete(prefix, Some(options))
        }
        EtcdOp::Get(key) => TxnOp::get(key, None),
    }
}

fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
