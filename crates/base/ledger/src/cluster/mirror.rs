//! What etcd holds, as this server has it: loaded page by page, then kept by the watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pages::Pages;
use super::{Leader, bounded};
use crate::archive::IMPORTING;
use crate::bytes::Bytes;
use crate::feed::{Commit, ErasedChange};
use crate::load::{self, Decoding};
use crate::role::Member;
use crate::schema::Schema;
use crate::state::{Entry, State};
use crate::store::etcd::layout::{
    Announcement, FORMAT, HeadRecord, Keys, Place, StagedKey, decode_row, staged_writes,
};
use crate::store::{
    Etcd, EtcdCompare, EtcdError, EtcdEvent, EtcdOp, EtcdPair, EtcdSettings, EtcdTxn, StoreError,
};

/// How often a load begins again because the revision that it reads was compacted away.
const LOADS: u32 = 5;

/// The name of commits that another server made.
pub const REPLICATED: &str = "replicated";

/// All of etcd's keys as of one revision.
pub(crate) struct Mirror {
    pub(crate) state: State,
    /// Everything up to this revision of etcd is in here.
    pub(super) etcd: i64,
    pub(super) head: HeadRecord,
    /// The revision that last wrote the head.
    pub(super) head_modified: i64,
    pub(super) leader: Option<Leader>,
    pub(super) members: BTreeMap<String, Announcement>,
    /// Parts of a staged commit that is not valid yet.
    staged: BTreeMap<StagedKey, Vec<u8>>,
    /// Rows of the revision that is being read, until its head tells what they are.
    rows: Vec<EtcdEvent>,
    endpoints: String,
}

/// Makes the format's key and the head in an empty etcd; checks the format of another.
pub(super) async fn begin_format(
    etcd: &dyn Etcd,
    keys: &Keys,
    settings: &EtcdSettings,
) -> Result<(), StoreError> {
    let begin = EtcdTxn {
        compares: vec![EtcdCompare::Created(keys.format(), 0)],
        then: vec![
            EtcdOp::put(keys.format(), FORMAT.to_string().into_bytes()),
            EtcdOp::put(keys.head(), HeadRecord::default().encode()),
        ],
        or_else: vec![EtcdOp::Get(keys.format())],
    };
    // If the answer is lost, the next one finds what this one did.
    let answer = match bounded(etcd.txn(begin.clone())).await {
        Err(EtcdError::Lost(_)) => bounded(etcd.txn(begin)).await,
        other => other,
    };
    let answer = answer.map_err(|error| super::store_error(settings, &error))?;
    let Some(format) = answer.found.into_iter().next().flatten() else { return Ok(()) };
    let number = std::str::from_utf8(&format.value).ok().and_then(|text| text.parse().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            let prefix = settings.prefix.clone();
            Err(StoreError::NewerKeys { prefix, found, newest: FORMAT })
        }
        _ => Err(damaged(&settings.endpoints.join(","), "its key 'format'")),
    }
}

fn damaged(endpoints: &str, what: &str) -> StoreError {
    let problem = format!("{what} is not what this program writes");
    StoreError::Etcd { endpoints: endpoints.to_owned(), problem }
}

impl Mirror {
    /// Reads everything at one revision.
    pub(super) async fn load(
        etcd: &dyn Etcd,
        keys: &Keys,
        schema: &Arc<Schema>,
        endpoints: &str,
    ) -> Result<Self, StoreError> {
        let mut loads = 0;
        loop {
            loads += 1;
            match Self::load_once(etcd, keys, schema, endpoints).await {
                Err(LoadError::Compacted) if loads < LOADS => {}
                Err(LoadError::Compacted) => {
                    let problem = EtcdError::Compacted.to_string();
                    return Err(StoreError::Etcd { endpoints: endpoints.to_owned(), problem });
                }
                Err(LoadError::Store(error)) => return Err(error),
                Ok(mirror) => return Ok(mirror),
            }
        }
    }

    fn empty(schema: &Schema, endpoints: &str) -> Self {
        Self {
            state: State::empty(schema),
            etcd: 0,
            head: HeadRecord::default(),
            head_modified: 0,
            leader: None,
            members: BTreeMap::new(),
            staged: BTreeMap::new(),
            rows: Vec::new(),
            endpoints: endpoints.to_owned(),
        }
    }

