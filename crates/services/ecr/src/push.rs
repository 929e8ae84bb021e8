//! What pushing, finding and deleting images does to rows; the API and the registry share it.

use ledger::{Row, Tx, View};
use terms::Timestamp;

use crate::Tables;
use crate::depot::Hold;
use crate::error::Error;
use crate::model::{
    Child, ChildKind, ContentDigest, Image, Manifest, Object, Progress, Pull, Replication,
    Repository, Scan, Status, Tag, Watch, places_of,
};
use crate::tables::{DigestKey, NameKey};

/// Tags of one image (ECR's quota).
const TAGS_PER_IMAGE_MAX: usize = 1_000;
/// A pull is written down if the last one that was is older than this, in milliseconds.
const PULL_NOTED_MS: i64 = 3_600_000;

/// An image as it is named by clients: by digest, by tag, or by both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its digest.
    pub(crate) digest: Option<String>,
    /// A tag of it.
    pub(crate) tag: Option<String>,
}

/// What a path of the registry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(ContentDigest),
}

impl Reference {
    /// As clients write it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }

    /// As repositories are searched.
    pub(crate) fn named(&self) -> Named {
        match self {
            Self::Tag(tag) => Named { tag: Some(tag.clone()), digest: None },
            Self::Digest(digest) => Named { tag: None, digest: Some(digest.to_string()) },
        }
    }
}

/// Where an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client pushed it: it is replicated.
    Client,
    /// Another registry replicated it: it goes no further, and where a tag may not move it comes
    /// without.
    Replica,
    /// It came through from upstream.
    Upstream,
}

/// A manifest on its way into a repository.
pub(crate) struct Push<'a> {
    /// Where to.
    pub(crate) key: &'a NameKey,
    /// What it is named by there.
    pub(crate) digest: &'a str,
    /// What it says.
    pub(crate) manifest: &'a Manifest,
    /// Its length.
    pub(crate) manifest_bytes: u64,
    /// Its bytes, which are stored.
    pub(crate) hold: &'a Hold,
    /// The tags that it gets.
    pub(crate) tags: &'a [String],
    /// Whether the same image with the same tag once more is an error (the API's way).
    pub(crate) is_strict: bool,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

impl Tables {
    /// The repository.
    pub(crate) fn repository(
        &self,
        view: &impl View,
        key: &NameKey,
    ) -> Result<Row<Repository>, Error> {
        view.get(&self.repositories, key).ok_or_else(|| no_repository(key))
    }

    /// The image that is named, with its digest.
    pub(crate) fn image(
        &self,
        view: &impl View,
        key: &NameKey,
        named: &Named,
    ) -> Result<(String, Row<Image>), Error> {
        let missing = || no_image(key, named);
        let of_tag = named.tag.as_ref().map(|tag| {
            let row = view.get(&self.tags, &beside(key, tag));
            row.map(|row| row.digest.clone()).ok_or_else(missing)
        });
        let digest = match (&named.digest, of_tag.transpose()?) {
            (Some(digest), Some(tagged)) if *digest != tagged => return Err(missing()),
            (Some(digest), _) => digest.clone(),
            (None, Some(tagged)) => tagged,
            (None, None) => return Err(missing()),
        };
        let row = view.get(&self.images, &beside(key, &digest)).ok_or_else(missing)?;
        Ok((digest, row))
    }

    /// An image's tags, in order.
    pub(crate) fn tags_of(&self, view: &impl View, key: &DigestKey) -> Vec<String> {
        view.index(&self.tags_by_digest, key).map(|(key, _)| key.2).collect()
    }

    /// The index that names an image, if there is one.
    pub(crate) fn parent_of(&self, view: &impl View, key: &DigestKey) -> Option<String> {
        let mut parents = view.index(&self.images_by_child, key);
        parents.find(|(_, row)| row.is_index).map(|(parent, _)| parent.2)
    }

