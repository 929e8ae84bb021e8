//! Tables and indexes; only this crate writes them.

use ledger::{Feed, Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use terms::{AccountId, Region};

use crate::model::{
    Begun, CacheRule, CachedTag, Image, Layer, Object, Preview, Progress, Pull, RegistrySettings,
    Replication, Repository, Scan, ScanState, Tag, Template,
};

/// Account and region: the first part of every key. One registry each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// Where a request's caller looks.
    pub(crate) fn of(context: &wire::Context) -> Self {
        let caller = &context.caller;
        Self { account: caller.account.clone(), region: caller.region.clone() }
    }
}

impl Key for Scope {
    fn encode(&self, writer: &mut KeyWriter) {
        self.account.encode(writer);
        self.region.encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { account: Key::decode(reader)?, region: Key::decode(reader)? })
    }
}

/// Scope and a name: of a repository, or the prefix of a rule.
pub(crate) type NameKey = (Scope, String);
/// Scope, repository, digest: of an image or a layer.
pub(crate) type DigestKey = (Scope, String, String);
/// Scope, repository, tag.
pub(crate) type TagKey = (Scope, String, String);

/// Scope, repository, digest, and a place as `account/region`: of a replication.
pub(crate) type ReplicaKey = (Scope, String, String, String);

/// What tokens are sealed with: 32 bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealSecret(pub(crate) Vec<u8>);

