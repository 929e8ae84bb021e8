//! Rules by which pulls go through to other registries.

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::PrivateRegistry;

/// The prefix that fits all names, here or upstream.
pub(crate) const ROOT: &str = "ROOT";
/// The kind of registries that are logged in to with a token of ECR's API.
pub(crate) const ECR: &str = "ecr";
/// Where Docker Hub's API is.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// How long a tag that came through is believed, in milliseconds (ECR: 24 hours).
const TAG_FRESH_MS: i64 = 24 * 3_600_000;

/// A pull-through cache rule, kept under its prefix (without the slash that is implied).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheRule {
    /// Where upstream is, as it was given.
    pub(crate) url: String,
    /// Which kind of registry it is, by ECR's names; none of those for others.
    pub(crate) kind: Option<String>,
    /// The secret with its credentials.
    pub(crate) credential: Option<String>,
    /// The role at a registry of the kind [`ECR`] that its credentials take.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// What names begin with upstream, as it was given; none for `ROOT`.
    pub(crate) upstream_prefix: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was changed last.
    pub(crate) updated_at: Timestamp,
}

/// What is known of a tag that came from upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedTag {
    /// What it meant there.
    pub(crate) digest: String,
    /// When that was asked.
    pub(crate) checked_at: Timestamp,
}

impl CachedTag {
    /// Whether upstream is to be asked again.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        now.millis() - self.checked_at.millis() >= TAG_FRESH_MS
    }
}

/// The registry that a URL of a rule means: scheme, host and port. This machine is spoken to without
/// TLS, like others whose URL says so; none if it is no such URL.
pub(crate) fn base_url(url: &str) -> Option<String> {
    let (scheme, host) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), host)) => (scheme, host),
        Some(_) => return None,
        None => {
            let name = host_name(url);
            (if distribution::is_loopback_host(name) { "http" } else { "https" }, url)
        }
    };
    let host = host.trim_end_matches('/');
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let is_plain = !host.is_empty() && host.chars().all(is_host) && !host_name(host).is_empty();
    let base = format!("{scheme}://{host}");
    (is_plain && base.parse::<http::Uri>().is_ok()).then_some(base)
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Which kind of registry is at a URL, by ECR's names; none if it is none of those that ECR knows.
pub(crate) fn kind_of(url: &str) -> Option<&'static str> {
    let host = url.split_once("://").map_or(url, |(_, host)| host).trim_end_matches('/');
    Some(match host {
        "public.ecr.aws" => "ecr-public",
        "quay.io" => "quay",
        "registry.k8s.io" => "k8s",
        DOCKER_HUB => "docker-hub",
        "ghcr.io" => "github-container-registry",
        "registry.gitlab.com" => "gitlab-container-registry",
        "cgr.dev" => "chainguard",
        host if host.ends_with(".azurecr.io") => "azure-container-registry",
        host if PrivateRegistry::of(host).is_some() => ECR,
        _ => return None,
    })
}

impl CacheRule {
    /// What a repository here is called upstream; none if the rule's prefix does not fit.
    pub(crate) fn upstream_name(&self, prefix: &str, name: &str) -> Option<String> {
        let rest = match prefix {
            ROOT => name,
            prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let path = match self.upstream_prefix.as_deref() {
            None | Some(ROOT) => rest.to_owned(),
            Some(upstream) => format!("{}/{rest}", upstream.trim_end_matches('/')),
        };
        // Docker Hub's own images lie in a folder that nobody writes.
        let is_own = self.kind.as_deref() == Some("docker-hub") && !path.contains('/');
        Some(if is_own { format!("library/{path}") } else { path })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rule(url: &str, upstream_prefix: Option<&str>) -> CacheRule {
        CacheRule {
            url: url.to_owned(),
            kind: kind_of(url).map(str::to_owned),
            credential: None,
            role: None,
            upstream_prefix: upstream_prefix.map(str::to_owned),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn names_are_told_upstream() {
        let check =
            |url: &str, prefix: &str, upstream: Option<&str>, name, expected: Option<&str>| {
                let told = rule(url, upstream).upstream_name(prefix, name);
                assert_eq!(told.as_deref(), expected, "{url} {prefix} {name}");
            };
        check("quay.io", "quay", None, "quay/org/app", Some("org/app"));
        check("quay.io", "quay", Some(ROOT), "quay/app", Some("app"));
        check("quay.io", "quay", None, "quayside/app", None);
        check("quay.io", "quay", None, "quay", None);
        check("quay.io", "team/q", Some("org"), "team/q/app", Some("org/app"));
        check("quay.io", ROOT, None, "org/app", Some("org/app"));
        check("quay.io", ROOT, Some("org/"), "app", Some("org/app"));
        check(DOCKER_HUB, "hub", None, "hub/nginx", Some("library/nginx"));
        check(DOCKER_HUB, "hub", None, "hub/me/app", Some("me/app"));
    }

    #[test]
    fn urls_are_read() {
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(base_url(url).as_deref(), expected, "{url}");
        };
        check("quay.io", Some("https://quay.io"));
        check("registry.test:5000", Some("https://registry.test:5000"));
        check("http://registry.test:5000/", Some("http://registry.test:5000"));
        check("localhost:5000", Some("http://localhost:5000"));
        check("127.0.0.1:5000", Some("http://127.0.0.1:5000"));
        check("https://localhost:5000", Some("https://localhost:5000"));
        for bad in ["", "ftp://x", "https://", "a/b", "me@registry.test", "a b", "x?y", ":5000"] {
            check(bad, None);
        }
    }

    #[test]
    fn kinds_are_told_by_their_hosts() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(kind_of(url), expected, "{url}");
        check("public.ecr.aws", Some("ecr-public"));
        check("https://ghcr.io/", Some("github-container-registry"));
        check("mine.azurecr.io", Some("azure-container-registry"));
        check("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("ecr"));
        check("12.dkr.ecr.eu-west-1.amazonaws.com", None);
        check("registry.test", None);
    }
}
