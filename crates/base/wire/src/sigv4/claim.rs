//! What a request says about its signature, and what can be wrong with it.

use std::borrow::Cow;

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use terms::Timestamp;

use super::{ALGORITHM, instant};
use crate::{Protocol, ServiceError};

/// Why a request's signature is not accepted (reference: errors by protocol, observed).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No signature at all.
    #[error("the request is not signed")]
    Missing,
    /// The signature's parts are missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    /// The key is unknown or switched off, or the session token is not the key's.
    #[error("The security token included in the request is invalid.")]
    InvalidToken,
    /// The temporary key's time is over.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature, its scope or its time does not fit.
    #[error("{0}")]
    Signature(String),
}

impl AuthError {
    /// The error as a client of the protocol expects it.
    pub fn in_protocol(&self, protocol: Protocol) -> ServiceError {
        if protocol == Protocol::Ec2Query {
            return self.in_ec2();
        }
        let json = !protocol.is_form();
        let (code, status) = match (self, json) {
            (Self::Missing, true) => ("MissingAuthenticationTokenException", 400),
            (Self::Missing, false) => ("MissingAuthenticationToken", 403),
            (Self::Incomplete(_), true) => ("IncompleteSignatureException", 400),
            (Self::Incomplete(_), false) => ("IncompleteSignature", 400),
            (Self::InvalidToken, true) => ("UnrecognizedClientException", 400),
            (Self::InvalidToken, false) => ("InvalidClientTokenId", 403),
            (Self::ExpiredToken, true) => ("ExpiredTokenException", 400),
            (Self::ExpiredToken, false) => ("ExpiredToken", 403),
            (Self::Signature(_), true) => ("InvalidSignatureException", 400),
            (Self::Signature(_), false) => ("SignatureDoesNotMatch", 403),
        };
        let message = match (self, json) {
            (Self::Missing, true) => "Missing Authentication Token".to_owned(),
            (Self::Missing, false) => "Request is missing Authentication Token".to_owned(),
            (error, _) => error.to_string(),
        };
        ServiceError::new(code, status, message)
    }

    /// The error as EC2 words it (EC2 API reference, "Common client errors").
    fn in_ec2(&self) -> ServiceError {
        let (code, status, message) = match self {
            Self::Missing => ("MissingParameter", 400, NO_KEY.to_owned()),
            Self::Incomplete(text) => ("IncompleteSignature", 400, text.clone()),
            Self::ExpiredToken => ("RequestExpired", 400, "Request has expired.".to_owned()),
            Self::InvalidToken | Self::Signature(_) => ("AuthFailure", 401, NOT_VALID.to_owned()),
        };
        ServiceError::new(code, status, message)
    }
}

/// EC2's text for a request without a signature (observed).
const NO_KEY: &str = "The request must contain the parameter AWSAccessKeyId";
/// EC2's text for an unknown key and for a wrong signature alike (observed).
const NOT_VALID: &str = "AWS was not able to validate the provided access credentials";

/// Where the signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the `Authorization` header.
    Header,
    /// In the query string, valid for this many seconds.
    Query { expires_seconds: u64 },
}

/// What a request says about its signature; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    pub(super) place: Place,
    /// `AKID/date/region/service/aws4_request`.
    pub(super) credential: Cow<'a, str>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    /// The time as it enters the string to sign.
    pub(super) time_text: String,
    pub(super) time: Timestamp,
    pub(super) token: Option<Cow<'a, str>>,
}

impl<'a> Claim<'a> {
    /// What the request says, or `None` if it says nothing of a signature.
    pub fn of(headers: &'a HeaderMap, query: &'a str) -> Result<Option<Self>, AuthError> {
        let in_query = query.split('&').any(|pair| pair.starts_with("X-Amz-Signature="));
        match (headers.get(header::AUTHORIZATION), in_query) {
            (None, false) => Ok(None),
            (None, true) => Self::of_query(query).map(Some),
            (Some(_), true) => Err(AuthError::Incomplete(
                "The request has a signature in the Authorization header and in the query string; only one is allowed.".to_owned(),
            )),
            (Some(value), false) => {
                let text = value.to_str().map_err(|_| {
                    AuthError::Incomplete("The Authorization header is not printable ASCII.".to_owned())
                })?;
                Self::of_header(text, headers).map(Some)
            }
        }
    }

