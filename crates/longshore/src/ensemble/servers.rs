//! Which servers there are and were: each has a part of the trail of calls, and those that do not run
//! now are missed as long as the trail is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudtrail::{Answer, Others, Question, SERVERS_PATH};
use ledger::{Ledger, Member, Record, Schema, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use terms::{AccountId, Clock, IdSource, Region, Timestamp};
use tokio_util::sync::CancellationToken;
use wire::client::Client;
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

/// How often the leading server looks who lives.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A row is written anew when it is older than this.
const NOTE_EVERY: Duration = Duration::from_secs(3600);
/// How long a server is missed: as long as calls are kept.
const MISSED: Duration = Duration::from_secs(90 * 24 * 3600);
/// A server answers within this time, or not.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the credentials of one question last.
const CREDENTIALS: Duration = Duration::from_secs(60);

/// The table of servers, by their URLs.
#[derive(Clone, Copy, Debug)]
pub struct ServersTable(Table<String, Seen>);

/// When a server was there last, to the hour.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    at: Timestamp,
}

impl Record for Seen {}

impl ServersTable {
    /// Declares it.
    pub fn declare(schema: &mut Schema) -> Self {
        Self(schema.table("longshore.servers"))
    }
}

/// Asks other servers, as one of them.
#[derive(Clone)]
pub struct Asking {
    sessions: iam::Sessions,
    client: Client,
    home: (AccountId, Region),
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Asking {
    /// Asks with credentials that all servers of the ledger know, those that `tls` trusts.
    pub fn new(
        iam: &iam::Iam,
        home: (AccountId, Region),
        (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
        tls: Option<TlsClient>,
    ) -> Self {
        let nobody = "http://127.0.0.1:1";
        let client = Client::new(nobody, None, home.1.clone(), clock.clone()).with_timeout(ANSWER);
        let client = match tls {
            Some(tls) => client.with_tls(tls),
            None => client,
        };
        Self { sessions: iam.sessions().clone(), client, home, clock, ids }
    }

    /// A client of one server, good for one minute.
    pub fn at(&self, server: &str) -> Client {
        let (account, region) = &self.home;
        let until = self.clock.now() + CREDENTIALS;
        let made = self.sessions.of_server(account, until, self.ids.next());
        let credentials = Credentials {
            access_key_id: made.access_key_id.as_str().into(),
            secret: made.secret,
            session_token: Some(made.session_token),
        };
        self.client.at(server).signing_as(credentials, region.clone())
    }
}

/// Why a server is not forgotten.
#[derive(Debug)]
pub enum NotForgotten {
    /// None of this name was there in the time that calls are kept.
    Unknown,
    /// It runs, at this URL.
    Alive(String),
    /// It cannot be written now.
    Ledger(ledger::LedgerError),
}

/// The servers of one ledger.
#[derive(Clone)]
pub struct Servers {
    ledger: Ledger,
    table: ServersTable,
    own: Member,
    asking: Asking,
}

impl Servers {
    /// Those of this ledger, of which this one is `own`; others are asked by `asking`.
    pub fn new((ledger, table): (Ledger, ServersTable), own: Member, asking: Asking) -> Self {
        Self { ledger, table, own, asking }
    }

    /// Notes who lives, until `term` ends: for the server that leads.
    pub async fn keep(&self, term: CancellationToken) {
        loop {
            if let Err(error) = self.note().await {
                tracing::debug!(%error, "the servers that live are noted later");
            }
            tokio::select! {
                biased;
                () = term.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn note(&self) -> Result<(), ledger::LedgerError> {
        let alive: BTreeSet<String> =
            self.ledger.servers().await?.into_iter().map(|server| server.url).collect();
        let now = self.ledger.clock().now();
        let changes = |rows: &BTreeMap<String, Timestamp>| {
            let is_fresh = |url: &&String| rows.get(*url).is_some_and(|at| *at + NOTE_EVERY > now);
            let seen: Vec<String> = alive.iter().filter(|url| !is_fresh(url)).cloned().collect();
            let is_over = |(_, at): &(&String, &Timestamp)| **at + MISSED <= now;
            let over: Vec<String> =
                rows.iter().filter(is_over).map(|(url, _)| url.clone()).collect();
            (seen, over)
        };
        let (seen, over) = changes(&self.rows());
        if seen.is_empty() && over.is_empty() {
            return Ok(());
        }
        let noted = self.ledger.transact("servers", |tx| {
            for url in over.iter().filter(|url| !alive.contains(*url)) {
                tx.delete(&self.table.0, url);
            }
            for url in &seen {
                tx.put(&self.table.0, url.clone(), Seen { at: tx.now() });
            }
            Ok::<_, std::convert::Infallible>(())
        });
        match noted.await {
            Ok(_) => Ok(()),
            Err(ledger::TransactError::Ledger(error)) => Err(error),
            Err(ledger::TransactError::Rejected(never)) => match never {},
        }
    }

    /// Takes a server off the list of those that are missed, for it will not come back: by its URL, or
    /// by host and port alone. Its URL. If it comes back all the same, it is missed from then on.
    ///
    /// # Errors
    /// If it is not known, or runs.
    pub async fn forget(&self, named: &str) -> Result<String, NotForgotten> {
        let is_it = |url: &str| url == named || bare(url) == bare(named);
        let alive = self.ledger.servers().await.map_err(NotForgotten::Ledger)?;
        if let Some(server) = alive.into_iter().find(|server| is_it(&server.url)) {
            return Err(NotForgotten::Alive(server.url));
        }
        let known = self.rows().into_keys().find(|url| is_it(url));
        let url = known.ok_or(NotForgotten::Unknown)?;
        let gone = self.ledger.transact("server forgotten", |tx| {
            tx.delete(&self.table.0, &url);
            Ok::<_, std::convert::Infallible>(())
        });
        match gone.await {
            Ok(_) => Ok(url),
            Err(ledger::TransactError::Ledger(error)) => Err(NotForgotten::Ledger(error)),
            Err(ledger::TransactError::Rejected(never)) => match never {},
        }
    }

    /// What another server answers at one of the paths that servers have for each other.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub async fn post<A: DeserializeOwned>(
        &self,
        server: &str,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A, String> {
        let answer = self.asking.at(server).post(path, &serde_json::json!(question)).await;
        let answer = answer.map_err(|error| terms::with_causes(&error))?;
        serde_json::from_value(answer).map_err(|error| error.to_string())
    }

    fn rows(&self) -> BTreeMap<String, Timestamp> {
        self.ledger.snapshot().range(&self.table.0, ..).map(|(url, row)| (url, row.at)).collect()
    }
}

/// A URL without its scheme and the slash at its end.
pub fn bare(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
}

#[async_trait]
impl Others for Servers {
    fn own(&self) -> String {
        self.own.url.clone()
    }

    async fn servers(&self) -> Vec<String> {
        let mut all: BTreeSet<String> = self.rows().into_keys().collect();
        match self.ledger.servers().await {
            Ok(alive) => all.extend(alive.into_iter().map(|server| server.url)),
            Err(error) => tracing::warn!(%error, "who else serves is taken from what is known"),
        }
        all.remove(&self.own.url);
        all.into_iter().collect()
    }

    async fn ask(&self, server: &str, question: Question) -> Result<Answer, String> {
        self.post(server, SERVERS_PATH, &question).await
    }
}
