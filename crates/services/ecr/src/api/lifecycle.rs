//! Lifecycle policies and previews of what they would do.

use std::time::Duration;

use shapes::LifecyclePolicyPreviewStatus as PreviewStatus;
use shapes::TagStatus;
use shapes_ecr as shapes;
use terms::Timestamp;
use wire::Context;

use super::key;
use super::paging::page;
use crate::error::{Error, Single};
use crate::model::{Lifecycle, Preview, PreviewItem, parse_lifecycle};
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// How long the results of a preview are kept.
const PREVIEW_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Results of one page if the request does not say.
const PAGE_ITEMS: usize = 100;

/// Checks a policy.
///
/// # Errors
/// What is wrong, as a wrong `LifecyclePolicyText`.
pub(super) fn check(text: &str) -> Result<(), Error> {
    parse_lifecycle(text).map(drop).map_err(|why| {
        let why = format!("Lifecycle policy validation failure: {why}");
        Error::parameter("LifecyclePolicyText", why)
    })
}

fn none(key: &NameKey, what: Single) -> Error {
    let (Scope { account, .. }, name) = key;
    let kind = match what {
        Single::LifecyclePreview => "Lifecycle policy preview",
        _ => "Lifecycle policy",
    };
    let text = format!(
        "{kind} does not exist for the repository with name '{name}' in the registry with id \
         '{account}'"
    );
    Error::None { what, text }
}

/// Never is the beginning of the epoch.
fn evaluated(lifecycle: &Lifecycle) -> Option<Timestamp> {
    Some(lifecycle.evaluated_at.unwrap_or(Timestamp::from_millis(0)))
}