impl Record for SealSecret {}
impl Record for Repository {}
impl Record for Image {}
impl Record for Tag {}
impl Record for Layer {}
impl Record for Pull {}
impl Record for Preview {}
impl Record for RegistrySettings {}
impl Record for Template {}
impl Record for CacheRule {}
impl Record for CachedTag {}
impl Record for Replication {}
impl Record for Scan {}
impl Record for Object {}
impl Record for Begun {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Repositories.
    pub(crate) repositories: Table<NameKey, Repository>,
    /// Manifests and indexes, by their digests.
    pub(crate) images: Table<DigestKey, Image>,
    /// The same by what they name: layers, configurations, other manifests.
    pub(crate) images_by_child: Index<DigestKey, DigestKey, Image>,
    /// The same by the subjects that they refer to.
    pub(crate) images_by_subject: Index<DigestKey, DigestKey, Image>,
    /// The same, of all repositories, by the file that holds their bytes.
    pub(crate) images_by_stored: Index<String, DigestKey, Image>,
    /// Tags.
    pub(crate) tags: Table<TagKey, Tag>,
    /// Tags by what they mean.
    pub(crate) tags_by_digest: Index<DigestKey, TagKey, Tag>,
    /// Which blobs a repository has.
    pub(crate) layers: Table<DigestKey, Layer>,
    /// The same, of all repositories, by the file that holds their bytes.
    pub(crate) layers_by_stored: Index<String, DigestKey, Layer>,
    /// Those of them that are named by another hash than files are, by that.
    pub(crate) layers_by_digest: Index<String, DigestKey, Layer>,
    /// When images were pulled last.
    pub(crate) pulls: Table<DigestKey, Pull>,
    /// Previews of lifecycle policies, one a repository.
    pub(crate) previews: Table<NameKey, Preview>,
    /// Settings of whole registries.
    pub(crate) registries: Table<Scope, RegistrySettings>,
    /// Creation templates by their prefixes.
    pub(crate) templates: Table<NameKey, Template>,
    /// Pull-through cache rules by their prefixes.
    pub(crate) cache_rules: Table<NameKey, CacheRule>,
    /// Tags that came from upstream.
    pub(crate) cached_tags: Table<TagKey, CachedTag>,
    /// Images on their way to other registries, and those that arrived.
    pub(crate) replications: Table<ReplicaKey, Replication>,
    /// Those of them that are to be tried.
    pub(crate) replications_waiting: Index<(), ReplicaKey, Replication>,
    /// The last scans of images.
    pub(crate) scans: Table<DigestKey, Scan>,
    /// Those of them that are to be done.
    pub(crate) scans_waiting: Index<(), DigestKey, Scan>,
    /// All of them by the file that holds what they found.
    pub(crate) scans_by_stored: Index<String, DigestKey, Scan>,
    /// What lies in a bucket, by its SHA-256.
    pub(crate) objects: Table<String, Object>,
    /// The same by the objects' names.
    pub(crate) objects_by_name: Index<String, String, Object>,
    /// Uploads under way to a bucket.
    pub(crate) uploads: Table<String, Begun>,
    /// One row: what tokens are sealed with.
    pub(crate) seal: Table<(), SealSecret>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let images = schema.table("ecr.images");
        let tags = schema.table("ecr.tags");
        let layers = schema.table("ecr.layers");
        let replications = schema.table("ecr.replications");
        let scans = schema.table("ecr.scans");
        let seal = schema.table("ecr.seal");
        let objects = schema.table("ecr.objects");
        schema.secret(&seal);
        let beside =
            |key: &DigestKey, digest: &str| (key.0.clone(), key.1.clone(), digest.to_owned());
        Self {
            repositories: schema.table("ecr.repositories"),
            images,
            images_by_child: schema.index(&images, "child", move |key: &DigestKey, row: &Image| {
                row.children.iter().map(|child| beside(key, &child.digest)).collect()
            }),
            images_by_subject: schema.index(
                &images,
                "subject",
                move |key: &DigestKey, row: &Image| {
                    row.subject.iter().map(|subject| beside(key, subject)).collect()
                },
            ),
            images_by_stored: schema
                .index(&images, "stored", |_, row: &Image| vec![row.stored.to_string()]),
            tags,
            tags_by_digest: schema.index(&tags, "digest", move |key: &TagKey, row: &Tag| {
                vec![beside(key, &row.digest)]
            }),
            layers,
            layers_by_stored: schema
                .index(&layers, "stored", |_, row: &Layer| vec![row.stored.to_string()]),
            layers_by_digest: schema.index(&layers, "digest", |at: &DigestKey, _: &Layer| {
                let is_other = !at.2.starts_with("sha256:");
                is_other.then(|| at.2.clone()).into_iter().collect()
            }),
            pulls: schema.table("ecr.pulls"),
            previews: schema.table("ecr.previews"),
            registries: schema.table("ecr.registries"),
            templates: schema.table("ecr.templates"),
            cache_rules: schema.table("ecr.cache_rules"),
            cached_tags: schema.table("ecr.cached_tags"),
            replications,
            replications_waiting: schema.index(&replications, "waiting", |_, row: &Replication| {
                match row.progress {
                    Progress::Waiting { .. } => vec![()],
                    Progress::Complete | Progress::Failed { .. } => Vec::new(),
                }
            }),
            scans,
            scans_waiting: schema.index(&scans, "waiting", |_, row: &Scan| match row.state {
                ScanState::Waiting => vec![()],
                ScanState::Complete { .. }
                | ScanState::Failed
                | ScanState::Unsupported
                | ScanState::Unavailable => Vec::new(),
            }),
            scans_by_stored: schema.index(&scans, "stored", |_, row: &Scan| {
                row.stored().iter().map(blobs::Digest::to_string).collect()
            }),
            objects,
            objects_by_name: schema
                .index(&objects, "name", |_, row: &Object| vec![row.name.clone()]),
            uploads: schema.table("ecr.uploads"),
            seal,
        }
    }
}

/// Waits until a row of a table was changed, or the feed has lost the thread.
pub(crate) async fn changed<K: Key, V: Record>(feed: &mut Feed, table: &Table<K, V>) {
    loop {
        match feed.next().await {
            Ok(commit) if commit.touches(table) => return,
            Ok(_) => {}
            Err(_) => {
                feed.restart();
                return;
            }
        }
    }
}
