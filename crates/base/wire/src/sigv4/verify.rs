//! The server's check of a signature, in AWS's order: form, date, scope, clock, key, token,
//! signature.

use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use terms::{Region, Timestamp};

use super::canonical::{Request, UriPath};
use super::claim::Place;
use super::{ALGORITHM, AuthError, Claim, KeyCache, TERMINATOR, hex, instant, sha256_hex};
use crate::{Authenticator, Caller, CredentialLookup, Secret};
use std::sync::Arc;

/// A presigned `sts` call lives this long from its date, whatever it says itself (observed; login
/// tools sign 60 seconds and rely on it).
const STS_PRESIGNED_LIFE: Duration = Duration::from_secs(15 * 60);

/// The body's hash that S3-like clients send when they do not sign the body.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// What the check allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How far the signature's time may lie before or after ours.
    pub skew: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { skew: Duration::from_secs(5 * 60) }
    }
}

/// Checks signatures; keeps derived keys.
#[derive(Debug, Default)]
pub struct Verifier {
    policy: Policy,
    keys: KeyCache,
}

/// A claim whose form, scope and time are right; the signature is still to be checked.
#[derive(Debug)]
struct Scoped<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: Region,
    service: &'a str,
    signature: [u8; 32],
}

impl Verifier {
    /// A verifier with this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, keys: KeyCache::default() }
    }

    /// Who signed the request. `service` is the name that the credential scope must have; `None`
    /// accepts every one.
    pub fn verify(
        &self,
        authenticator: &dyn Authenticator,
        parts: &Parts,
        body: &[u8],
        service: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Caller>, AuthError> {
        let query = parts.uri.query().unwrap_or_default();
        let claim = Claim::of(&parts.headers, query)?.ok_or(AuthError::Missing)?;
        let request = Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            headers: &parts.headers,
            authority: parts.uri.authority().map(|authority| authority.as_str()),
        };
        let scoped = self.check_form(&claim, &request, service, now)?;
        let token = claim.token.as_deref();
        let found = authenticator.find(scoped.access_key_id, token, &scoped.region, now);
        let (secret, outcome) = match found {
            CredentialLookup::Found { secret, caller } => (secret, Ok(caller)),
            CredentialLookup::Unknown
            | CredentialLookup::Inactive
            | CredentialLookup::TokenMismatch => (dummy(), Err(AuthError::InvalidToken)),
            CredentialLookup::Expired => (dummy(), Err(AuthError::ExpiredToken)),
        };
        // Also for unknown keys, so that the time taken does not tell them apart.
        let signed = self.check_signature(&claim, &request, &scoped, &secret, body);
        outcome.and_then(|caller| signed.map(|()| caller))
    }

    fn check_form<'c>(
        &self,
        claim: &'c Claim<'_>,
        request: &Request<'_>,
        service: Option<&str>,
        now: Timestamp,
    ) -> Result<Scoped<'c>, AuthError> {
        let [access_key_id, date, region_text, scope_service, terminator] = claim.scope()?;
        let signature = decode_signature(&claim.signature).ok_or_else(|| {
            AuthError::Incomplete("Signature must be 64 hexadecimal digits.".to_owned())
        })?;
        check_signed_headers(claim, request)?;
        let day = &claim.time_text[..8];
        if date != day {
            return Err(AuthError::Signature(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{day}', from '{}'.",
                claim.time_text
            )));
        }
        let region = region_text.parse::<Region>();
        let mut faults = String::new();
        if region.is_err() {
            faults.push_str("Credential should be scoped to a valid region. ");
        }
        if let Some(service) = service.filter(|&service| service != scope_service) {
            faults += &format!("Credential should be scoped to correct service: '{service}'. ");
        }
        if terminator != TERMINATOR {
            faults += &format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."
            );
        }
        let (Ok(region), true) = (region, faults.is_empty()) else {
            return Err(AuthError::Signature(faults));
        };
        self.check_clock(claim, scope_service, now)?;
        Ok(Scoped { access_key_id, date, region, service: scope_service, signature })
    }

    fn check_clock(
        &self,
        claim: &Claim<'_>,
        service: &str,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        let skew = self.policy.skew;
        let shown = instant::format;
        if claim.time > now + skew {
            return Err(AuthError::Signature(format!(
                "Signature not yet current: {} is still later than {} ({} + {} min.)",
                claim.time_text,
                shown(now + skew),
                shown(now),
                skew.as_secs() / 60,
            )));
        }
        let life = match claim.place {
            Place::Header => skew,
            Place::Query { .. } if service == "sts" => STS_PRESIGNED_LIFE,
            Place::Query { expires_seconds } => Duration::from_secs(expires_seconds),
        };
        if claim.time + life < now {
            return Err(AuthError::Signature(match claim.place {
                Place::Header => format!(
                    "Signature expired: {} is now earlier than {} ({} - {} min.)",
                    claim.time_text,
                    shown(now - life),
                    shown(now),
                    life.as_secs() / 60,
                ),
                Place::Query { .. } => {
                    format!(
                        "Signature expired: {} is now earlier than {}",
                        shown(claim.time + life),
                        shown(now)
                    )
                }
            }));
        }
        Ok(())
    }

    fn check_signature(
        &self,
        claim: &Claim<'_>,
        request: &Request<'_>,
        scoped: &Scoped<'_>,
        secret: &Secret,
        body: &[u8],
    ) -> Result<(), AuthError> {
        let payload_hash = payload_hash(request.headers, body)?;
        let forms: &[UriPath] =
            if matches!(request.path, "" | "/") { &UriPath::ALL[..1] } else { &UriPath::ALL };
        let mut matches = subtle::Choice::from(0);
        for &form in forms {
            let canonical = request.canonical(form, &claim.signed_headers, &payload_hash);
            let to_sign = string_to_sign(&claim.time_text, &claim.credential, &canonical);
            let scope = [scoped.date, scoped.region.as_str(), scoped.service];
            let expected = self.keys.mac(&claim.credential, secret, scope, to_sign.as_bytes());
            matches |= expected.ct_eq(&scoped.signature);
        }
        if matches.into() { Ok(()) } else { Err(AuthError::Signature(MISMATCH.to_owned())) }
    }
}

