//! What ECR tells EventBridge, in the form that its guide shows ("Amazon ECR events and EventBridge").

use std::sync::Arc;

use events::{Moment, Source};
use ledger::{Commit, Revision, Snapshot};
use serde_json::{Value, json};

use crate::api::scan_status;
use crate::decide::{self, ActionType, Told};
use crate::model::{Image, Progress, ROOT, Replication, Scan, ScanState, Status};
use crate::push::beside;
use crate::tables::{DigestKey, NameKey, ReplicaKey};
use crate::{Ecr, Inner, Scope};

const SOURCE: &str = "aws.ecr";
const IMAGE_ACTION: &str = "ECR Image Action";
const REFERRER_ACTION: &str = "ECR Referrer Action";

/// Makes events of this crate's rows.
struct EventSource(Arc<Inner>);

impl Ecr {
    /// Makes events of what commits do to images, scans, what comes through, and replications.
    pub fn event_source(&self) -> Arc<dyn Source> {
        Arc::new(EventSource(Arc::clone(&self.inner)))
    }
}

impl Source for EventSource {
    fn of_commit(&self, commit: &Commit) -> Vec<Moment> {
        let Inner { ledger, tables, .. } = &*self.0;
        let told = decide::of_commit(commit, &ledger.snapshot(), tables);
        told.into_iter().flat_map(|told| self.moments(told)).collect()
    }

    fn found_after(&self, snapshot: &Snapshot, revision: Revision) -> Vec<(Revision, Moment)> {
        let told = decide::found_after(snapshot, &self.0.tables, revision);
        let moments =
            |(revision, told)| self.moments(told).into_iter().map(move |moment| (revision, moment));
        told.into_iter().flat_map(moments).collect()
    }
}

impl EventSource {
    /// The events that something is told by: one for each tag, where they name one.
    fn moments(&self, told: Told) -> Vec<Moment> {
        match told {
            Told::Image { at, tag, action, is_referrer } => {
                let kind = if is_referrer { REFERRER_ACTION } else { IMAGE_ACTION };
                vec![moment(&at.0.clone(), kind, None, move || image(&at, tag.as_deref(), action))]
            }
            Told::Storage(at, row) => {
                let kind = if row.subject.is_some() { REFERRER_ACTION } else { IMAGE_ACTION };
                vec![moment(&at.0.clone(), kind, None, move || storage(&at, &row))]
            }
            Told::Scan(at, row) => {
                let tags = self.tags_of(&at);
                let (scope, resource) = (at.0.clone(), arn(&at.0, &at.1));
                vec![moment(&scope, "ECR Image Scan", Some(resource), move || {
                    scan(&at, &row, &tags)
                })]
            }
            Told::Through((scope, name, tag), digest) => {
                let (resource, key) = (arn(&scope, &name), (scope.clone(), name.clone()));
                let (prefix, url) = self.rule_of(&key);
                vec![moment(&scope, "ECR Pull Through Cache Action", Some(resource), move || {
                    json!({
                        "rule-version": "1",
                        "sync-status": "SUCCESS",
                        "ecr-repository-prefix": prefix,
                        "repository-name": name,
                        "upstream-registry-url": url,
                        "image-tag": tag,
                        "image-digest": digest,
                    })
                })]
            }
            Told::Replication(at, row) => {
                let digest = beside(&(at.0.clone(), at.1.clone()), &at.2);
                let tags: Vec<_> = self.tags_of(&digest).into_iter().map(Some).collect();
                let tags = if tags.is_empty() { vec![None] } else { tags };
                let one = |tag: Option<String>| {
                    let (at, row) = (at.clone(), Replication::clone(&row));
                    let resource = format!(
                        "arn:aws:ecr:{}:{}:repository/{}",
                        row.place.region, row.place.registry, at.1
                    );
                    let detail = move || replication(&at, &row, tag.as_deref());
                    moment(&digest.0, "ECR Replication Action", Some(resource), detail)
                };
                tags.into_iter().map(one).collect()
            }
        }
    }

    fn tags_of(&self, at: &DigestKey) -> Vec<String> {
        self.0.tables.tags_of(&self.0.ledger.snapshot(), at)
    }

    /// Prefix and registry of the rule that a repository comes through by.
    fn rule_of(&self, key: &NameKey) -> (String, String) {
        match self.0.through(key) {
            Some(through) => (through.prefix, through.rule.url),
            None => (ROOT.to_owned(), String::new()),
        }
    }
}

fn arn(scope: &Scope, name: &str) -> String {
    crate::api::arn(&(scope.clone(), name.to_owned()))
}

fn moment(
    scope: &Scope,
    detail_type: &'static str,
    resource: Option<String>,
    detail: impl Fn() -> Value + Send + Sync + 'static,
) -> Moment {
    let Scope { account, region } = scope.clone();
    Moment {
        scope: events::Scope { account, region },
        source: SOURCE,
        detail_type,
        resources: resource.into_iter().collect(),
        detail: Arc::new(move || detail().to_string()),
    }
}

fn image(at: &DigestKey, tag: Option<&str>, action: ActionType) -> Value {
    let action = match action {
        ActionType::Push => "PUSH",
        ActionType::Delete => "DELETE",
    };
    let mut detail = json!({
        "result": "SUCCESS",
        "repository-name": at.1,
        "image-digest": at.2,
        "action-type": action,
    });
    if let Some(tag) = tag {
        detail["image-tag"] = json!(tag);
    }
    detail
}

fn storage(at: &DigestKey, row: &Image) -> Value {
    let is_archived = row.status == Status::Archived;
    let mut detail = json!({
        "result": "SUCCESS",
        "repository-name": at.1,
        "image-digest": at.2,
        "action-type": "UPDATE_STORAGE_CLASS",
        "target-storage-class": if is_archived { "ARCHIVE" } else { "STANDARD" },
        "manifest-media-type": row.media_type,
    });
    if let Some(kind) = &row.artifact_type {
        detail["artifact-media-type"] = json!(kind);
    }
    if let Some(restored_at) = row.restored_at.filter(|_| !is_archived) {
        detail["last-activated-at"] = json!(restored_at.to_string());
    }
    detail
}

fn scan(at: &DigestKey, row: &Scan, tags: &[String]) -> Value {
    let counts = match &row.state {
        ScanState::Complete { counts, .. } => json!(counts),
        ScanState::Waiting
        | ScanState::Failed
        | ScanState::Unsupported
        | ScanState::Unavailable => json!({}),
    };
    json!({
        "scan-status": scan_status(row).as_str(),
        "repository-name": at.1,
        "finding-severity-counts": counts,
        "image-digest": at.2,
        "image-tags": tags,
    })
}

fn replication(at: &ReplicaKey, row: &Replication, tag: Option<&str>) -> Value {
    let result = match row.progress {
        Progress::Complete => "SUCCESS",
        Progress::Waiting { .. } | Progress::Failed { .. } => "FAILED",
    };
    let mut detail = json!({
        "result": result,
        "repository-name": at.1,
        "image-digest": at.2,
        "source-account": at.0.account.as_str(),
        "source-region": at.0.region.as_str(),
        "action-type": "REPLICATE",
    });
    if let Some(tag) = tag {
        detail["image-tag"] = json!(tag);
    }
    detail
}
