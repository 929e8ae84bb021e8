//! Creation templates: how repositories are made that nobody makes by name (`creation.rs`).

use shapes::RCTAppliedFor;
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::paging::page;
use super::{lifecycle, mutability, repositories, tags};
use crate::error::Error;
use crate::model::{ROOT, Template, is_repository_name};
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// What a push makes repositories by.
const ON_PUSH: &str = "CREATE_ON_PUSH";
/// Templates of one page if the request does not say.
const PAGE_ITEMS: usize = 100;

fn applied_for(wish: &[RCTAppliedFor]) -> Result<Vec<String>, Error> {
    match wish.is_empty() {
        true => Err(Error::parameter("appliedFor", "must have a member")),
        false => Ok(wish.iter().map(|one| one.as_str().to_owned()).collect()),
    }
}

fn encryption(
    wish: Option<shapes::EncryptionConfigurationForRepositoryCreationTemplate>,
) -> Result<crate::model::Encryption, Error> {
    let plain = wish.map(|wish| shapes::EncryptionConfiguration {
        encryption_type: wish.encryption_type,
        kms_key: wish.kms_key,
    });
    repositories::encryption(plain.as_ref())
}

fn missing(prefix: &str) -> Error {
    let text = format!("The repository creation template with prefix '{prefix}' does not exist");
    Error::Of(codes::TEMPLATE_NOT_FOUND, text)
}

/// A template with its policy as that is shown.
fn show(
    prefix: &str,
    row: &Template,
    repository_policy: Option<String>,
) -> shapes::RepositoryCreationTemplate {
    let (kind, filters) = mutability::show(&row.mutability);
    let encryption = repositories::show_encryption(&row.encryption);
    let applied = row.applied_for.iter().filter_map(|text| match text.as_str() {
        "REPLICATION" => Some(RCTAppliedFor::Replication),
        "PULL_THROUGH_CACHE" => Some(RCTAppliedFor::PullThroughCache),
        ON_PUSH => Some(RCTAppliedFor::CreateOnPush),
        _ => None,
    });
    let tag =
        |(key, value): (&String, &String)| shapes::Tag { key: key.clone(), value: value.clone() };
    shapes::RepositoryCreationTemplate {
        applied_for: Some(applied.collect()),
        created_at: Some(row.created_at),
        custom_role_arn: row.role.clone(),
        description: row.description.clone(),
        encryption_configuration: Some(
            shapes::EncryptionConfigurationForRepositoryCreationTemplate {
                encryption_type: encryption.encryption_type,
                kms_key: encryption.kms_key,
            },
        ),
        image_tag_mutability: Some(kind),
        image_tag_mutability_exclusion_filters: filters,
        lifecycle_policy: row.lifecycle.clone(),
        prefix: Some(prefix.to_owned()),
        repository_policy,
        resource_tags: Some(row.tags.iter().map(tag).collect()),
        updated_at: Some(row.updated_at),
    }
}

/// Without a trailing slash, which is implied.
fn prefix(text: &str) -> Result<String, Error> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    match bare == ROOT || is_repository_name(bare) {
        true => Ok(bare.to_owned()),
        false => {
            Err(Error::parameter("prefix", format!("'{text}' can begin no repository's name")))
        }
    }
}

impl Inner {
    /// A template as it is shown: whom its policy names by their ARNs.
    fn show_template(
        &self,
        (scope, prefix): &NameKey,
        row: &Template,
    ) -> shapes::RepositoryCreationTemplate {
        let policy = row.policy.as_ref().map(|kept| self.policy_to_show(&scope.account, kept));
        show(prefix, row, policy)
    }

    /// Makes a template.
    pub(super) async fn create_repository_creation_template(
        &self,
        context: Context,
        input: shapes::CreateRepositoryCreationTemplateRequest,
    ) -> Result<shapes::CreateRepositoryCreationTemplateResponse, Error> {
        let key = (Scope::of(&context), prefix(&input.prefix)?);
        let kept = |text: &str| self.policy_to_keep(&key.0.account, text);
        let policy = input.repository_policy.as_deref().map(kept).transpose()?;
        input.lifecycle_policy.as_deref().map(lifecycle::check).transpose()?;
        let template = Template {
            description: input.description,
            applied_for: applied_for(&input.applied_for)?,
            mutability: mutability::read(
                input.image_tag_mutability,
                &input.image_tag_mutability_exclusion_filters,
            )?,
            encryption: encryption(input.encryption_configuration)?,
            tags: tags::read(input.resource_tags.as_deref().unwrap_or_default())?,
            policy,
            lifecycle: input.lifecycle_policy,
            role: input.custom_role_arn,
            created_at: context.now,
            updated_at: context.now,
        };
        let done = self.ledger.transact("create a template", |tx| {
            if tx.get(&self.tables.templates, &key).is_some() {
                let text = format!(
                    "The repository creation template with prefix '{}' already exists",
                    key.1
                );
                return Err(Error::Of(codes::TEMPLATE_ALREADY_EXISTS, text));
            }
            tx.put(&self.tables.templates, key.clone(), template.clone());
            Ok(())
        });
        done.await?;
        Ok(shapes::CreateRepositoryCreationTemplateResponse {
            registry_id: Some(key.0.account.to_string()),
            repository_creation_template: Some(self.show_template(&key, &template)),
        })
    }