/// `AWS4-HMAC-SHA256\n<time>\n<scope>\n<hash of the canonical request>`.
pub(super) fn string_to_sign(time_text: &str, credential: &str, canonical: &str) -> String {
    let scope = credential.split_once('/').map_or("", |(_, scope)| scope);
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    format!("{ALGORITHM}\n{time_text}\n{scope}\n{hash}")
}

/// What unknown keys are checked against.
fn dummy() -> Secret {
    Secret::new("no key has this secret; it only takes as long to check")
}

fn decode_signature(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The headers that must be signed are, and those named as signed are there.
fn check_signed_headers(claim: &Claim<'_>, request: &Request<'_>) -> Result<(), AuthError> {
    let signed = |name: &str| claim.signed_headers.split(';').any(|header| header == name);
    if !signed("host") && !signed(":authority") {
        return Err(AuthError::Signature(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    for name in ["x-amz-date", "x-amz-target", "x-amz-content-sha256"] {
        if request.headers.contains_key(name) && !signed(name) {
            return Err(AuthError::Signature(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    let dated = signed("x-amz-date") || signed("date") || claim.place != Place::Header;
    if !dated {
        return Err(AuthError::Signature(
            "'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    for name in claim.signed_headers.split(';') {
        if !request.has(name) {
            let shown: String = name.chars().take(64).collect();
            return Err(AuthError::Signature(format!(
                "'{shown}' is named as a SignedHeader, but it does not exist in the HTTP request"
            )));
        }
    }
    Ok(())
}

/// The body's hash as it enters the canonical request; a hash that the client sent must be right.
fn payload_hash(headers: &HeaderMap, body: &[u8]) -> Result<String, AuthError> {
    let computed = sha256_hex(body);
    let Some(sent) = headers.get("x-amz-content-sha256") else { return Ok(computed) };
    if sent.as_bytes().eq_ignore_ascii_case(computed.as_bytes()) {
        // As it was sent: the canonical request holds the client's spelling.
        return Ok(String::from_utf8_lossy(sent.as_bytes()).into_owned());
    }
    let sent = sent.to_str().unwrap_or_default();
    Err(AuthError::Signature(if sent == UNSIGNED_PAYLOAD || sent.starts_with("STREAMING-") {
        "This service requires a signed request body; 'x-amz-content-sha256' must be the SHA-256 of the body.".to_owned()
    } else {
        "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned()
    }))
}
