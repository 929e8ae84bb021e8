//! Image references: `[host[:port]/]repository[:tag][@digest]`, as Docker reads them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use blobs::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The registry of references that name none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of references that name neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Where images of one word live at [`DEFAULT_REGISTRY`].
const OFFICIAL_PREFIX: &str = "library/";
/// The longest host and repository together, as registries and clients cap it.
const NAME_BYTES_MAX: usize = 255;
/// The longest tag.
const TAG_BYTES_MAX: usize = 128;
/// The longest text that is looked at: name, tag, digest and their separators.
const REFERENCE_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + TAG_BYTES_MAX + 1 + 71;

/// A parsed image reference. Parts that were left out are filled in as Docker does: `nginx` is
/// `docker.io/library/nginx:latest`. With both tag and digest the digest decides. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference(Arc<Parts>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no image reference. The texts begin like Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// Nothing was given.
    #[error("invalid reference format: an image reference cannot be empty")]
    Empty,
    /// Longer than any registry takes.
    #[error("invalid reference format: '{start}…' is longer than {limit} bytes")]
    TooLong {
        /// How the text begins.
        start: String,
        /// The limit that it passed.
        limit: usize,
    },
    /// A scheme where a host is wanted.
    #[error("invalid reference format: '{0}' begins with a URL scheme; leave it out")]
    Scheme(String),
    /// No host name or address, or no port.
    #[error("invalid reference format: '{host}' in '{text}' is not a registry host[:port]")]
    Host {
        /// The part that was read as the host.
        host: String,
        /// The whole text.
        text: String,
    },
    /// Capitals in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Capitals(String),
    /// Another character, or an empty part, in the repository.
    #[error(
        "invalid reference format: '{repository}' in '{text}' is not a repository name (parts of \
         a-z and 0-9 with single '.', '_', '__' or dashes between, joined by '/')"
    )]
    Repository {
        /// The part that was read as the repository.
        repository: String,
        /// The whole text.
        text: String,
    },
    /// No tag.
    #[error(
        "invalid reference format: '{tag}' in '{text}' is not a tag (a letter, digit or '_', then \
         at most 127 letters, digits, '_', '.' or '-')"
    )]
    Tag {
        /// The part that was read as the tag.
        tag: String,
        /// The whole text.
        text: String,
    },
    /// No digest after `@`.
    #[error("invalid reference format: in '{text}': {source}")]
    Digest {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        source: blobs::ParseDigestError,
    },
    /// 64 hexadecimal digits alone: an image id, which names nothing at a registry.
    #[error("invalid reference format: '{0}' is an image id, not a name; use name@sha256:{0}")]
    ImageId(String),
}

impl ImageReference {
    /// The registry as references name it: `docker.io`, `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.0.registry
    }

    /// The repository at the registry: `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.0.repository
    }

    /// The tag, or `None` if only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag.as_deref()
    }

    /// The manifest's digest, if the reference pins it.
    pub fn digest(&self) -> Option<&Digest> {
        self.0.digest.as_ref()
    }

    /// The same repository's image of this digest, without a tag.
    pub(crate) fn pinned(&self, digest: Digest) -> Self {
        let bare = Parts { tag: None, digest: Some(digest), ..(*self.0).clone() };
        Self(Arc::new(bare))
    }

    /// What a registry's `/manifests/` path ends with: the digest, else the tag.
    pub fn manifest_key(&self) -> String {
        match (&self.0.digest, &self.0.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// As people write it: without `docker.io/`, `library/`; the tag always shown.
    pub fn familiar(&self) -> String {
        let canonical = self.to_string();
        let Some(rest) = canonical.strip_prefix("docker.io/") else { return canonical };
        match rest.strip_prefix(OFFICIAL_PREFIX) {
            Some(name) if !name.contains('/') => name.to_owned(),
            // Without the registry its first part would be read as one.
            _ if rest.split_once('/').is_some_and(|(first, _)| is_host_like(first)) => canonical,
            _ => rest.to_owned(),
        }
    }

    /// The repository as people write it, without tag: `nginx`, `127.0.0.1:5000/app`.
    pub fn familiar_name(&self) -> String {
        let bare = Parts { tag: None, digest: None, ..(*self.0).clone() };
        Self(Arc::new(bare)).familiar()
    }
}

/// The canonical form, with everything filled in: `docker.io/library/nginx:latest`.
impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.registry, self.0.repository)?;
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageReference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        check_outline(text)?;
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest, text)?;
        let (registry, path) = split_host(name, text)?;
        check_repository(path, text)?;
        let is_official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository =
            if is_official { format!("{OFFICIAL_PREFIX}{path}") } else { path.to_owned() };
        if registry.len() + 1 + repository.len() > NAME_BYTES_MAX {
            return Err(too_long(text, NAME_BYTES_MAX));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self(Arc::new(Parts { registry, repository, tag, digest })))
    }
}

fn too_long(text: &str, limit: usize) -> ParseReferenceError {
    ParseReferenceError::TooLong { start: text.chars().take(64).collect(), limit }
}

/// Refuses what has no parts worth looking at.
fn check_outline(text: &str) -> Result<(), ParseReferenceError> {
    if text.is_empty() {
        return Err(ParseReferenceError::Empty);
    }
    if text.len() > REFERENCE_BYTES_MAX {
        return Err(too_long(text, REFERENCE_BYTES_MAX));
    }
    if text.contains("://") {
        return Err(ParseReferenceError::Scheme(text.to_owned()));
    }
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 64 && text.bytes().all(is_hex) {
        return Err(ParseReferenceError::ImageId(text.to_owned()));
    }
    Ok(())
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ParseReferenceError> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    let digest = digest
        .parse()
        .map_err(|source| ParseReferenceError::Digest { text: text.to_owned(), source })?;
    Ok((rest, Some(digest)))
}