    /// Changes what is given of a template.
    pub(super) async fn update_repository_creation_template(
        &self,
        context: Context,
        input: shapes::UpdateRepositoryCreationTemplateRequest,
    ) -> Result<shapes::UpdateRepositoryCreationTemplateResponse, Error> {
        let key = (Scope::of(&context), prefix(&input.prefix)?);
        let kept = |text: &str| self.policy_to_keep(&key.0.account, text);
        let policy = input.repository_policy.as_deref().map(kept).transpose()?;
        input.lifecycle_policy.as_deref().map(lifecycle::check).transpose()?;
        let applied = input.applied_for.as_deref().map(applied_for).transpose()?;
        let filters = &input.image_tag_mutability_exclusion_filters;
        let mutability =
            input.image_tag_mutability.map(|wish| mutability::read(Some(wish), filters));
        let mutability = mutability.transpose()?;
        let wished = input.encryption_configuration.map(|wish| encryption(Some(wish)));
        let wished = wished.transpose()?;
        let new_tags = input.resource_tags.as_deref().map(tags::read).transpose()?;
        let done = self.ledger.transact("update a template", |tx| {
            let old = tx.get(&self.tables.templates, &key).ok_or_else(|| missing(&key.1))?;
            let old = Template::clone(&old);
            let row = Template {
                description: input.description.clone().or(old.description),
                applied_for: applied.clone().unwrap_or(old.applied_for),
                mutability: mutability.clone().unwrap_or(old.mutability),
                encryption: wished.clone().unwrap_or(old.encryption),
                tags: new_tags.clone().unwrap_or(old.tags),
                policy: policy.clone().or(old.policy),
                lifecycle: input.lifecycle_policy.clone().or(old.lifecycle),
                role: input.custom_role_arn.clone().or(old.role),
                created_at: old.created_at,
                updated_at: tx.now(),
            };
            tx.put(&self.tables.templates, key.clone(), row.clone());
            Ok::<_, Error>(row)
        });
        let row = done.await?.value;
        Ok(shapes::UpdateRepositoryCreationTemplateResponse {
            registry_id: Some(key.0.account.to_string()),
            repository_creation_template: Some(self.show_template(&key, &row)),
        })
    }

    /// Deletes a template; repositories that it made stay.
    pub(super) async fn delete_repository_creation_template(
        &self,
        context: Context,
        input: shapes::DeleteRepositoryCreationTemplateRequest,
    ) -> Result<shapes::DeleteRepositoryCreationTemplateResponse, Error> {
        let key = (Scope::of(&context), prefix(&input.prefix)?);
        let done = self.ledger.transact("delete a template", |tx| {
            let row = tx.get(&self.tables.templates, &key).ok_or_else(|| missing(&key.1))?;
            tx.delete(&self.tables.templates, &key);
            Ok::<_, Error>(Template::clone(&row))
        });
        let shown = self.show_template(&key, &done.await?.value);
        Ok(shapes::DeleteRepositoryCreationTemplateResponse {
            registry_id: Some(key.0.account.to_string()),
            repository_creation_template: Some(shown),
        })
    }

    /// Lists templates.
    pub(super) async fn describe_repository_creation_templates(
        &self,
        context: Context,
        input: shapes::DescribeRepositoryCreationTemplatesRequest,
    ) -> Result<shapes::DescribeRepositoryCreationTemplatesResponse, Error> {
        let (scope, snapshot) = (Scope::of(&context), self.ledger.snapshot());
        let wanted = input.prefixes.iter().flatten().map(|text| prefix(text));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let rows = snapshot.prefix(&self.tables.templates, &scope);
        let rows = rows.filter(|(key, _)| wanted.is_empty() || wanted.contains(&key.1));
        let name = |(key, _): &(NameKey, _)| key.1.clone();
        let token = input.next_token.as_deref();
        let (rows, next_token) = page(rows, name, input.max_results, PAGE_ITEMS, token)?;
        let shown = rows.iter().map(|(key, row)| self.show_template(key, row)).collect();
        Ok(shapes::DescribeRepositoryCreationTemplatesResponse {
            next_token,
            registry_id: Some(scope.account.to_string()),
            repository_creation_templates: Some(shown),
        })
    }
}
