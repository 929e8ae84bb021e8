//! What refers to a manifest, upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use distribution::Remote;
use serde::Deserialize;

use super::{Through, UpstreamError};
use crate::Inner;
use crate::model::{ContentDigest, MANIFEST_BYTES_MAX};
use crate::tables::NameKey;

/// Pages that are asked for, and referrers that are taken, of one manifest.
const PAGES_MAX: usize = 16;
const REFERRERS_MAX: usize = 2_000;

/// A manifest that refers to another, as lists tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    /// Its digest.
    pub(crate) digest: String,
    /// Its type.
    pub(crate) media_type: String,
    /// Its length.
    pub(crate) size: u64,
    /// What kind of thing it is.
    #[serde(default)]
    pub(crate) artifact_type: Option<String>,
    /// What it says about itself.
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// A list of them.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Vec<Referrer>,
}

impl Inner {
    /// What refers to a manifest upstream, as it is now: nothing of it is remembered, for signatures come
    /// later than images. `kept` says whether something is here that can be answered while upstream is
    /// away.
    pub(crate) async fn referrers_through(
        self: &Arc<Self>,
        key: &NameKey,
        through: &Through,
        subject: &ContentDigest,
        kept: bool,
    ) -> Result<Arc<Vec<Referrer>>, UpstreamError> {
        if kept && self.is_left_alone(&through.rule) {
            return Ok(Arc::default());
        }
        let work = async {
            let found = self.ask(&key.0, through, |remote| list(remote, subject)).await;
            self.note_answer(&through.rule, found.as_ref().err());
            found.map(Arc::new)
        };
        let wanted = (key.clone(), subject.to_string());
        match self.upstreams.referrers.join(wanted, |_| false, work).await {
            Err(error) if kept => {
                let (repository, subject) = (&key.1, subject.as_str());
                tracing::warn!(repository, subject, %error, "what is kept is answered");
                Ok(Arc::default())
            }
            found => found,
        }
    }
}

/// What the registry has of them.
async fn list(
    remote: Arc<Remote>,
    subject: &ContentDigest,
) -> Result<Vec<Referrer>, UpstreamError> {
    let limit = MANIFEST_BYTES_MAX as u64;
    let (mut found, mut next) = (Vec::new(), None);
    for number in 0..PAGES_MAX {
        let page = remote.referrers(subject.as_str(), next.as_deref(), limit).await?;
        let Some(page) = page else {
            // A registry without such lists: clients keep one under a tag.
            let tag = fallback_tag(subject);
            let index = match number {
                0 => remote.manifest(&tag, limit).await?,
                _ => None,
            };
            if let Some(index) = index {
                found = read(&index.bytes)?;
            }
            break;
        };
        found.extend(read(&page.bytes)?);
        next = page.next;
        if next.is_none() || found.len() >= REFERRERS_MAX {
            break;
        }
    }
    found.truncate(REFERRERS_MAX);
    Ok(found)
}

/// The descriptors of a list; those with a digest that is none are left out.
fn read(bytes: &[u8]) -> Result<Vec<Referrer>, UpstreamError> {
    let listed: Listed = serde_json::from_slice(bytes)
        .map_err(|error| UpstreamError::Unusable(format!("its list of referrers: {error}")))?;
    let is_named = |one: &Referrer| one.digest.parse::<ContentDigest>().is_ok();
    Ok(listed.manifests.into_iter().filter(is_named).collect())
}

/// The tag under which clients keep a list where the registry has none (OCI distribution 1.1,
/// "Referrers Tag Schema").
fn fallback_tag(subject: &ContentDigest) -> String {
    let (algorithm, encoded) = subject.as_str().split_once(':').unwrap_or_default();
    let encoded: String = encoded.chars().take(64).collect();
    format!("{algorithm}-{encoded}")
}
