//! Tables and indexes; only this crate writes them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use terms::{AccountId, Region, Timestamp};

use crate::model::{Certificate, PrivateKey};

/// Account and region: the first part of every key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Key for Scope {
    fn encode(&self, writer: &mut KeyWriter) {
        self.account.encode(writer);
        self.region.encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { account: Key::decode(reader)?, region: Key::decode(reader)? })
    }
}

/// Scope and id, a UUID.
pub(crate) type CertificateKey = (Scope, String);

impl Record for Certificate {}
impl Record for PrivateKey {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Certificates.
    pub(crate) certificates: Table<CertificateKey, Certificate>,
    /// Certificates that were issued here, by when they end.
    pub(crate) issued_by_end: Index<Timestamp, CertificateKey, Certificate>,
    /// Certificates by the tokens of the requests that made them.
    pub(crate) by_token: Index<(Scope, String), CertificateKey, Certificate>,
    /// Their keys: sealed.
    pub(crate) keys: Table<CertificateKey, PrivateKey>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let certificates = schema.table("acm.certificates");
        let keys = schema.table("acm.keys");
        schema.secret(&keys);
        Self {
            certificates,
            issued_by_end: schema.index(&certificates, "end", |_, row: &Certificate| {
                Vec::from_iter(row.request.as_ref().map(|_| row.facts.ends_at))
            }),
            by_token: schema.index(
                &certificates,
                "token",
                |key: &CertificateKey, row: &Certificate| {
                    let request = row.request.as_ref();
                    let token = request.and_then(|request| request.token.clone());
                    Vec::from_iter(token.map(|token| (key.0.clone(), token)))
                },
            ),
            keys,
        }
    }
}
