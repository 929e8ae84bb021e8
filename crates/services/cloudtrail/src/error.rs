//! What clients of the API are told.

use shapes_cloudtrail::errors as codes;
use wire::ServiceError;

use crate::trail::TrailError;

/// Why a question is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// More than one attribute, or one with a value that it cannot have.
    #[error("{0}")]
    Attributes(&'static str),
    /// The end is before the beginning.
    #[error("Start time must be earlier than or equal to end time.")]
    TimeRange,
    /// A token that no answer to this question gave.
    #[error("Invalid token")]
    NextToken,
    /// Insights, which nothing here has.
    #[error(
        "Longshore does not implement insight events in cloudtrail:LookupEvents yet; see docs/support.md"
    )]
    Insights,
    /// The files cannot be read.
    #[error(transparent)]
    Trail(#[from] TrailError),
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Attributes(_) => codes::INVALID_LOOKUP_ATTRIBUTES.with(text),
            Error::TimeRange => codes::INVALID_TIME_RANGE.with(text),
            Error::NextToken => codes::INVALID_NEXT_TOKEN.with(text),
            Error::Insights => Self::new("NotImplementedException", 501, text),
            Error::Trail(error) => {
                tracing::warn!(%error, "the trail cannot be read");
                Self::internal()
            }
        }
    }
}