impl Inner {
    /// Gives a repository a lifecycle policy.
    pub(super) async fn put_lifecycle_policy(
        &self,
        context: Context,
        input: shapes::PutLifecyclePolicyRequest,
    ) -> Result<shapes::PutLifecyclePolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        let text = input.lifecycle_policy_text;
        check(&text)?;
        self.change_repository(&key, |row| {
            row.lifecycle = Some(Lifecycle { text: text.clone(), evaluated_at: None });
            Ok(())
        })
        .await?;
        Ok(shapes::PutLifecyclePolicyResponse {
            lifecycle_policy_text: Some(text),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Shows a repository's lifecycle policy.
    pub(super) async fn get_lifecycle_policy(
        &self,
        context: Context,
        input: shapes::GetLifecyclePolicyRequest,
    ) -> Result<shapes::GetLifecyclePolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let row = self.tables.repository(&self.ledger.snapshot(), &key)?;
        let missing = || none(&key, Single::LifecyclePolicy);
        let lifecycle = row.lifecycle.clone().ok_or_else(missing)?;
        Ok(shapes::GetLifecyclePolicyResponse {
            last_evaluated_at: evaluated(&lifecycle),
            lifecycle_policy_text: Some(lifecycle.text),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Takes a repository's lifecycle policy away.
    pub(super) async fn delete_lifecycle_policy(
        &self,
        context: Context,
        input: shapes::DeleteLifecyclePolicyRequest,
    ) -> Result<shapes::DeleteLifecyclePolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let missing = || none(&key, Single::LifecyclePolicy);
        let gone =
            self.change_repository(&key, |row| row.lifecycle.take().ok_or_else(missing)).await?;
        Ok(shapes::DeleteLifecyclePolicyResponse {
            last_evaluated_at: evaluated(&gone),
            lifecycle_policy_text: Some(gone.text),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Works out what a policy would do now: the given one, or the repository's own.
    pub(super) async fn start_lifecycle_policy_preview(
        &self,
        context: Context,
        input: shapes::StartLifecyclePolicyPreviewRequest,
    ) -> Result<shapes::StartLifecyclePolicyPreviewResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        let row = self.tables.repository(&snapshot, &key)?;
        let own = || row.lifecycle.as_ref().map(|lifecycle| lifecycle.text.clone());
        let text = input.lifecycle_policy_text.or_else(own);
        let text = text.ok_or_else(|| none(&key, Single::LifecyclePolicy))?;
        check(&text)?;
        let items = self.tables.what_goes(&snapshot, &key, &text, context.now);
        let items = items.into_iter().map(|(image, taken)| PreviewItem {
            digest: image.digest,
            tags: image.tags,
            pushed_at: image.pushed_at,
            is_archived: taken.archives,
            priority: taken.priority,
        });
        let preview = Preview { text: text.clone(), made_at: context.now, items: items.collect() };
        let done = self.ledger.transact("preview a lifecycle policy", |tx| {
            self.tables.repository(tx, &key)?;
            tx.put(&self.tables.previews, key.clone(), preview.clone());
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::StartLifecyclePolicyPreviewResponse {
            lifecycle_policy_text: Some(text),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
            status: Some(PreviewStatus::InProgress),
        })
    }

    /// Shows what a policy would have done when that was asked.
    pub(super) async fn get_lifecycle_policy_preview(
        &self,
        context: Context,
        input: shapes::GetLifecyclePolicyPreviewRequest,
    ) -> Result<shapes::GetLifecyclePolicyPreviewResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let preview = snapshot.get(&self.tables.previews, &key);
        let preview = preview.ok_or_else(|| none(&key, Single::LifecyclePreview))?;
        let is_over = context.now >= preview.made_at + PREVIEW_LIFE;
        let wanted = input.filter.and_then(|filter| filter.tag_status);
        let ids = input.image_ids.unwrap_or_default();
        let is_meant = |item: &PreviewItem| {
            let fits = match wanted {
                None | Some(TagStatus::Any) => true,
                Some(TagStatus::Tagged) => !item.tags.is_empty(),
                Some(TagStatus::Untagged) => item.tags.is_empty(),
            };
            let is_named = |id: &shapes::ImageIdentifier| {
                id.image_digest.as_ref().is_none_or(|digest| *digest == item.digest)
                    && id.image_tag.as_ref().is_none_or(|tag| item.tags.contains(tag))
            };
            fits && (ids.is_empty() || ids.iter().any(is_named))
        };
        let items: Vec<_> = match is_over {
            true => Vec::new(),
            false => preview.items.iter().filter(|item| is_meant(item)).collect(),
        };
        let archived = count(items.iter().filter(|item| item.is_archived));
        let expiring = count(items.iter().filter(|item| !item.is_archived));
        let numbered = items.into_iter().enumerate();
        let name = |(number, _): &(usize, _)| format!("{number:08}");
        let token = input.next_token.as_deref();
        let (items, next_token) = page(numbered, name, input.max_results, PAGE_ITEMS, token)?;
        let transitioning = shapes::TransitioningImageTotalCount {
            image_total_count: Some(archived),
            target_storage_class: Some(shapes::LifecyclePolicyTargetStorageClass::Archive),
        };
        Ok(shapes::GetLifecyclePolicyPreviewResponse {
            lifecycle_policy_text: Some(preview.text.clone()),
            next_token,
            preview_results: Some(items.into_iter().map(|(_, item)| show(item)).collect()),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
            status: Some(if is_over { PreviewStatus::Expired } else { PreviewStatus::Complete }),
            summary: Some(shapes::LifecyclePolicyPreviewSummary {
                expiring_image_total_count: Some(expiring),
                transitioning_image_total_counts: Some(vec![transitioning])
                    .filter(|_| archived > 0),
            }),
        })
    }
}

fn count<'a>(items: impl Iterator<Item = &'a &'a PreviewItem>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

fn show(item: &PreviewItem) -> shapes::LifecyclePolicyPreviewResult {
    use shapes::{ImageActionType, LifecyclePolicyTargetStorageClass as Target};
    shapes::LifecyclePolicyPreviewResult {
        action: Some(shapes::LifecyclePolicyRuleAction {
            target_storage_class: item.is_archived.then_some(Target::Archive),
            type_: Some(match item.is_archived {
                true => ImageActionType::Transition,
                false => ImageActionType::Expire,
            }),
        }),
        applied_rule_priority: Some(i32::try_from(item.priority).unwrap_or(i32::MAX)),
        image_digest: Some(item.digest.clone()),
        image_pushed_at: Some(item.pushed_at),
        image_tags: Some(item.tags.clone()),
        ..Default::default()
    }
}
