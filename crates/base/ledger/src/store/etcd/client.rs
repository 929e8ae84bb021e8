//! The real etcd, over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions,
    Identity, KeyValue, KvClient, LeaseKeepAliveStream, LeaseKeeper, PutOptions, TlsOptions, Txn,
    TxnOp, TxnOpResponse, WatchClient, WatchOptions, WatchStream,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;

use super::api::{
    Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair,
    EtcdRange, EtcdStatus, EtcdTxn, EtcdWatch,
};
use super::layout::behind;
use super::settings::{EtcdSettings, EtcdTls};

/// A connection that is silent for so long is asked for a sign of life, and given up when none
/// comes for as long again.
const SILENCE: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);

/// The connection to etcd's endpoints; requests go to one that answers.
pub(crate) struct EtcdClient {
    client: Client,
    kv: KvClient,
    watch: WatchClient,
    /// The stream of the lease that was last renewed.
    renewal: Mutex<Option<Renewal>>,
}

struct Renewal {
    lease: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
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
        let client = Client::connect(&settings.endpoints, Some(options)).await.map_err(explain)?;
        // What we ask for has limits of its own; one answer too large would stop a reader for good.
        let kv = client.kv_client().max_decoding_message_size(usize::MAX);
        let watch = client.watch_client().max_decoding_message_size(usize::MAX);
        Ok(Self { client, kv, watch, renewal: Mutex::new(None) })
    }

    async fn renewal_of(&self, lease: i64) -> Result<Option<Renewal>, EtcdError> {
        match self.renewal.lock().await.take() {
            Some(renewal) if renewal.lease == lease => return Ok(Some(renewal)),
            _ => {}
        }
        match self.client.lease_client().keep_alive(lease).await {
            Ok((keeper, answers)) => Ok(Some(Renewal { lease, keeper, answers })),
            // The crate asks once when it opens the stream, and says so when the lease is gone.
            Err(Error::LeaseKeepAliveError(text)) if text == "lease not found" => Ok(None),
            Err(error) => Err(explain(error)),
        }
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
        let answer = self.kv.clone().txn(txn).await.map_err(explain)?;
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
        let mut answer = self.kv.clone().get(range.from, Some(options)).await.map_err(explain)?;
        Ok(EtcdPage {
            pairs: answer.take_kvs().into_iter().map(pair).collect(),
            more: answer.more(),
            revision: answer.header().map_or(0, |header| header.revision()),
        })
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        // Fragments bound what one message holds; the ledger needs no revision in one piece.
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_fragment();
        let stream = self.watch.clone().watch(prefix, Some(options)).await.map_err(explain)?;
        Ok(Box::new(Watching { stream }))
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        let seconds = ttl.as_secs().max(1).cast_signed();
        let answer = self.client.lease_client().grant(seconds, None).await.map_err(explain)?;
        Ok(EtcdLease { id: answer.id(), ttl: seconds_of(answer.ttl()) })
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        // Kept again only when its answer has come: an answer that nobody took would otherwise
        // count for a later question.
        let Some(mut renewal) = self.renewal_of(lease).await? else { return Ok(None) };
        renewal.keeper.keep_alive().await.map_err(explain)?;
        match renewal.answers.message().await.map_err(explain)? {
            Some(answer) if answer.ttl() > 0 => {
                *self.renewal.lock().await = Some(renewal);
                Ok(Some(seconds_of(answer.ttl())))
            }
            Some(_) => Ok(None),
            None => Err(EtcdError::Lost("the stream of renewals ended".to_owned())),
        }
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        match self.client.lease_client().revoke(lease).await {
            Ok(_) => Ok(()),
            Err(Error::GRpcStatus(status)) if status.message().contains("lease not found") => {
                Ok(())
            }
            Err(error) => Err(explain(error)),
        }
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.kv.clone().compact(revision, None).await.map(drop).map_err(explain)
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        let status = self.client.maintenance_client().status().await.map_err(explain)?;
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(EtcdStatus {
            size_bytes: bytes(status.db_size()),
            used_bytes: bytes(status.raft_used_db_size()),
            quota_bytes: Some(bytes(status.db_size_quota())).filter(|&quota| quota > 0),
        })
    }

    fn now(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

struct Watching {
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

/// gRPC's codes that etcd answers with only when it did nothing.
/// <https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/api/v3rpc/rpctypes/error.go>
const REFUSALS: [i32; 8] = [
    3,  // invalid argument
    5,  // not found
    6,  // already exists
    7,  // permission denied
    8,  // resource exhausted: too many requests
    9,  // failed precondition
    12, // unimplemented
    16, // unauthenticated
];

fn explain(error: Error) -> EtcdError {
    let Error::GRpcStatus(status) = error else {
        return match error {
            Error::InvalidArgs(_) | Error::InvalidUri(_) => EtcdError::Refused(error.to_string()),
            other => EtcdError::Lost(other.to_string()),
        };
    };
    let message = status.message();
    if message.contains("has been compacted") {
        EtcdError::Compacted
    } else if message.contains("database space exceeded") {
        EtcdError::Full
    } else if REFUSALS.contains(&(status.code() as i32)) {
        EtcdError::Refused(message.to_owned())
    } else {
        EtcdError::Lost(message.to_owned())
    }
}
