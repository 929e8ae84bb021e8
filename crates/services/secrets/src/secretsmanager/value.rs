//! Values and version ids as requests have them.

use super::error::Error;
use super::model::SecretValue;

/// The value of a request: a text or bytes, or none.
pub(super) fn of(
    text: &Option<String>,
    bytes: &Option<wire::Blob>,
) -> Result<Option<SecretValue>, Error> {
    match (text, bytes) {
        (Some(_), Some(_)) => Err(Error::parameter(
            "You can't specify both a binary secret value and a string secret value in the same \
             secret.",
        )),
        (Some(text), None) => Ok(Some(SecretValue::Text(text.clone()))),
        (None, Some(bytes)) => Ok(Some(SecretValue::Bytes(bytes.0.clone()))),
        (None, None) => Ok(None),
    }
}

/// The id of the version that a request makes (recorded).
pub(super) fn version_id(token: &Option<String>) -> Result<String, Error> {
    token.clone().ok_or_else(|| {
        Error::parameter(
            "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
        )
    })
}