    /// Puts an image into its repository.
    pub(crate) fn push(&self, tx: &mut Tx<'_>, push: &Push<'_>) -> Result<(), Error> {
        let (key, now) = (push.key, tx.now());
        let repository = self.repository(tx, key)?;
        let at = beside(key, push.digest);
        let there = tx.get(&self.images, &at);
        if push.is_strict && there.is_some() && self.is_as_pushed(tx, push) {
            return Err(Error::ImageExists {
                digest: push.digest.to_owned(),
                tag: push.tags.first().cloned().unwrap_or_else(|| "null".to_owned()),
                name: key.1.clone(),
                account: key.0.account.to_string(),
            });
        }
        let image_bytes = self.check_children(tx, key, push.manifest)?;
        let mut tags = Vec::new();
        for tag in push.tags {
            let moved = tx.get(&self.tags, &beside(key, tag));
            match moved.is_none() || repository.mutability.may_move(tag) {
                true => tags.push(tag),
                false if push.origin == Origin::Replica => {}
                false => {
                    return Err(Error::TagExists { tag: tag.clone(), name: key.1.clone() });
                }
            }
        }
        let tagged = tx.index(&self.tags_by_digest, &at).count();
        if tagged + tags.len() > TAGS_PER_IMAGE_MAX {
            let text = format!("An image has at most {TAGS_PER_IMAGE_MAX} tags");
            return Err(Error::Limit(text));
        }
        let Manifest { media_type, is_index, artifact_type, children, subject, .. } =
            push.manifest.clone();
        let old = there.as_deref();
        let is_restored = old.is_some_and(|old| old.status == Status::Archived);
        let image = Image {
            media_type,
            manifest_bytes: push.manifest_bytes,
            stored: push.hold.digest(),
            is_index,
            artifact_type,
            image_bytes,
            children,
            subject,
            pushed_at: old.map_or(now, |old| old.pushed_at),
            status: Status::Active,
            archived_at: old.and_then(|old| old.archived_at),
            restored_at: if is_restored { Some(now) } else { old.and_then(|old| old.restored_at) },
        };
        self.claim(tx, push.hold)?;
        let is_scanned = image.has_layers() && self.is_watched(tx, key, &repository);
        if old != Some(&image) {
            tx.put(&self.images, at.clone(), image);
        }
        for tag in tags {
            tx.put(&self.tags, beside(key, tag), Tag { digest: push.digest.to_owned() });
        }
        if push.origin == Origin::Client {
            self.plan_replication(tx, key, push.digest);
        }
        if is_scanned && self.may_scan(tx, &at) {
            let scan = Scan::asked(now);
            tx.put(&self.scans, at, scan);
        }
        Ok(())
    }

    /// Writes down where bytes are that a row of this transaction names, if they are in a bucket.
    ///
    /// # Errors
    /// If they came by an upload that is over.
    pub(crate) fn claim(&self, tx: &mut Tx<'_>, hold: &Hold) -> Result<(), Error> {
        let Some(fresh) = hold.fresh() else { return Ok(()) };
        if fresh.is_upload {
            if tx.get(&self.uploads, &fresh.name).is_none() {
                return Err(Error::NoUpload(fresh.name.clone()));
            }
            tx.delete(&self.uploads, &fresh.name);
        }
        let at = hold.digest().to_string();
        // Others may have brought the same; then theirs stays.
        if tx.get(&self.objects, &at).is_none() {
            let object = Object { name: fresh.name.clone(), size_bytes: fresh.size_bytes };
            tx.put(&self.objects, at, object);
        }
        Ok(())
    }

    /// Whether what is pushed to a repository is scanned.
    fn is_watched(&self, tx: &Tx<'_>, key: &NameKey, repository: &Repository) -> bool {
        let settings = tx.get(&self.registries, &key.0);
        match settings {
            Some(settings) => settings.watch(&key.1, repository).0 != Watch::Manual,
            None => repository.scan_on_push,
        }
    }

    /// Whether a scan of an image may begin now.
    pub(crate) fn may_scan(&self, tx: &Tx<'_>, at: &DigestKey) -> bool {
        tx.get(&self.scans, at).is_none_or(|scan| scan.is_past(tx.now()))
    }

    /// Has an image that was pushed go wherever the registry's rules say.
    fn plan_replication(&self, tx: &mut Tx<'_>, key: &NameKey, digest: &str) {
        let Some(settings) = tx.get(&self.registries, &key.0) else { return };
        for place in places_of(&settings.replication, &key.1) {
            let at = format!("{}/{}", place.registry, place.region);
            let at = (key.0.clone(), key.1.clone(), digest.to_owned(), at);
            let before = tx.get(&self.replications, &at).map_or(0, |row| row.asked);
            let now = tx.now();
            let progress = Progress::Waiting { due_at: now, attempts: 0 };
            let row = Replication { place, asked_at: now, asked: before + 1, progress };
            tx.put(&self.replications, at, row);
        }
    }