    async fn load_once(
        etcd: &dyn Etcd,
        keys: &Keys,
        schema: &Arc<Schema>,
        endpoints: &str,
    ) -> Result<Self, LoadError> {
        load::begin(schema);
        let mut mirror = Self::empty(schema, endpoints);
        let mut decoding = Decoding::new(schema, etcd.pace());
        let failed = |error| match error {
            EtcdError::Compacted => LoadError::Compacted,
            other => LoadError::Store(StoreError::Etcd {
                endpoints: endpoints.to_owned(),
                problem: other.to_string(),
            }),
        };
        let mut pages = Pages::of(keys.all());
        let mut page = pages.next(etcd).await.map_err(failed)?;
        mirror.etcd = pages.revision();
        while let Some(pairs) = page {
            // While etcd gathers the next page, this one is taken apart.
            let taken = async {
                for pair in pairs {
                    mirror.take(keys, schema, &mut decoding, pair)?;
                }
                decoding.end_page().await
            };
            let (next, taken) = tokio::join!(pages.next(etcd), taken);
            taken?;
            page = next.map_err(failed)?;
        }
        mirror.state = decoding.finish(mirror.head.revision).await?;
        if mirror.head.staged > 0 {
            mirror.apply_staged(schema)?;
        }
        load::end(schema)?;
        mirror.state.revision = mirror.head.revision;
        Ok(mirror)
    }

    /// Takes one key of a load.
    fn take(
        &mut self,
        keys: &Keys,
        schema: &Schema,
        decoding: &mut Decoding,
        pair: EtcdPair,
    ) -> Result<(), StoreError> {
        match keys.place(&pair.key) {
            Place::Row { table, key } => {
                if table == IMPORTING {
                    return Err(StoreError::Importing);
                }
                let Some(number) = schema.find(table) else { return Ok(()) };
                let row = decode_row(table, key, &pair.value)
                    .ok_or_else(|| damaged(&self.endpoints, "a row"))?;
                decoding.push(number, &row);
            }
            Place::Head => {
                self.head = self.decode_head(&pair)?;
                self.head_modified = pair.modified;
            }
            Place::Leader => self.leader = decode_leader(&pair),
            Place::Member(name) => self.put_member(name, &pair.value),
            Place::Staged(key) => {
                self.staged.insert(key, pair.value);
            }
            Place::Other => {}
        }
        Ok(())
    }

    fn decode_head(&self, pair: &EtcdPair) -> Result<HeadRecord, StoreError> {
        HeadRecord::decode(&pair.value).ok_or_else(|| damaged(&self.endpoints, "its key 'head'"))
    }

    fn put_member(&mut self, name: &str, value: &[u8]) {
        match Announcement::decode(value) {
            Some(member) => self.members.insert(name.to_owned(), member),
            None => self.members.remove(name),
        };
    }

    /// Forgets the rows of a revision whose head did not come before the watch broke: it is read
    /// again from its first row.
    pub(super) fn forget_half_read(&mut self) {
        self.rows.clear();
    }

    /// Forgets parts of staged commits: they are deleted.
    pub(super) fn forget_staged(&mut self) {
        self.staged.clear();
    }

    pub(super) fn endpoints(&self) -> &str {
        &self.endpoints
    }

    /// The leader's name and address.
    pub(crate) fn leader_member(&self) -> Option<Member> {
        self.leader.as_ref().map(|leader| leader.member.clone())
    }

