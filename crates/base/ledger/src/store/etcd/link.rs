//! Which member of etcd is asked, and what its errors mean.
//!
//! All calls go to one member, so that transactions arrive in the order in which they were sent,
//! and so that a member that is down fails no calls of those that could be answered. When it does
//! not answer, the next one of the list is asked from then on.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::api::EtcdError;

/// A member that has not answered by then is left when its caller gives up.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// How long one member is tried when a connection is made.
const TRY: Duration = Duration::from_secs(4);

/// The members of an etcd, and the one that is asked. Clones are the same one.
#[derive(Clone)]
pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    options: ConnectOptions,
    endpoints: Vec<String>,
    /// The number of the endpoint that is asked.
    present: AtomicUsize,
    moving: Mutex<()>,
}

impl Link {
    /// Connects to the first of the endpoints that answers.
    pub(super) async fn connect(
        endpoints: &[String],
        options: ConnectOptions,
    ) -> Result<Self, EtcdError> {
        let mut failed = EtcdError::Refused("no endpoint is named".to_owned());
        for (number, endpoint) in endpoints.iter().enumerate() {
            match timeout(TRY, try_one(endpoint, &options)).await {
                Ok(Ok(client)) => {
                    let (endpoints, present) = (endpoints.to_vec(), AtomicUsize::new(number));
                    let moving = Mutex::new(());
                    let inner = Inner { client, options, endpoints, present, moving };
                    return Ok(Self { inner: Arc::new(inner) });
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = EtcdError::Lost("no answer in time".to_owned()),
            }
            tracing::debug!(endpoint, error = %failed, "a member of etcd does not answer");
        }
        Err(failed)
    }

    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// How many members are known.
    pub(super) fn members(&self) -> usize {
        self.inner.endpoints.len()
    }

    /// A client of one member alone.
    pub(super) async fn to_member(&self, number: usize) -> Result<Client, Error> {
        Client::connect([&self.inner.endpoints[number]], Some(self.inner.options.clone())).await
    }

    /// Carries out a call, and judges the member by what comes of it.
    pub(super) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EtcdError> {
        let mut asked = Asked::of(self);
        let answer = call.await;
        asked.is_answered = true;
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if let Error::GRpcStatus(status) = &error {
            self.heed(status.message()).await;
        }
        let error = explain(error);
        if matches!(error, EtcdError::Lost(_)) {
            self.leave(asked.number);
        }
        Err(error)
    }

    /// Asks for a new token if etcd's words say that the present one is good no more.
    pub(super) async fn heed(&self, words: &str) {
        if !OUTDATED.iter().any(|text| words.contains(text)) {
            return;
        }
        if let Err(error) = self.inner.client.refresh_token().await {
            tracing::warn!(%error, "etcd gives no new token");
        }
    }

    /// The number of the member that is asked now.
    pub(super) fn present(&self) -> usize {
        self.inner.present.load(Ordering::Acquire)
    }

    /// Lets the next member be asked, if it is still this one.
    fn leave(&self, number: usize) {
        if self.inner.endpoints.len() == 1 || self.present() != number {
            return;
        }
        // Calls are given up also when everything ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let link = self.clone();
        runtime.spawn(async move { link.inner.move_on(number).await });
    }
}

impl Inner {
    async fn move_on(&self, from: usize) {
        let _moving = self.moving.lock().await;
        if self.present.load(Ordering::Acquire) != from {
            return;
        }
        let to = (from + 1) % self.endpoints.len();
        tracing::warn!(
            from = self.endpoints[from],
            to = self.endpoints[to],
            "a member of etcd does not answer; asking the next"
        );
        let moved = async {
            self.client.add_endpoint(&self.endpoints[to]).await?;
            self.client.remove_endpoint(&self.endpoints[from]).await
        };
        match moved.await {
            Ok(()) => self.present.store(to, Ordering::Release),
            Err(error) => tracing::error!(%error, "the next member of etcd cannot be asked"),
        }
    }
}

/// A client of one member, which has answered.
async fn try_one(endpoint: &str, options: &ConnectOptions) -> Result<Client, EtcdError> {
    let client = Client::connect([endpoint], Some(options.clone())).await.map_err(explain)?;
    // Connections are made by the first call. What it is told does not matter.
    match client.kv_client().get("\0", None).await.map_err(explain) {
        Err(error @ EtcdError::Lost(_)) => Err(error),
        Ok(_) | Err(_) => Ok(client),
    }
}

/// A call to a member. One that is given up (the future is dropped) tells as much as an error.
struct Asked<'a> {
    link: &'a Link,
    number: usize,
    since: Instant,
    is_answered: bool,
}

impl<'a> Asked<'a> {
    fn of(link: &'a Link) -> Self {
        Self { link, number: link.present(), since: Instant::now(), is_answered: false }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered && self.since.elapsed() >= IMPATIENCE {
            self.link.leave(self.number);
        }
    }
}

/// What etcd says of a token that has expired, or was made before users, roles or passwords
/// changed; a watch is told only that it is not permitted.
/// <https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/api/v3rpc/rpctypes/error.go>
const OUTDATED: [&str; 3] =
    ["revision of auth store is old", "invalid auth token", "permission denied"];

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

/// What an error means to the ledger.
pub(super) fn explain(error: Error) -> EtcdError {
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
