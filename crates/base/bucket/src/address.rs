//! Where a bucket is, and with what its requests are signed.

use std::fmt;
use std::str::FromStr;

/// The region that requests are signed for if none is said.
const REGION: &str = "us-east-1";
/// The longest prefix, in bytes: a key has 1,024 at most.
const PREFIX_BYTES_MAX: usize = 512;

/// A bucket, or the part of one below a prefix:
/// `s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub(crate) prefix: String,
    /// A server other than AWS's, without a slash at its end.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
}

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

/// A text that is no address of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin as one.
    #[error("it is not of the form s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION]")]
    Form,
    /// There are keys in it.
    #[error("keys have no place in it, where everybody on this machine can read them")]
    Keys,
    /// No bucket is called that.
    #[error("'{0}' is not the name of a bucket: 3 to 63 of a-z, 0-9, dots and dashes")]
    Bucket(String),
    /// The prefix has other characters.
    #[error("'{0}' is not a prefix: names of letters, digits, dots, dashes and underscores")]
    Prefix(String),
    /// The server's URL is none.
    #[error("endpoint={0} is not a URL of the form https://HOST[:PORT] or http://HOST[:PORT]")]
    Endpoint(String),
    /// The region is none.
    #[error("region={0} is not a region")]
    Region(String),
    /// Another parameter, or one twice.
    #[error("'{0}' is none of the parameters endpoint and region, or is there twice")]
    Parameter(String),
}

impl Keys {
    /// An access key, with the token of temporary credentials.
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        let (access_key_id, secret_access_key) = (access_key_id.into(), secret_access_key.into());
        Self { access_key_id, secret_access_key, session_token }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Address {
    /// Whether requests go out without TLS.
    pub fn is_plain(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("s3://").ok_or(AddressError::Form)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if text.contains('@') {
            return Err(AddressError::Keys);
        }
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_end_matches('/');
        check_bucket(bucket)?;
        check_prefix(prefix)?;
        let (mut endpoint, mut region) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "endpoint" if endpoint.is_none() => endpoint = Some(read_endpoint(value)?),
                "region" if region.is_none() => region = Some(read_region(value)?),
                _ => return Err(AddressError::Parameter(name.to_owned())),
            }
        }
        let region = region.unwrap_or_else(|| REGION.to_owned());
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), endpoint, region })
    }
}

/// As it is written, without what has its usual value.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        let mut separator = '?';
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{separator}endpoint={endpoint}")?;
            separator = '&';
        }
        if self.region != REGION {
            write!(f, "{separator}region={}", self.region)?;
        }
        Ok(())
    }
}

/// Amazon S3 user guide, "General purpose bucket naming rules"; its finer rules are the server's.
fn check_bucket(name: &str) -> Result<(), AddressError> {
    let is_of_names = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let has_ends = is_edge(name.bytes().next()) && is_edge(name.bytes().last());
    match (3..=63).contains(&name.len()) && name.bytes().all(is_of_names) && has_ends {
        true => Ok(()),
        false => Err(AddressError::Bucket(name.to_owned())),
    }
}

fn check_prefix(prefix: &str) -> Result<(), AddressError> {
    let is_of_names = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let is_name = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_of_names)
    };
    match prefix.is_empty() || (prefix.len() <= PREFIX_BYTES_MAX && prefix.split('/').all(is_name))
    {
        true => Ok(()),
        false => Err(AddressError::Prefix(prefix.to_owned())),
    }
}

fn read_endpoint(text: &str) -> Result<String, AddressError> {
    let wrong = || AddressError::Endpoint(text.to_owned());
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.ok_or_else(wrong)?.trim_end_matches('/');
    let is_of_hosts = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
    match !host.is_empty() && host.bytes().all(is_of_hosts) {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(wrong()),
    }
}

fn read_region(text: &str) -> Result<String, AddressError> {
    let is_of_regions = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match (1..=32).contains(&text.len()) && text.bytes().all(is_of_regions) {
        true => Ok(text.to_owned()),
        false => Err(AddressError::Region(text.to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_from_their_text() {
        for text in [
            "s3://images",
            "s3://images/longshore/one",
            "s3://images?endpoint=http://127.0.0.1:9000",
            "s3://im.ag-es/a_b?endpoint=https://s3.example:9000&region=eu-west-1",
            "s3://images?region=eu-west-1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let usual: Address =
            "s3://images/?endpoint=https://[::1]:9/&region=us-east-1".parse().unwrap();
        assert_eq!(usual.to_string(), "s3://images?endpoint=https://[::1]:9");
        assert!(!usual.is_plain());
        assert!("s3://images?endpoint=http://h".parse::<Address>().unwrap().is_plain());
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("http://images", "form s3://");
        check("s3://key:secret@images", "keys have no place");
        check("s3://images?endpoint=http://key:secret@h", "keys have no place");
        check("s3://", "name of a bucket");
        check("s3://Images", "name of a bucket");
        check("s3://-images", "name of a bucket");
        check("s3://images/a//b", "is not a prefix");
        check("s3://images/../b", "is not a prefix");
        check("s3://images?endpoint=h:9000", "endpoint=h:9000 is not a URL");
        check("s3://images?endpoint=http://h/path", "is not a URL");
        check("s3://images?region=", "is not a region");
        check("s3://images?acl=public", "'acl' is none");
        check("s3://images?region=a&region=b", "'region' is none");
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = Keys::new("AKIA", "hidden", Some("hidden".to_owned()));
        assert!(!format!("{keys:?}").contains("hidden"));
    }
}