    /// Takes one change of the watch; gives the commit that it completes, if it does. The change
    /// is then in [`Mirror::state`].
    pub(super) fn apply(
        &mut self,
        keys: &Keys,
        schema: &Schema,
        event: EtcdEvent,
    ) -> Result<Option<Commit>, StoreError> {
        let modified = event.pair.modified;
        // Rows without a head behind them move a staged commit to its place: they are known.
        if self.rows.first().is_some_and(|row| row.pair.modified != modified) {
            self.rows.clear();
        }
        let mut commit = None;
        match keys.place(&event.pair.key) {
            Place::Row { .. } => self.rows.push(event),
            Place::Head => commit = self.apply_head(keys, schema, &event)?,
            Place::Leader if event.deleted => self.leader = None,
            Place::Leader => self.leader = decode_leader(&event.pair),
            Place::Member(name) if event.deleted => drop(self.members.remove(name)),
            Place::Member(name) => self.put_member(name, &event.pair.value),
            Place::Staged(key) if event.deleted => drop(self.staged.remove(&key)),
            Place::Staged(key) => drop(self.staged.insert(key, event.pair.value)),
            Place::Other => {}
        }
        // The head is the last key of a commit. Of other revisions more may follow, and to see
        // them twice does no harm.
        self.etcd = self.etcd.max(modified - 1);
        if modified == self.head_modified {
            self.etcd = self.etcd.max(modified);
        }
        Ok(commit)
    }

    fn apply_head(
        &mut self,
        keys: &Keys,
        schema: &Schema,
        event: &EtcdEvent,
    ) -> Result<Option<Commit>, StoreError> {
        if event.deleted {
            return Err(damaged(&self.endpoints, "its key 'head', deleted,"));
        }
        let head = self.decode_head(&event.pair)?;
        let since = self.state.revision;
        let rows = std::mem::take(&mut self.rows);
        if head.revision < since {
            return Err(damaged(&self.endpoints, "its key 'head', of the past,"));
        }
        self.head = head;
        self.head_modified = event.pair.modified;
        if head.revision == since {
            return Ok(None);
        }
        let changes = if head.staged > 0 {
            self.apply_staged(schema)?
        } else {
            let mut changes = Vec::with_capacity(rows.len());
            for row in &rows {
                let Place::Row { table, key } = keys.place(&row.pair.key) else { continue };
                let body = (!row.deleted).then_some(row.pair.value.as_slice());
                changes.extend(self.apply_row(schema, table, key, body)?);
            }
            changes
        };
        self.state.revision = head.revision;
        Ok(Some(Commit {
            since,
            revision: head.revision,
            name: REPLICATED,
            cause: None,
            changes: sorted(changes),
        }))
    }

    /// Applies the staged commit that the head has made valid.
    fn apply_staged(&mut self, schema: &Schema) -> Result<Vec<ErasedChange>, StoreError> {
        let HeadRecord { revision, term, staged } = self.head;
        let mut changes = Vec::new();
        for number in 0..staged {
            let key = StagedKey { term, revision, number };
            let incomplete = || damaged(&self.endpoints, "a staged commit");
            let part = self.staged.remove(&key).ok_or_else(incomplete)?;
            for write in staged_writes(&part).ok_or_else(incomplete)? {
                changes.extend(self.apply_row(schema, write.table, write.key, write.row)?);
            }
        }
        Ok(changes)
    }

    fn apply_row(
        &mut self,
        schema: &Schema,
        table: &str,
        key: &[u8],
        body: Option<&[u8]>,
    ) -> Result<Option<ErasedChange>, StoreError> {
        let Some(number) = schema.find(table) else { return Ok(None) };
        let bytes: Bytes = key.into();
        let after: Option<Entry> = match body {
            None => None,
            Some(body) => {
                let row = decode_row(table, key, body)
                    .ok_or_else(|| damaged(&self.endpoints, "a row"))?;
                load::entry(schema, number, &row)?
            }
        };
        let (before, after) = self.state.set(number, &bytes, after);
        if before.is_none() && after.is_none() {
            return Ok(None);
        }
        Ok(Some(ErasedChange { table: number, key: bytes, before, after }))
    }
}

/// Changes of a commit stand in the order of tables and keys.
fn sorted(mut changes: Vec<ErasedChange>) -> Vec<ErasedChange> {
    changes.sort_by(|one, other| (one.table, &one.key).cmp(&(other.table, &other.key)));
    changes
}

fn decode_leader(pair: &EtcdPair) -> Option<Leader> {
    let member = Announcement::decode(&pair.value)?.member;
    Some(Leader { member, created: pair.created, lease: pair.lease })
}

enum LoadError {
    Compacted,
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
