//! What a path under `/v2` means. Names hold slashes, so paths are read from their ends.

use super::refusal::{Refusal, Words};
use crate::model::{ContentDigest, is_repository_name, is_tag};
use crate::push::Reference;

/// What a path means. Every name and digest in it has the right form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Base,
    Catalog,
    Extensions,
    Tags(String),
    Manifest(String, Reference),
    Blob(String, ContentDigest),
    Uploads(String),
    Upload(String, String),
    Referrers(String, ContentDigest),
}

impl Target {
    /// Reads a path that begins with `/v2`.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let rest = path.strip_prefix("/v2").unwrap_or(path);
        match rest {
            "" | "/" => return Ok(Self::Base),
            "/_catalog" => return Ok(Self::Catalog),
            "/_oci/ext/discover" => return Ok(Self::Extensions),
            _ => {}
        }
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        if let Some(text) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(name(text)?));
        }
        let uploads = rest.strip_suffix("/blobs/uploads").or(rest.strip_suffix("/blobs/uploads/"));
        if let Some(text) = uploads {
            return Ok(Self::Uploads(name(text)?));
        }
        let Some((front, last)) = rest.rsplit_once('/') else { return Err(nothing(path)) };
        if let Some(text) = front.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(name(text)?, last.to_owned()));
        }
        if let Some(text) = front.strip_suffix("/blobs") {
            return Ok(Self::Blob(name(text)?, digest(last)?));
        }
        if let Some(text) = front.strip_suffix("/referrers") {
            return Ok(Self::Referrers(name(text)?, digest(last)?));
        }
        if let Some(text) = front.strip_suffix("/manifests") {
            let name = name(text)?;
            return match last.contains(':') {
                true => Ok(Self::Manifest(name, Reference::Digest(digest(last)?))),
                false if is_tag(last) => Ok(Self::Manifest(name, Reference::Tag(last.to_owned()))),
                false => {
                    Err(Refusal::new(Words::ManifestInvalid, format!("'{}' is no tag", cut(last))))
                }
            };
        }
        Err(nothing(path))
    }

    /// For `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Base | Self::Catalog | Self::Extensions => "GET, HEAD",
            Self::Tags(_) | Self::Referrers(..) => "GET, HEAD",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, PATCH, PUT, DELETE",
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

fn nothing(path: &str) -> Refusal {
    Refusal::new(Words::NameUnknown, format!("nothing is served at '{}'", cut(path)))
}

pub(super) fn name(text: &str) -> Result<String, Refusal> {
    match is_repository_name(text) {
        true => Ok(text.to_owned()),
        false => {
            let text = format!("'{}' is not the name of a repository", cut(text));
            Err(Refusal::new(Words::NameInvalid, text))
        }
    }
}

pub(super) fn digest(text: &str) -> Result<ContentDigest, Refusal> {
    text.parse().map_err(|error: crate::model::NoDigest| {
        Refusal::new(Words::DigestInvalid, error.to_string())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_ends() {
        let sha = ContentDigest::from(blobs::Digest::of(b""));
        let check = |path: &str, expected: Target| {
            assert_eq!(Target::parse(path).unwrap(), expected, "{path}");
        };
        let app = || "app".to_owned();
        check("/v2", Target::Base);
        check("/v2/", Target::Base);
        check("/v2/_catalog", Target::Catalog);
        check("/v2/app/tags/list", Target::Tags(app()));
        check("/v2/tags/list/tags/list", Target::Tags("tags/list".to_owned()));
        check("/v2/app/blobs/uploads/", Target::Uploads(app()));
        check("/v2/app/blobs/uploads", Target::Uploads(app()));
        check("/v2/app/blobs/uploads/x", Target::Upload(app(), "x".to_owned()));
        check(&format!("/v2/app/blobs/{sha}"), Target::Blob(app(), sha.clone()));
        check(&format!("/v2/app/referrers/{sha}"), Target::Referrers(app(), sha.clone()));
        let by_digest = Target::Manifest(app(), Reference::Digest(sha.clone()));
        check(&format!("/v2/app/manifests/{sha}"), by_digest);
        let tagged = Target::Manifest("a/manifests/b".into(), Reference::Tag("v1".into()));
        check("/v2/a/manifests/b/manifests/v1", tagged);
    }

    #[test]
    fn other_paths_mean_nothing() {
        for path in [
            "/v2/app",
            "/v2/app/manifests/",
            "/v2/../etc/manifests/v1",
            "/v2/a/../../b/manifests/v1",
            "/v2/App/tags/list",
            "/v2//tags/list",
            "/v2/app/blobs/sha256:..%2F..",
            "/v2/app/blobs/x",
            "/v2/app/manifests/sha256:baddigeststring",
            "/v2/app/manifests/.hidden",
            "/v2/%2e%2e/tags/list",
        ] {
            assert!(Target::parse(path).is_err(), "{path}");
        }
    }
}
