//! Tables and indexes: typed handles outside, erased codecs inside.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::bytes::IndexKey;
use crate::index::IndexKeys;
use crate::key::{self, Key, KeyError};
use crate::record::{self, Record, RecordError};
use crate::secrets::{self, Place, SecretsKeys};
use crate::totals::{FIGURES, TotalSpec};

/// A value whose type only its table's handle knows.
pub(crate) type ErasedValue = Arc<dyn Any + Send + Sync>;

/// Gives an index's number and keys for a row: its key and its value, whose types only the table
/// knows.
type KeysOf = dyn Fn(u16, &dyn Any, &(dyn Any + Send + Sync), &mut Vec<IndexKey>) + Send + Sync;

/// The tables of a ledger. Each service declares its own when the program starts.
#[derive(Default)]
pub struct Schema {
    tables: Vec<TableSpec>,
    secrets: Secrets,
}

/// What becomes of the bodies of secret tables.
#[derive(Default)]
enum Secrets {
    /// They are stored as they are: for tests and simulations, which keep nothing.
    #[default]
    Clear,
    /// They are sealed.
    Sealed(Arc<SecretsKeys>),
    /// Sealed rows that no key opens are not there: for those who look at a store and write nothing.
    Looked(Option<Arc<SecretsKeys>>),
}

pub(crate) struct TableSpec {
    pub(crate) name: &'static str,
    pub(crate) record_version: u16,
    pub(crate) check_key: fn(&[u8]) -> Result<(), KeyError>,
    decode_key: fn(&[u8]) -> Box<dyn Any>,
    /// See [`Schema::decode_row`].
    decode: fn(u16, &[u8]) -> Result<ErasedValue, RecordError>,
    /// See [`Schema::encode_row`].
    encode: fn(&(dyn Any + Send + Sync)) -> Result<Vec<u8>, RecordError>,
    is_secret: bool,
    pub(crate) indexes: Vec<IndexSpec>,
    pub(crate) totals: Vec<TotalSpec>,
}

pub(crate) struct IndexSpec {
    pub(crate) name: &'static str,
    keys: Box<KeysOf>,
}

impl TableSpec {
    fn place<'a>(&'a self, number: u16, record_version: u16, key: &'a [u8]) -> Place<'a> {
        Place { number, table: self.name, record_version, key }
    }

    /// The keys that lead to this row.
    pub(crate) fn index_keys(&self, key: &[u8], value: &(dyn Any + Send + Sync)) -> IndexKeys {
        if self.indexes.is_empty() {
            return IndexKeys::default();
        }
        let key = (self.decode_key)(key);
        let mut keys = Vec::with_capacity(self.indexes.len());
        for (number, index) in (0..).zip(&self.indexes) {
            (index.keys)(number, &*key, value, &mut keys);
        }
        IndexKeys::new(keys)
    }
}

impl Schema {
    /// A schema without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a table. The name is what the store knows it by: it never changes.
    ///
    /// # Panics
    /// When the name is taken or contains a zero byte: a mistake of the program.
    pub fn table<K: Key, V: Record>(&mut self, name: &'static str) -> Table<K, V> {
        assert!(
            !name.contains('\0') && !name.is_empty(),
            "a table needs a name without zero bytes"
        );
        assert!(self.find(name).is_none(), "two tables are named {name}");
        let number = u16::try_from(self.tables.len()).expect("fewer tables than 65,536");
        self.tables.push(TableSpec {
            name,
            record_version: V::VERSION,
            check_key: |bytes| key::decode::<K>(bytes).map(drop),
            decode_key: |bytes| {
                Box::new(key::decode::<K>(bytes).expect("checked when written or loaded"))
            },
            decode: |version, body| Ok(Arc::new(record::decode::<V>(version, body)?)),
            encode: |value| record::encode(downcast_ref::<V>(value)),
            is_secret: false,
            indexes: Vec::new(),
            totals: Vec::new(),
        });
        Table { number, types: PhantomData }
    }

    /// Declares an index of a table: the rows found by each key that `keys` gives for them. The
    /// ledger keeps it up to date and rebuilds it on load; it is not stored.
    pub fn index<I: Key, K: Key, V: Record>(
        &mut self,
        table: &Table<K, V>,
        name: &'static str,
        keys: impl Fn(&K, &V) -> Vec<I> + Send + Sync + 'static,
    ) -> Index<I, K, V> {
        let indexes = &mut self.tables[usize::from(table.number)].indexes;
        assert!(indexes.iter().all(|index| index.name != name), "two indexes are named {name}");
        let number = u16::try_from(indexes.len()).expect("fewer indexes than 65,536");
        let keys = move |number: u16,
                         key: &dyn Any,
                         value: &(dyn Any + Send + Sync),
                         out: &mut Vec<IndexKey>| {
            let key: &K = key.downcast_ref().expect("a table's keys are of its handle's type");
            let keys = keys(key, downcast_ref::<V>(value));
            out.extend(keys.iter().map(|key| IndexKey::new(number, &key::encode(key))));
        };
        indexes.push(IndexSpec { name, keys: Box::new(keys) });
        Index { table: *table, number, types: PhantomData }
    }

