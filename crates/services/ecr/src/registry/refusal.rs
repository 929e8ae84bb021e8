//! Refusals, in the form of OCI distribution ("Error Codes").

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use ::http::{HeaderMap, Response, StatusCode};
use ledger::LedgerError;
use serde_json::{Value, json};
use wire::Body;

use crate::error::Error;
use crate::model::ManifestError;

/// The codes, with their statuses. Those that OCI has not are Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    BlobUnknown,
    UploadInvalid,
    UploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    RangeInvalid,
    TagInvalid,
    PageInvalid,
    Unauthorized,
    Denied,
    Expired,
    Unsupported,
    TooMany,
    Slow,
    Unavailable,
    Unknown,
}

impl Words {
    fn parts(self) -> (&'static str, u16) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", 404),
            Self::UploadInvalid => ("BLOB_UPLOAD_INVALID", 400),
            Self::UploadUnknown => ("BLOB_UPLOAD_UNKNOWN", 404),
            Self::DigestInvalid => ("DIGEST_INVALID", 400),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", 400),
            Self::ManifestInvalid => ("MANIFEST_INVALID", 400),
            Self::ManifestTooLarge => ("MANIFEST_INVALID", 413),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", 404),
            Self::NameInvalid => ("NAME_INVALID", 400),
            Self::NameUnknown => ("NAME_UNKNOWN", 404),
            Self::SizeInvalid => ("SIZE_INVALID", 400),
            Self::RangeInvalid => ("RANGE_INVALID", 416),
            Self::TagInvalid => ("TAG_INVALID", 400),
            Self::PageInvalid => ("PAGINATION_NUMBER_INVALID", 400),
            Self::Unauthorized => ("UNAUTHORIZED", 401),
            Self::Denied => ("DENIED", 403),
            Self::Expired => ("DENIED", 401),
            Self::Unsupported => ("UNSUPPORTED", 405),
            Self::TooMany => ("TOOMANYREQUESTS", 429),
            Self::Slow => ("BLOB_UPLOAD_INVALID", 408),
            Self::Unavailable => ("UNAVAILABLE", 503),
            Self::Unknown => ("UNKNOWN", 500),
        }
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    words: Words,
    message: String,
    detail: Option<Box<Value>>,
    headers: Box<HeaderMap>,
    /// The whole body, where it is no envelope.
    text: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(words: Words, message: impl Into<String>) -> Self {
        let (message, headers) = (message.into(), Box::default());
        Self { words, message, detail: None, headers, text: None }
    }

    pub(super) fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The same refusal told in plain text.
    pub(super) fn plain(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let (code, status) = self.words.parts();
        let (body, kind) = match self.text {
            Some(text) => (Body::from(text), "text/plain; charset=utf-8"),
            None => {
                let mut told = json!({ "code": code, "message": self.message });
                if let Some(detail) = self.detail {
                    told["detail"] = *detail;
                }
                let body = json!({ "errors": [told] }).to_string();
                (Body::from(body), "application/json")
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = *self.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// What clients of the registry are told of an error that the API has, too.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let words = match &error {
            Error::NoRepository { .. } => Words::NameUnknown,
            Error::NoImage { .. } => {
                return Self::new(Words::ManifestUnknown, "Requested image not found");
            }
            Error::TagExists { .. } => Words::TagInvalid,
            Error::DigestDiffers { .. } | Error::LayerDiffers { .. } => Words::DigestInvalid,
            Error::NoLayers { digests, .. } | Error::NoReferencedImages { digests, .. } => {
                let detail = json!({ "digest": digests.first(), "digests": digests });
                return Self::new(Words::ManifestBlobUnknown, error.to_string()).detail(detail);
            }
            Error::SizeDiffers { .. } | Error::PartLength { .. } => Words::SizeInvalid,
            Error::Manifest(ManifestError::TooLarge) => Words::ManifestTooLarge,
            Error::Manifest(ManifestError::Unsupported(_)) => Words::Unsupported,
            Error::Manifest(_) => Words::ManifestInvalid,
            Error::NoUpload(_) | Error::EmptyUpload(_) => Words::UploadUnknown,
            Error::Part { .. } => Words::RangeInvalid,
            Error::NoLayer { .. } => Words::BlobUnknown,
            Error::Referenced { .. } => Words::Denied,
            Error::Limit(_) => Words::TooMany,
            Error::Denied(_) => Words::Denied,
            Error::Storage(cause) => match **cause {
                LedgerError::NotLeading { .. } | LedgerError::Crowded => Words::Unavailable,
                _ => Words::Unknown,
            },
            Error::NotBuilt { .. } => Words::Unsupported,
            Error::Depot(_) => Words::Unknown,
            Error::RepositoryExists { .. }
            | Error::NotEmpty { .. }
            | Error::ImageExists { .. }
            | Error::LayerExists(_)
            | Error::None { .. }
            | Error::Of(..)
            | Error::Policy(_)
            | Error::Parameter { .. } => Words::Unknown,
        };
        error.log();
        let refusal = Self::new(words, error.to_string());
        match words {
            Words::TooMany | Words::Unavailable => {
                refusal.header(RETRY_AFTER, HeaderValue::from_static("2"))
            }
            _ => refusal,
        }
    }
}

impl From<crate::depot::DepotError> for Refusal {
    fn from(error: crate::depot::DepotError) -> Self {
        Error::from(error).into()
    }
}

impl From<ledger::TransactError<Error>> for Refusal {
    fn from(error: ledger::TransactError<Error>) -> Self {
        Error::from(error).into()
    }
}
