//! Log groups: making, deleting, listing, retention.

use events::paging::Page;
use ledger::Tx;
use shapes_logs as shapes;
use wire::{Context, Unit};

use super::error::Error;
use super::{LogGroup, Logs, group_arn, of_identifier, scope};
use crate::Scope;

/// How long events can be kept, in days (API reference, PutRetentionPolicy).
const RETENTION_DAYS: [i32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];
/// Most groups of a page, and how many there are if the request does not say.
const PAGE_GROUPS: usize = 50;

impl Logs {
    /// Makes a group.
    pub(super) async fn create_log_group(
        &self,
        context: Context,
        input: shapes::CreateLogGroupRequest,
    ) -> Result<Unit, Error> {
        let not_built = |what| Err(Error::NotBuilt { operation: "CreateLogGroup", what });
        if input.kms_key_id.is_some() {
            return not_built("kmsKeyId");
        }
        if input.log_group_class.is_some_and(|class| class != shapes::LogGroupClass::Standard) {
            return not_built("logGroupClass");
        }
        if input.log_group_name.starts_with("aws/") {
            return Err(Error::invalid("Log groups starting with aws/ are reserved for AWS."));
        }
        let tags = input.tags.clone().unwrap_or_default();
        super::tags::check(&tags)?;
        let key = (scope(&context), input.log_group_name.clone());
        let done = self.ledger.transact("create log group", |tx| {
            if tx.get(&self.tables.log_groups, &key).is_some() {
                return Err(Error::GroupExists);
            }
            let group = LogGroup {
                id: tx.next_id(),
                created_at: tx.now(),
                retention_days: None,
                is_protected: input.deletion_protection_enabled.unwrap_or(false),
                tags: tags.clone(),
            };
            tx.put(&self.tables.log_groups, key.clone(), group);
            Ok(Unit)
        });
        Ok(done.await?.value)
    }

    /// Deletes a group with all that is in it.
    pub(super) async fn delete_log_group(
        &self,
        context: Context,
        input: shapes::DeleteLogGroupRequest,
    ) -> Result<Unit, Error> {
        let key = (scope(&context), input.log_group_name);
        let done = self.ledger.transact("delete log group", |tx| {
            let group = tx.get(&self.tables.log_groups, &key).ok_or(Error::NoGroup)?;
            if group.is_protected {
                return Err(Error::Protected);
            }
            tx.delete(&self.tables.log_groups, &key);
            Ok(group.id)
        });
        let id = done.await?.value;
        // Nobody finds them any more; a crash in between leaves them to the store's bound.
        self.on_files(move |store| Ok(store.delete_all(&id)?)).await?;
        Ok(Unit)
    }

    /// Bounds how long events are shown.
    pub(super) async fn put_retention_policy(
        &self,
        context: Context,
        input: shapes::PutRetentionPolicyRequest,
    ) -> Result<Unit, Error> {
        let days = input.retention_in_days;
        if !RETENTION_DAYS.contains(&days) {
            let known: Vec<String> = RETENTION_DAYS.iter().map(ToString::to_string).collect();
            return Err(Error::invalid(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to \
                 satisfy constraint: Member must satisfy enum value set: [{}]",
                known.join(", ")
            )));
        }
        self.change(&context, &input.log_group_name, |group| group.retention_days = Some(days))
            .await
    }

    /// Lets events be shown for ever.
    pub(super) async fn delete_retention_policy(
        &self,
        context: Context,
        input: shapes::DeleteRetentionPolicyRequest,
    ) -> Result<Unit, Error> {
        self.change(&context, &input.log_group_name, |group| group.retention_days = None).await
    }

    async fn change(
        &self,
        context: &Context,
        name: &str,
        change: impl Fn(&mut LogGroup),
    ) -> Result<Unit, Error> {
        let key = (scope(context), name.to_owned());
        let done = self.ledger.transact("change log group", |tx: &mut Tx<'_>| {
            let row = tx.get(&self.tables.log_groups, &key).ok_or(Error::NoGroup)?;
            let mut group = LogGroup::clone(&row);
            change(&mut group);
            if group != **row.value() {
                tx.put(&self.tables.log_groups, key.clone(), group);
            }
            Ok::<_, Error>(Unit)
        });
        Ok(done.await?.value)
    }

    /// Lists groups in the order of their names.
    pub(super) async fn describe_log_groups(
        &self,
        context: Context,
        input: shapes::DescribeLogGroupsRequest,
    ) -> Result<shapes::DescribeLogGroupsResponse, Error> {
        let prefix = input.log_group_name_prefix.as_deref();
        let pattern = input.log_group_name_pattern.as_deref();
        if prefix.is_some() && pattern.is_some() {
            return Err(Error::invalid(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            ));
        }
        let identifiers: Option<Vec<&str>> = input
            .log_group_identifiers
            .as_ref()
            .map(|all| all.iter().map(|identifier| of_identifier(identifier)).collect());
        let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
        let page = Page::open(
            "DescribeLogGroups",
            limit.unwrap_or(PAGE_GROUPS),
            input.next_token.as_deref(),
        );
        let page = page.map_err(|_| Error::invalid("The specified nextToken is invalid."))?;
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let is_standard =
            input.log_group_class.is_none_or(|class| class == shapes::LogGroupClass::Standard);
        let rows = snapshot.prefix(&self.tables.log_groups, &scope).filter(|((_, name), _)| {
            is_standard
                && prefix.is_none_or(|prefix| name.starts_with(prefix))
                && pattern.is_none_or(|pattern| name.contains(pattern))
                && identifiers.as_ref().is_none_or(|names| names.contains(&name.as_str()))
        });
        let (rows, next_token) = page.take(rows, |((_, name), _)| name.clone());
        let by_pattern = pattern.is_some();
        let groups =
            rows.iter().map(|((_, name), group)| show(&scope, name, group, by_pattern)).collect();
        Ok(shapes::DescribeLogGroupsResponse { log_groups: Some(groups), next_token })
    }
}

/// A group as CloudWatch shows it; listed by a pattern it tells less (recorded).
fn show(scope: &Scope, name: &str, group: &LogGroup, by_pattern: bool) -> shapes::LogGroup {
    let arn = group_arn(scope, name);
    shapes::LogGroup {
        arn: Some(format!("{arn}:*")),
        creation_time: Some(group.created_at.millis()),
        deletion_protection_enabled: (!by_pattern).then_some(group.is_protected),
        log_group_arn: Some(arn),
        log_group_class: Some(shapes::LogGroupClass::Standard),
        log_group_name: Some(name.to_owned()),
        metric_filter_count: Some(0),
        retention_in_days: group.retention_days,
        stored_bytes: (!by_pattern).then_some(0),
        ..Default::default()
    }
}