    /// Declares totals of an index: what `figures` of the rows under each of its keys amount to. The
    /// ledger keeps them up to date and sums anew on load; they are not stored. A row's figures must
    /// be so small that no sum of them exceeds 64 bits.
    pub fn totals<I: Key, K: Key, V: Record>(
        &mut self,
        index: &Index<I, K, V>,
        figures: impl Fn(&V) -> [u64; FIGURES] + Send + Sync + 'static,
    ) -> Totals<I> {
        let table = index.table.number;
        let totals = &mut self.tables[usize::from(table)].totals;
        let number = u16::try_from(totals.len()).expect("fewer totals than 65,536");
        let figures = move |value: &(dyn Any + Send + Sync)| figures(downcast_ref::<V>(value));
        totals.push(TotalSpec { index: index.number, figures: Arc::new(figures) });
        Totals { table, index: index.number, number, types: PhantomData }
    }

    /// The tables' names, with the versions that their records are written with.
    pub fn record_versions(&self) -> BTreeMap<String, u16> {
        self.tables.iter().map(|table| (table.name.to_owned(), table.record_version)).collect()
    }

    /// Declares a table secret: with keys ([`Schema::seal_secrets`]) its bodies are sealed before
    /// any store sees them. Keys of rows stay readable.
    pub fn secret<K: Key, V: Record>(&mut self, table: &Table<K, V>) {
        self.tables[usize::from(table.number)].is_secret = true;
    }

    /// Seals secret tables with these keys. A store that has bodies in the clear only, from before
    /// there were keys, is read; [`crate::Ledger::reseal`] then seals them.
    pub fn seal_secrets(&mut self, keys: Arc<SecretsKeys>) {
        self.secrets = Secrets::Sealed(keys);
    }

    /// Reads stores without their keys: sealed rows are passed over.
    pub fn leave_secrets_out(&mut self) {
        self.secrets = Secrets::Looked(None);
    }

    /// Reads stores with the keys at hand: rows that are sealed with another are passed over.
    pub fn look_into_secrets(&mut self, keys: Arc<SecretsKeys>) {
        self.secrets = Secrets::Looked(Some(keys));
    }

    pub(crate) fn secrets_keys(&self) -> Option<&Arc<SecretsKeys>> {
        match &self.secrets {
            Secrets::Sealed(keys) | Secrets::Looked(Some(keys)) => Some(keys),
            Secrets::Clear | Secrets::Looked(None) => None,
        }
    }

    /// A row's body as it is stored.
    pub(crate) fn encode_row(
        &self,
        table: u16,
        key: &[u8],
        value: &(dyn Any + Send + Sync),
    ) -> Result<Vec<u8>, RecordError> {
        let spec = self.spec(table);
        let body = (spec.encode)(value)?;
        match self.secrets_keys() {
            Some(keys) if spec.is_secret => {
                Ok(keys.seal(spec.place(table, spec.record_version, key), body)?)
            }
            _ => Ok(body),
        }
    }

    /// The value of a stored body; nothing for one that is left out.
    pub(crate) fn decode_row(
        &self,
        table: u16,
        key: &[u8],
        record_version: u16,
        stored: &[u8],
    ) -> Result<Option<ErasedValue>, RecordError> {
        let spec = self.spec(table);
        let place = spec.place(table, record_version, key);
        match &self.secrets {
            Secrets::Looked(keys)
                if spec.is_secret
                    && secrets::is_sealed(stored)
                    && !keys.as_ref().is_some_and(|keys| keys.know(stored)) =>
            {
                Ok(None)
            }
            Secrets::Sealed(keys) | Secrets::Looked(Some(keys)) if spec.is_secret => {
                Ok(Some((spec.decode)(record_version, &keys.open(place, stored)?)?))
            }
            Secrets::Clear if spec.is_secret && secrets::is_sealed(stored) => {
                Err(SecretsKeys::none_for(stored).into())
            }
            _ => Ok(Some((spec.decode)(record_version, stored)?)),
        }
    }

    pub(crate) fn tables(&self) -> &[TableSpec] {
        &self.tables
    }

    pub(crate) fn spec(&self, table: u16) -> &TableSpec {
        &self.tables[usize::from(table)]
    }

    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        let position = self.tables.iter().position(|table| table.name == name)?;
        u16::try_from(position).ok()
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.iter().map(|table| table.name)).finish()
    }
}

fn downcast_ref<V: Record>(value: &(dyn Any + Send + Sync)) -> &V {
    value.downcast_ref().expect("a table holds only values of its handle's type")
}

/// A table's handle: whoever has it can read and write the table, so a crate keeps its own private.
pub struct Table<K, V> {
    pub(crate) number: u16,
    types: PhantomData<fn() -> (K, V)>,
}

/// An index's handle.
pub struct Index<I, K, V> {
    pub(crate) table: Table<K, V>,
    pub(crate) number: u16,
    types: PhantomData<fn() -> I>,
}

/// What the rows under each key of an index amount to.
pub struct Totals<I> {
    pub(crate) table: u16,
    pub(crate) index: u16,
    pub(crate) number: u16,
    types: PhantomData<fn() -> I>,
}

impl<I> Clone for Totals<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Totals<I> {}

impl<I> fmt::Debug for Totals<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Totals({} of table {})", self.number, self.table)
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.number)
    }
}

impl<I, K, V> Clone for Index<I, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, K, V> Copy for Index<I, K, V> {}

impl<I, K, V> fmt::Debug for Index<I, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({}.{})", self.table.number, self.number)
    }
}
