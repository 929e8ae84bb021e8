//! Secrets of Secrets Manager read as parameters: `/aws/reference/secretsmanager/NAME` (User Guide,
//! "Referencing AWS Secrets Manager secrets from Parameter Store parameters").

use serde_json::json;
use shapes_ssm as shapes;
use terms::Timestamp;

use super::error::Error;
use super::name::{self, Reference, Selector};
use crate::secretsmanager::{Lookup, SecretText};
use crate::{Scope, Secrets};

/// The secret as a parameter. Behind a colon stands a version's id or a label.
pub(super) fn read(
    room: &Secrets,
    scope: &Scope,
    (secret, wanted): (&str, &Reference),
    with_decryption: Option<bool>,
    now: Timestamp,
) -> Result<shapes::Parameter, Error> {
    if with_decryption != Some(true) {
        return Err(Error::invalid(
            "WithDecryption flag must be True for retrieving a Secret Manager secret.",
        ));
    }
    let selected = wanted.selector.as_ref().map(|selector| match selector {
        Selector::Version(number) => number.to_string(),
        Selector::Label(label) => label.clone(),
    });
    let by_stage = Lookup { id: secret, version: None, stage: selected.as_deref() };
    let by_version = Lookup { id: secret, version: selected.as_deref(), stage: None };
    let found = room.secret_text(scope, &by_stage, now);
    let found: Option<SecretText> = match (found, &selected) {
        (None, Some(_)) => room.secret_text(scope, &by_version, now),
        (found, _) => found,
    };
    let found = found.ok_or(Error::NotFound)?;
    let name = wanted.names.first().cloned().unwrap_or_default();
    let source = json!({
        "ARN": found.arn,
        "name": found.name,
        "versionId": found.version_id,
        "secretString": found.text,
        "versionStages": found.stages,
        "createdDate": found.created_at.to_string(),
    });
    Ok(shapes::Parameter {
        arn: Some(name::arn(scope, &name)),
        data_type: Some("text".to_owned()),
        last_modified_date: Some(found.created_at),
        name: Some(name),
        selector: wanted.selector_text.clone(),
        source_result: Some(source.to_string()),
        type_: Some(shapes::ParameterType::SecureString),
        value: Some(found.text),
        version: Some(0),
    })
}
