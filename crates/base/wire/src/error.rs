//! Errors that go to a client.

use std::time::Duration;

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
    /// The JSON protocols write them all, the Query protocol those that are texts.
    pub fields: Map<String, Value>,
    /// When another try makes sense, if that is known. Clients are told in the headers
    /// `x-amz-retry-after` (milliseconds: what AWS's SDKs read) and `Retry-After` (whole seconds).
    pub retry_after: Option<Duration>,
    /// Whether nothing was done because another server leads: the edge may send it there.
    pub is_elsewhere: bool,
}

impl ServiceError {
    /// An error with this code, HTTP status and text. A status that is no error becomes 500.
    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        let status = if (400..600).contains(&status) { status } else { 500 };
        let (code, message) = (code.into(), message.into());
        let fields = Map::new();
        Self { code, status, message, fields, retry_after: None, is_elsewhere: false }
    }

    /// The same error with advice when to ask again.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Another server leads, and nothing was done here: 503, unless the edge finds that server.
    pub fn elsewhere() -> Self {
        let message = "Another server leads now; nothing was done. Try again.";
        let error = Self::new("ServerException", 503, message).retry_after(Duration::from_secs(1));
        Self { is_elsewhere: true, ..error }
    }

    /// The same error with one more member in its JSON form.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// There is more to do than can be done now: `ThrottlingException`, which SDKs back off from.
    pub fn throttled(wait: Duration) -> Self {
        Self::new("ThrottlingException", 400, "Rate exceeded").retry_after(wait)
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
