//! Tables and indexes; only this crate writes them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use terms::{AccountId, Region, Timestamp};

use crate::secretsmanager::{Secret, SecretVersion};
use crate::ssm::{Parameter, ParameterVersion};

/// Account and region: the first part of every key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// Where a request's caller looks.
    pub(crate) fn of(context: &wire::Context) -> Self {
        let caller = &context.caller;
        Self { account: caller.account.clone(), region: caller.region.clone() }
    }

    /// Where the secret is that a request means: where its caller looks, or in the account that an ARN
    /// names, whose policies then have let the caller at it.
    pub(crate) fn meant(context: &wire::Context, id: &str) -> Self {
        let here = Self::of(context);
        match Self::of_arn(id) {
            Some(named) if named.region == here.region => named,
            _ => here,
        }
    }

    /// The account and the region in a secret's ARN.
    pub(crate) fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.strip_prefix("arn:")?.split(':');
        let [_, "secretsmanager", region, account] =
            std::array::from_fn(|_| parts.next().unwrap_or(""))
        else {
            return None;
        };
        Some(Self { account: account.parse().ok()?, region: region.parse().ok()? })
    }
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

/// A parameter's, or a secret's key: scope and name.
pub(crate) type NameKey = (Scope, String);
/// A parameter's version: scope, name, number.
pub(crate) type ParameterVersionKey = (Scope, String, u64);
/// A secret's version: scope, name, the suffix of its ARN, the version's id. A secret that is made
/// again under an old name has another suffix, so it never gets the old one's values.
pub(crate) type SecretVersionKey = (Scope, String, String, String);

impl Record for Parameter {}
impl Record for ParameterVersion {}
impl Record for Secret {}
impl Record for SecretVersion {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Parameters by their names.
    pub(crate) parameters: Table<NameKey, Parameter>,
    /// Parameters that expire, by when.
    pub(crate) parameters_by_end: Index<Timestamp, NameKey, Parameter>,
    /// Their versions with the values: sealed.
    pub(crate) parameter_versions: Table<ParameterVersionKey, ParameterVersion>,
    /// Secrets by their names.
    pub(crate) secrets: Table<NameKey, Secret>,
    /// Secrets that were deleted, by when their recovery windows end.
    pub(crate) secrets_by_end: Index<Timestamp, NameKey, Secret>,
    /// Their versions' values: sealed.
    pub(crate) secret_versions: Table<SecretVersionKey, SecretVersion>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let parameters = schema.table("ssm.parameters");
        let parameters_by_end =
            schema.index(&parameters, "end", |_, row: &Parameter| Vec::from_iter(row.expires_at));
        let parameter_versions = schema.table("ssm.parameter_versions");
        let secrets = schema.table("secretsmanager.secrets");
        let secrets_by_end =
            schema.index(&secrets, "end", |_, row: &Secret| Vec::from_iter(row.deleted_at));
        let secret_versions = schema.table("secretsmanager.versions");
        schema.secret(&parameter_versions);
        schema.secret(&secret_versions);
        Self {
            parameters,
            parameters_by_end,
            parameter_versions,
            secrets,
            secrets_by_end,
            secret_versions,
        }
    }
}
