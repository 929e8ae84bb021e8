//! CloudWatch Logs: groups are rows of the ledger; streams and events lie in a store of their own
//! ([`LogStore`]), off the ledger.

mod error;
mod filter;
mod groups;
mod live;
mod metric_filter;
mod pattern;
mod put;
mod read;
mod store;
mod streams;
mod tags;
mod target;
mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ledger::{Ledger, Row};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use shapes_logs as shapes;
use shapes_logs::operations as ops;
use terms::Timestamp;
use tokio::sync::Semaphore;
use wire::{Context, Service, ServiceError};

use crate::Scope;
use crate::tables::Tables;
use error::Error;
use live::Live;

use store::LogStore;
pub use store::{LOGS_MAX_BYTES, LogsError};
pub use target::LogTarget;

/// Calls that work on the files at once; others wait for their turn.
const AT_ONCE: usize = 32;
const DAY_MS: i64 = 24 * 3_600_000;

/// A log group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogGroup {
    /// What its streams are found by; another one each time that a group of the name is made.
    pub(crate) id: [u8; 16],
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// How many days events are shown; none means for ever.
    pub(crate) retention_days: Option<i32>,
    /// It cannot be deleted.
    pub(crate) is_protected: bool,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
}

impl LogGroup {
    /// Events from before this are not shown, in milliseconds since 1970.
    fn oldest_shown(&self, now: Timestamp) -> i64 {
        let days = self.retention_days.map(i64::from);
        days.map_or(0, |days| now.millis() - days * DAY_MS).max(0)
    }
}

/// Groups, streams and events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    ledger: Ledger,
    tables: Tables,
    files: Arc<Files>,
    seats: Arc<Semaphore>,
    live: Arc<Live>,
}

/// The store, which is opened when it is first needed: a server that keeps no logs starts without.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    store: OnceLock<LogStore>,
    opening: Mutex<()>,
}

impl Files {
    fn store(&self) -> Result<&LogStore, LogsError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let _opening = self.opening.lock();
        if self.store.get().is_none() {
            // Nobody else sets it while the lock is held.
            let _ = self.store.set(LogStore::open(&self.folder)?);
        }
        Ok(self.store.get().expect("it was set"))
    }
}

/// Adds handlers: the operation, then the method of [`Logs`] that answers it.
macro_rules! operations {
    ($logs:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let logs = $logs.clone();
            move |context, input| {
                let logs = logs.clone();
                async move { logs.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

impl Logs {
    /// Logs over a ledger that was opened with these tables, and files in a folder, which are made
    /// when they are first needed.
    pub fn new(tables: Tables, ledger: Ledger, folder: PathBuf) -> Self {
        let (store, opening) = (OnceLock::new(), Mutex::new(()));
        let files = Arc::new(Files { folder, store, opening });
        let (seats, live) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::default());
        Self { ledger, tables, files, seats, live }
    }

    /// The operations that are built.
    pub fn service(&self) -> Service {
        let logs = self;
        let live = self.clone();
        let service = operations! { logs, Service::new(&shapes::SERVICE),
            CreateLogGroup => create_log_group;
            CreateLogStream => create_log_stream;
            DeleteLogGroup => delete_log_group;
            DeleteLogStream => delete_log_stream;
            DeleteRetentionPolicy => delete_retention_policy;
            DescribeLogGroups => describe_log_groups;
            DescribeLogStreams => describe_log_streams;
            FilterLogEvents => filter_log_events;
            GetLogEvents => get_log_events;
            ListTagsForResource => list_tags_for_resource;
            ListTagsLogGroup => list_tags_log_group;
            PutLogEvents => put_log_events;
            PutRetentionPolicy => put_retention_policy;
            TagLogGroup => tag_log_group;
            TagResource => tag_resource;
            TestMetricFilter => test_metric_filter;
            UntagLogGroup => untag_log_group;
            UntagResource => untag_resource;
        };
        service.on_stream::<ops::StartLiveTail, _, _>(move |context, input| {
            let live = live.clone();
            async move { live.start_live_tail(context, input).await.map_err(ServiceError::from) }
        })
    }

    /// Says in the server's log that what other servers took into the groups that there are cannot be
    /// read here; for one that begins to lead several.
    pub fn warn_of_others(&self) {
        let groups = self.ledger.snapshot().len(&self.tables.log_groups);
        if groups > 0 {
            tracing::warn!(
                groups,
                "this server leads now, and log events that another one took are not seen here: \
                 each lies with the server that led when it came"
            );
        }
    }

    /// The group of a name.
    fn group(&self, scope: &Scope, name: &str) -> Result<Row<LogGroup>, Error> {
        let key = (scope.clone(), name.to_owned());
        self.ledger.snapshot().get(&self.tables.log_groups, &key).ok_or(Error::NoGroup)
    }

    /// The group that a name or an identifier means; exactly one of them is given.
    fn named(
        &self,
        scope: &Scope,
        name: Option<&str>,
        identifier: Option<&str>,
    ) -> Result<(String, Row<LogGroup>), Error> {
        let name = match (name, identifier) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
                ));
            }
            (Some(name), None) => name.to_owned(),
            (None, Some(identifier)) => of_identifier(identifier).to_owned(),
            (None, None) => {
                return Err(Error::invalid(
                    "1 validation error detected: Value null at 'logGroupName' failed to satisfy \
                     constraint: Member must not be null",
                ));
            }
        };
        let group = self.group(scope, &name)?;
        Ok((name, group))
    }

    /// Works on the files, off the threads that serve.
    async fn on_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LogStore) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _seat = self.seats.acquire().await.map_err(|_| Error::Ended)?;
        let files = self.files.clone();
        let worked = tokio::task::spawn_blocking(move || work(files.store()?));
        worked.await.map_err(|_| Error::Ended)?
    }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}

/// The group's name in an ARN or a name; clients write the ARN with and without `:*`.
fn of_identifier(identifier: &str) -> &str {
    let name = identifier.split_once(":log-group:").map_or(identifier, |(_, name)| name);
    name.strip_suffix(":*").unwrap_or(name)
}

/// The ARN of a group, without `:*`.
fn group_arn(scope: &Scope, name: &str) -> String {
    let Scope { account, region } = scope;
    format!("arn:aws:logs:{region}:{account}:log-group:{name}")
}