    /// Whether the image has all these tags already, or was pushed without and is there.
    fn is_as_pushed(&self, tx: &Tx<'_>, push: &Push<'_>) -> bool {
        push.tags.iter().all(|tag| {
            let row = tx.get(&self.tags, &beside(push.key, tag));
            row.is_some_and(|row| row.digest == push.digest)
        })
    }

    /// Sees to it that all that a manifest names is in the repository; the bytes of the image.
    fn check_children(
        &self,
        tx: &Tx<'_>,
        key: &NameKey,
        manifest: &Manifest,
    ) -> Result<u64, Error> {
        let (mut layers, mut images, mut largest) = (Vec::new(), Vec::new(), 0);
        for child in &manifest.children {
            let at = beside(key, &child.digest);
            let layer = || tx.get(&self.layers, &at).map(|row| (row.size_bytes, 0));
            let image = || {
                let row = tx.get(&self.images, &at)?;
                Some((row.manifest_bytes, row.image_bytes))
            };
            let found = match child.kind {
                ChildKind::Blob => layer().or_else(image),
                ChildKind::Image => image(),
            };
            match (found, child.kind) {
                (Some((actual, image_bytes)), _) => {
                    check_size(child, actual)?;
                    largest = largest.max(image_bytes);
                }
                (None, ChildKind::Blob) => layers.push(child.digest.clone()),
                (None, ChildKind::Image) => images.push(child.digest.clone()),
            }
        }
        let (name, account) = (key.1.clone(), key.0.account.to_string());
        if !layers.is_empty() {
            return Err(Error::NoLayers { name, account, digests: layers });
        }
        if !images.is_empty() {
            return Err(Error::NoReferencedImages { name, account, digests: images });
        }
        Ok(if manifest.is_index { largest } else { manifest.content_bytes })
    }

    /// Takes an image away with its tags. One that an index names stays.
    pub(crate) fn remove_image(
        &self,
        tx: &mut Tx<'_>,
        key: &NameKey,
        digest: &str,
    ) -> Result<(), Error> {
        let at = beside(key, digest);
        if let Some(parent) = self.parent_of(tx, &at) {
            return Err(Error::Referenced { digest: digest.to_owned(), parent });
        }
        for tag in self.tags_of(tx, &at) {
            tx.delete(&self.tags, &beside(key, &tag));
        }
        tx.delete(&self.images, &at);
        tx.delete(&self.pulls, &at);
        tx.delete(&self.scans, &at);
        let replicas: Vec<_> = tx.prefix(&self.replications, &at).map(|(at, _)| at).collect();
        replicas.iter().for_each(|at| tx.delete(&self.replications, at));
        Ok(())
    }

    /// Whether a pull now is to be written down.
    pub(crate) fn is_pull_news(&self, view: &impl View, at: &DigestKey, now: Timestamp) -> bool {
        let last = view.get(&self.pulls, at);
        last.is_none_or(|last| now.millis() - last.at.millis() >= PULL_NOTED_MS)
    }

    /// Writes down that an image was pulled.
    pub(crate) fn note_pull(&self, tx: &mut Tx<'_>, at: &DigestKey) {
        let now = tx.now();
        if tx.get(&self.images, at).is_some() && self.is_pull_news(tx, at, now) {
            tx.put(&self.pulls, at.clone(), Pull { at: now });
        }
    }
}

fn check_size(child: &Child, actual: u64) -> Result<(), Error> {
    match child.size_bytes == actual {
        true => Ok(()),
        false => {
            Err(Error::SizeDiffers { digest: child.digest.clone(), said: child.size_bytes, actual })
        }
    }
}

/// The key of a tag, an image or a layer of a repository.
pub(crate) fn beside(key: &NameKey, last: &str) -> DigestKey {
    (key.0.clone(), key.1.clone(), last.to_owned())
}

/// There is no such repository.
pub(crate) fn no_repository(key: &NameKey) -> Error {
    Error::NoRepository { name: key.1.clone(), account: key.0.account.to_string() }
}

/// There is no such image.
pub(crate) fn no_image(key: &NameKey, named: &Named) -> Error {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    Error::NoImage {
        digest: shown(&named.digest),
        tag: shown(&named.tag),
        name: key.1.clone(),
        account: key.0.account.to_string(),
    }
}