/// The tag is what follows the last colon, unless a slash follows that (then it is a port).
fn split_tag<'a>(
    rest: &'a str,
    text: &str,
) -> Result<(&'a str, Option<&'a str>), ParseReferenceError> {
    let Some((name, tag)) = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else {
        return Ok((rest, None));
    };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    if !is_tag {
        return Err(ParseReferenceError::Tag { tag: tag.to_owned(), text: text.to_owned() });
    }
    Ok((name, Some(tag)))
}

/// Whether the first part is a host: it could not be a part of a repository (it has a dot or a colon, or
/// capitals), or is `localhost`.
fn is_host_like(part: &str) -> bool {
    part.contains(['.', ':', '[']) || part == "localhost" || part.to_lowercase() != part
}

fn split_host<'a>(name: &'a str, text: &str) -> Result<(String, &'a str), ParseReferenceError> {
    match name.split_once('/').filter(|(first, _)| is_host_like(first)) {
        None => Ok((DEFAULT_REGISTRY.to_owned(), name)),
        Some((host, path)) => {
            if !is_host_and_port(host) {
                let (host, text) = (host.to_owned(), text.to_owned());
                return Err(ParseReferenceError::Host { host, text });
            }
            let host = host.to_ascii_lowercase();
            let is_alias = matches!(host.as_str(), "index.docker.io" | "registry-1.docker.io");
            Ok((if is_alias { DEFAULT_REGISTRY.to_owned() } else { host }, path))
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match (port.is_empty(), port.strip_prefix(':')) {
                (true, _) => return true,
                (false, None) => return false,
                (false, Some(port)) => (None, Some(port)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let is_label = |label: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.is_none_or(|host| host.split('.').all(is_label)) && port.is_none_or(is_port)
}

fn check_repository(path: &str, text: &str) -> Result<(), ParseReferenceError> {
    if path.split('/').all(is_repository_part) {
        return Ok(());
    }
    let repository = path.to_owned();
    if path.to_lowercase() != path && path.to_lowercase().split('/').all(is_repository_part) {
        return Err(ParseReferenceError::Capitals(repository));
    }
    Err(ParseReferenceError::Repository { repository, text: text.to_owned() })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the OCI distribution grammar.
fn is_repository_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(first) || !is_word(last) {
        return false;
    }
    bytes.split(|&b| is_word(b)).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-')
    })
}

impl Serialize for ImageReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_filled_in() {
        let check = |text: &str, canonical: &str, familiar: &str| {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), canonical, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
            assert_eq!(canonical.parse(), Ok(reference));
        };
        check("nginx", "docker.io/library/nginx:latest", "nginx:latest");
        check("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27");
        check("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest");
        check("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest");
        check("me/app:v1", "docker.io/me/app:v1", "me/app:v1");
        check("library/nginx", "docker.io/library/nginx:latest", "nginx:latest");
        check("localhost/app", "localhost/app:latest", "localhost/app:latest");
        check("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest");
        check("[::1]:5000/a/b:c", "[::1]:5000/a/b:c", "[::1]:5000/a/b:c");
        check("Registry.Example/a", "registry.example/a:latest", "registry.example/a:latest");
        let ecr = "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/app:1";
        check(ecr, ecr, ecr);
        let pinned = format!("docker.io/library/nginx@{DIGEST}");
        check(&format!("nginx@{DIGEST}"), &pinned, &format!("nginx@{DIGEST}"));
        let both: ImageReference = format!("nginx:1@{DIGEST}").parse().unwrap();
        assert_eq!((both.tag(), both.manifest_key().as_str()), (Some("1"), DIGEST));
        assert_eq!(both.familiar_name(), "nginx");
    }

    #[test]
    fn wrong_references_say_why() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<ImageReference>().unwrap_err().to_string();
            assert!(error.starts_with("invalid reference format: "), "{error}");
            assert!(error.contains(part), "{text}: {error}");
        };
        check("", "empty");
        check("https://docker.io/nginx", "URL scheme");
        check("me/App", "repository name (me/App) must be lowercase");
        check("nginx:", "is not a tag");
        check("nginx:-a", "is not a tag");
        check("nginx:a b", "is not a tag");
        check(&format!("nginx:{}", "a".repeat(129)), "is not a tag");
        check("nginx@sha256:abc", "not a digest");
        check("nginx@md5:abc", "not a digest");
        check(":5000/a", "not a registry host");
        check("host:port/a", "not a registry host");
        check("host:99999/a", "not a registry host");
        check("-a.example/b", "not a registry host");
        check("[::1/b", "not a registry host");
        check("a//b", "not a repository name");
        check("a/../b", "not a repository name");
        check("../../etc/passwd", "not a registry host");
        check("a___b", "not a repository name");
        check("a.-b", "not a repository name");
        check("-a", "not a repository name");
        check("a b", "not a repository name");
        check("é", "not a repository name");
        check("docker.io/", "not a repository name");
        check(&"a".repeat(64), "image id");
        check(&["a"; 200].join("/"), "longer than");
        check(&"x".repeat(5000), "longer than");
    }

    proptest! {
        #[test]
        fn valid_references_come_back(
            host in "(docker\\.io|[a-z][a-z0-9]{0,8}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?)",
            parts in prop::collection::vec("[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", 1..4),
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
        ) {
            let name = parts.join("/");
            let text = format!("{host}/{name}")
                + &tag.iter().map(|tag| format!(":{tag}")).collect::<String>();
            let reference: ImageReference = text.parse().unwrap();
            prop_assert_eq!(reference.tag(), Some(tag.as_deref().unwrap_or("latest")));
            prop_assert!(reference.repository().ends_with(&name));
            prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse(), Ok(reference));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