    /// The five parts of the credential: key id, date, region, service, terminator.
    pub(super) fn scope(&self) -> Result<[&str; 5], AuthError> {
        if self.credential.len() > MAX_CREDENTIAL_BYTES {
            return Err(AuthError::Incomplete(format!(
                "Credential must not be longer than {MAX_CREDENTIAL_BYTES} bytes."
            )));
        }
        let mut parts = self.credential.split('/');
        let five = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        match (five, parts.next()) {
            ([Some(key), Some(date), Some(region), Some(service), Some(end)], None) => {
                Ok([key, date, region, service, end])
            }
            _ => Err(AuthError::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
                self.credential.chars().take(MAX_CREDENTIAL_BYTES).collect::<String>()
            ))),
        }
    }

    /// The service that the credential scope names, for routing; unchecked.
    pub fn service(&self) -> Option<&str> {
        self.credential.split('/').nth(3)
    }

    /// The region that the credential scope names; unchecked.
    pub fn region(&self) -> Option<&str> {
        self.credential.split('/').nth(2)
    }

    /// The session token; unchecked.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The access key id; unchecked.
    pub fn access_key_id(&self) -> &str {
        self.credential.split('/').next().unwrap_or_default()
    }

    fn of_header(text: &'a str, headers: &'a HeaderMap) -> Result<Self, AuthError> {
        let Some(rest) = text.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' ')) else {
            let algorithm = text.split(' ').next().unwrap_or_default();
            let shown: String = algorithm.chars().take(32).collect();
            return Err(AuthError::Incomplete(format!(
                "Unsupported signature algorithm '{shown}'; only {ALGORITHM} is supported."
            )));
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let slot = match part.trim().split_once('=') {
                Some(("Credential", value)) => (&mut credential, value),
                Some(("SignedHeaders", value)) => (&mut signed_headers, value),
                Some(("Signature", value)) => (&mut signature, value),
                _ => continue,
            };
            *slot.0 = Some(slot.1.trim()).filter(|value| !value.is_empty());
        }
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let time_text = value("x-amz-date").or_else(|| value("date"));
        match (credential, signature, signed_headers, time_text) {
            (Some(credential), Some(signature), Some(signed_headers), Some(time_text)) => {
                let time = instant::parse_header(time_text).ok_or_else(|| bad_date(time_text))?;
                Ok(Self {
                    place: Place::Header,
                    credential: credential.into(),
                    signed_headers: signed_headers.into(),
                    signature: signature.into(),
                    time_text: instant::format(time),
                    time,
                    token: value("x-amz-security-token").map(Cow::Borrowed),
                })
            }
            (credential, signature, signed_headers, time_text) => {
                Err(AuthError::Incomplete(missing_parts([
                    (credential, "Authorization header requires 'Credential' parameter."),
                    (signature, "Authorization header requires 'Signature' parameter."),
                    (signed_headers, "Authorization header requires 'SignedHeaders' parameter."),
                    (
                        time_text,
                        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
                    ),
                ])))
            }
        }
    }

    fn of_query(query: &'a str) -> Result<Self, AuthError> {
        let value = |name: &str| {
            query.split('&').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key == name).then(|| percent_decode_str(value).decode_utf8().ok())?
            })
        };
        let algorithm = value("X-Amz-Algorithm").unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(AuthError::Incomplete(format!(
                "AWS query-string parameters must include 'X-Amz-Algorithm' with the value {ALGORITHM}."
            )));
        }
        let parts = [
            value("X-Amz-Credential"),
            value("X-Amz-Signature"),
            value("X-Amz-SignedHeaders"),
            value("X-Amz-Date"),
        ];
        let [Some(credential), Some(signature), Some(signed_headers), Some(time_text)] = parts
        else {
            let [credential, signature, signed_headers, time_text] = &parts;
            return Err(AuthError::Incomplete(missing_parts([
                (
                    credential.as_deref(),
                    "AWS query-string parameters must include 'X-Amz-Credential'.",
                ),
                (
                    signature.as_deref(),
                    "AWS query-string parameters must include 'X-Amz-Signature'.",
                ),
                (
                    signed_headers.as_deref(),
                    "AWS query-string parameters must include 'X-Amz-SignedHeaders'.",
                ),
                (time_text.as_deref(), "AWS query-string parameters must include 'X-Amz-Date'."),
            ])));
        };
        let time = instant::parse_basic(&time_text).ok_or_else(|| bad_date(&time_text))?;
        let expires_seconds = expires(value("X-Amz-Expires").as_deref())?;
        let token = value("X-Amz-Security-Token");
        let time_text = time_text.into_owned();
        let place = Place::Query { expires_seconds };
        Ok(Self { place, credential, signed_headers, signature, time_text, time, token })
    }
}

/// Longer credentials are refused: a key id has at most 128 bytes, and derived keys are kept by
/// credential.
const MAX_CREDENTIAL_BYTES: usize = 256;
/// The longest life of a presigned request: a week (IAM User Guide).
const MAX_EXPIRES_SECONDS: u64 = 604_800;
/// The life of a presigned request that names none.
const DEFAULT_EXPIRES_SECONDS: u64 = 300;

fn expires(text: Option<&str>) -> Result<u64, AuthError> {
    let Some(text) = text else { return Ok(DEFAULT_EXPIRES_SECONDS) };
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_EXPIRES_SECONDS).contains(seconds));
    seconds.ok_or_else(|| {
        AuthError::Incomplete(format!(
            "X-Amz-Expires must be a number of seconds between 1 and {MAX_EXPIRES_SECONDS}."
        ))
    })
}

fn bad_date(text: &str) -> AuthError {
    let shown: String = text.chars().take(64).collect();
    AuthError::Incomplete(format!(
        "Date must be in ISO-8601 'basic format'. Got '{shown}'. See http://en.wikipedia.org/wiki/ISO_8601"
    ))
}

/// The complaints about the parts that are missing, as AWS strings them together.
fn missing_parts(parts: [(Option<&str>, &str); 4]) -> String {
    let missing: Vec<_> =
        parts.iter().filter(|(part, _)| part.is_none()).map(|(_, complaint)| *complaint).collect();
    missing.join(" ")
}
