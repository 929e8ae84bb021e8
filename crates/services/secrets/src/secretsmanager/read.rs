//! Reading values.

use ledger::View;
use shapes_secretsmanager as shapes;
use terms::Timestamp;
use wire::Context;

use super::error::Error;
use super::model::{CURRENT, SecretValue};
use super::{find_live, name, version_key};
use crate::{Scope, Secrets, Tables};

/// Which value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'a> {
    /// The secret's name or ARN.
    pub(crate) id: &'a str,
    /// A version's id.
    pub(crate) version: Option<&'a str>,
    /// A label; the current one if neither is named.
    pub(crate) stage: Option<&'a str>,
}

/// A secret's text, with what is told beside it.
pub(crate) struct SecretText {
    /// The secret's ARN.
    pub(crate) arn: String,
    /// Its name.
    pub(crate) name: String,
    /// The version's id.
    pub(crate) version_id: String,
    /// The version's labels.
    pub(crate) stages: Vec<String>,
    /// When the version was made.
    pub(crate) created_at: Timestamp,
    /// The value.
    pub(crate) text: String,
}

/// The value that is asked for.
pub(super) fn value(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    lookup: &Lookup<'_>,
    now: Timestamp,
) -> Result<shapes::GetSecretValueResponse, Error> {
    let (name, secret) = find_live(tables, view, scope, lookup.id, now)?;
    let by_stage = |stage: &str| {
        let missing = || Error::NoValue(format!("staging label: {stage}"));
        secret.holder(stage).map(str::to_owned).ok_or_else(missing)
    };
    let id = match (lookup.version, lookup.stage) {
        (Some(id), _) => id.to_owned(),
        (None, stage) => by_stage(stage.unwrap_or(CURRENT))?,
    };
    let missing = || Error::NoValue(format!("VersionId: {id}"));
    let version = secret.versions.get(&id).ok_or_else(missing)?;
    if lookup.version.is_some() && lookup.stage.is_some_and(|stage| !version.stages.contains(stage))
    {
        return Err(Error::OtherStage);
    }
    let key = version_key(scope, &name, &secret.suffix, &id);
    let stored = view.get(&tables.secret_versions, &key).ok_or_else(missing)?;
    let (secret_string, secret_binary) = match stored.value.expose() {
        SecretValue::Text(text) => (Some(text.clone()), None),
        SecretValue::Bytes(bytes) => (None, Some(wire::Blob(bytes.clone()))),
    };
    let stages: Vec<String> = version.stages.iter().cloned().collect();
    Ok(shapes::GetSecretValueResponse {
        arn: Some(name::arn(scope, &name, &secret.suffix)),
        created_date: Some(version.created_at),
        name: Some(name),
        secret_binary,
        secret_string,
        version_id: Some(id),
        version_stages: Some(stages).filter(|stages| !stages.is_empty()),
    })
}

impl Secrets {
    /// One value.
    pub(super) async fn get_secret_value(
        &self,
        context: Context,
        input: shapes::GetSecretValueRequest,
    ) -> Result<shapes::GetSecretValueResponse, Error> {
        let lookup = Lookup {
            id: &input.secret_id,
            version: input.version_id.as_deref(),
            stage: input.version_stage.as_deref(),
        };
        let snapshot = self.ledger.snapshot();
        let scope = Scope::meant(&context, &input.secret_id);
        value(&self.tables, &snapshot, &scope, &lookup, context.now)
    }

    /// A value that is a text, for who reads secrets as parameters; none if there is none.
    pub(crate) fn secret_text(
        &self,
        scope: &Scope,
        lookup: &Lookup<'_>,
        now: Timestamp,
    ) -> Option<SecretText> {
        let found = value(&self.tables, &self.ledger.snapshot(), scope, lookup, now).ok()?;
        Some(SecretText {
            arn: found.arn?,
            name: found.name?,
            version_id: found.version_id?,
            stages: found.version_stages.unwrap_or_default(),
            created_at: found.created_date?,
            text: found.secret_string?,
        })
    }
}
