//! Errors that go to a client.

use http::StatusCode;
use serde_json::{Map, Value};

/// An error of a service as its model declares it: the code that clients match on and the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorModel {
    /// The code on the wire, such as `ClusterNotFoundException`.
    pub code: &'static str,
    /// The HTTP status that the error is answered with.
    pub status: u16,
}

impl ErrorModel {
    /// This error with a text for people.
    pub fn with(&self, message: impl Into<String>) -> ServiceError {
        ServiceError::new(self.code, self.status, message)
    }
}

/// An error as a client sees it, before a protocol gives it its form.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// The code that clients match on.
    pub code: String,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The text for people.
    pub message: String,
    /// Further members of the error's shape, such as `resourceIds` of `ConflictException`.
    /// Only the JSON protocols write them.
    pub fields: Map<String, Value>,
}

impl ServiceError {
    /// An error with this code, HTTP status and text. A status that is no error becomes 500.
    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        let status = if (400..600).contains(&status) { status } else { 500 };
        Self { code: code.into(), status, message: message.into(), fields: Map::new() }
    }

    /// The same error with one more member in its JSON form.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// The HTTP status as a type.
    pub fn http_status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Something of ours went wrong: 500 `InternalFailure`, saying nothing of the inside.
    pub fn internal() -> Self {
        Self::new(
            "InternalFailure",
            500,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}
