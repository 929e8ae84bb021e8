//! Pull-through cache rules.

use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::paging::page;
use super::scope;
use crate::error::Error;
use crate::model::{CacheRule, ECR, ROOT, base_url, kind_of};
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// Rules of a registry (ECR's quota).
const RULES_MAX: usize = 50;
/// Rules of one page if the request does not say.
const PAGE_ITEMS: usize = 100;

/// A prefix without the slash that is implied.
fn prefix(text: &str) -> String {
    text.strip_suffix('/').unwrap_or(text).to_owned()
}

fn missing(key: &NameKey) -> Error {
    let (Scope { account, .. }, prefix) = key;
    let text = format!(
        "The pull through cache rule with repository prefix '{prefix}' does not exist in the \
         registry with id '{account}'"
    );
    Error::Of(codes::PULL_THROUGH_CACHE_RULE_NOT_FOUND, text)
}

fn unsupported(why: String) -> Error {
    Error::Of(codes::UNSUPPORTED_UPSTREAM_REGISTRY, why)
}

/// Which kind of registry a rule means: what is said and what its URL tells must agree.
fn kind(url: &str, said: Option<shapes::UpstreamRegistry>) -> Result<Option<String>, Error> {
    if base_url(url).is_none() {
        return Err(unsupported(format!("'{url}' is not the URL of a registry: HOST[:PORT]")));
    }
    let told = kind_of(url);
    let said = said.map(|kind| kind.as_str());
    if let (Some(told), Some(said)) = (told, said)
        && told != said
    {
        return Err(unsupported(format!("'{url}' is not an upstream registry of the kind {said}")));
    }
    Ok(told.or(said).map(str::to_owned))
}

/// A registry that is ECR gives a token to a key of its own: AWS's service has none that it could lend, as
/// ECR does. A role is for such registries alone.
fn check_login(
    kind: Option<&str>,
    credential: Option<&str>,
    role: Option<&str>,
) -> Result<(), Error> {
    if kind != Some(ECR) {
        return match role {
            None => Ok(()),
            Some(_) => {
                Err(Error::parameter("customRoleArn", "is for upstream registries of the kind ecr"))
            }
        };
    }
    if credential.is_none() {
        return Err(Error::parameter(
            "credentialArn",
            "is needed for upstream registries of the kind ecr: a secret with an access key of \
             theirs, {\"username\": \"ACCESS KEY ID\", \"accessToken\": \"SECRET ACCESS KEY\"}",
        ));
    }
    match role {
        Some(role) if !is_role(role) => Err(Error::parameter(
            "customRoleArn",
            format!("is '{role}', and has to be the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME"),
        )),
        _ => Ok(()),
    }
}

fn is_role(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let [arn, partition, service, region, account, resource] =
        std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (arn, service, region) == ("arn", "iam", "")
        && partition.starts_with("aws")
        && is_account
        && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
}

/// A rule as answers have it.
struct Shown {
    credential_arn: Option<String>,
    custom_role_arn: Option<String>,
    ecr_repository_prefix: Option<String>,
    registry_id: Option<String>,
    upstream_registry: Option<shapes::UpstreamRegistry>,
    upstream_registry_url: Option<String>,
    upstream_repository_prefix: Option<String>,
}

fn show(key: &NameKey, row: &CacheRule) -> Shown {
    let kind = row.kind.as_deref();
    Shown {
        credential_arn: row.credential.clone(),
        custom_role_arn: row.role.clone(),
        ecr_repository_prefix: Some(key.1.clone()),
        registry_id: Some(key.0.account.to_string()),
        upstream_registry: kind
            .and_then(<shapes::UpstreamRegistry as wire::value::Enumeration>::parse),
        upstream_registry_url: Some(row.url.clone()),
        upstream_repository_prefix: Some(
            row.upstream_prefix.clone().unwrap_or_else(|| ROOT.to_owned()),
        ),
    }
}

impl Inner {
    /// Sees to it that a rule's secret is there.
    fn check_credential(&self, scope: &Scope, arn: Option<&str>) -> Result<(), Error> {
        let Some(arn) = arn else { return Ok(()) };
        let found = self.setup.secrets.text_of(&scope.account, &scope.region, arn);
        let mut parts = arn.splitn(6, ':').skip(3);
        let is_ours = parts.next() == Some(scope.region.as_str())
            && parts.next() == Some(scope.account.as_str());
        match found {
            Ok(_) => Ok(()),
            Err(secrets::NoText::Missing) if is_ours => {
                let text = format!("The secret '{arn}' does not exist");
                Err(Error::Of(codes::SECRET_NOT_FOUND, text))
            }
            Err(secrets::NoText::Missing) => {
                let text = format!(
                    "The secret '{arn}' cannot be accessed: it has to be of the registry's own \
                     account and region"
                );
                Err(Error::Of(codes::UNABLE_TO_ACCESS_SECRET, text))
            }
            Err(secrets::NoText::Closed) => {
                let text = format!(
                    "The secret '{arn}' cannot be accessed: it was deleted, or its value is no text"
                );
                Err(Error::Of(codes::UNABLE_TO_ACCESS_SECRET, text))
            }
        }
    }

    /// Makes a rule.
    pub(super) async fn create_pull_through_cache_rule(
        &self,
        context: Context,
        input: shapes::CreatePullThroughCacheRuleRequest,
    ) -> Result<shapes::CreatePullThroughCacheRuleResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let key = (scope, prefix(&input.ecr_repository_prefix));
        let kind = kind(&input.upstream_registry_url, input.upstream_registry)?;
        let (credential, role) = (input.credential_arn, input.custom_role_arn);
        check_login(kind.as_deref(), credential.as_deref(), role.as_deref())?;
        self.check_credential(&key.0, credential.as_deref())?;
        let upstream_prefix = input.upstream_repository_prefix.as_deref().map(prefix);
        let rule = CacheRule {
            url: input.upstream_registry_url,
            kind,
            credential,
            role,
            upstream_prefix: upstream_prefix.filter(|prefix| prefix != ROOT),
            created_at: context.now,
            updated_at: context.now,
        };
        let done = self.ledger.transact("create a pull-through cache rule", |tx| {
            if tx.get(&self.tables.cache_rules, &key).is_some() {
                let text = format!(
                    "The pull through cache rule with repository prefix '{}' already exists in the \
                     registry with id '{}'",
                    key.1, key.0.account
                );
                return Err(Error::Of(codes::PULL_THROUGH_CACHE_RULE_ALREADY_EXISTS, text));
            }
            if tx.prefix(&self.tables.cache_rules, &key.0).count() >= RULES_MAX {
                let text = format!("A registry has at most {RULES_MAX} pull through cache rules");
                return Err(Error::Limit(text));
            }
            tx.put(&self.tables.cache_rules, key.clone(), rule.clone());
            Ok(())
        });
        done.await?;
        let shown = show(&key, &rule);
        Ok(shapes::CreatePullThroughCacheRuleResponse {
            created_at: Some(rule.created_at),
            credential_arn: shown.credential_arn,
            custom_role_arn: shown.custom_role_arn,
            ecr_repository_prefix: shown.ecr_repository_prefix,
            registry_id: shown.registry_id,
            upstream_registry: shown.upstream_registry,
            upstream_registry_url: shown.upstream_registry_url,
            upstream_repository_prefix: shown.upstream_repository_prefix,
        })
    }

    /// Lists rules, all or those of these prefixes.
    pub(super) async fn describe_pull_through_cache_rules(
        &self,
        context: Context,
        input: shapes::DescribePullThroughCacheRulesRequest,
    ) -> Result<shapes::DescribePullThroughCacheRulesResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let wanted: Option<Vec<String>> = input
            .ecr_repository_prefixes
            .map(|texts| texts.iter().map(|text| prefix(text)).collect());
        for prefix in wanted.iter().flatten() {
            let key = (scope.clone(), prefix.clone());
            snapshot.get(&self.tables.cache_rules, &key).ok_or_else(|| missing(&key))?;
        }
        let rows = snapshot.prefix(&self.tables.cache_rules, &scope);
        let rows =
            rows.filter(|(key, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(&key.1)));
        let name = |(key, _): &(NameKey, _)| key.1.clone();
        let token = input.next_token.as_deref();
        let (rows, next_token) = page(rows, name, input.max_results, PAGE_ITEMS, token)?;
        let rules = rows.iter().map(|(key, row)| {
            let shown = show(key, row);
            shapes::PullThroughCacheRule {
                created_at: Some(row.created_at),
                credential_arn: shown.credential_arn,
                custom_role_arn: shown.custom_role_arn,
                ecr_repository_prefix: shown.ecr_repository_prefix,
                registry_id: shown.registry_id,
                updated_at: Some(row.updated_at),
                upstream_registry: shown.upstream_registry,
                upstream_registry_url: shown.upstream_registry_url,
                upstream_repository_prefix: shown.upstream_repository_prefix,
            }
        });
        let pull_through_cache_rules = Some(rules.collect());
        Ok(shapes::DescribePullThroughCacheRulesResponse { next_token, pull_through_cache_rules })
    }

    /// Deletes a rule; what came through stays.
    pub(super) async fn delete_pull_through_cache_rule(
        &self,
        context: Context,
        input: shapes::DeletePullThroughCacheRuleRequest,
    ) -> Result<shapes::DeletePullThroughCacheRuleResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let key = (scope, prefix(&input.ecr_repository_prefix));
        let done = self.ledger.transact("delete a pull-through cache rule", |tx| {
            let row = tx.get(&self.tables.cache_rules, &key).ok_or_else(|| missing(&key))?;
            tx.delete(&self.tables.cache_rules, &key);
            Ok::<_, Error>(CacheRule::clone(&row))
        });
        let row = done.await?.value;
        let shown = show(&key, &row);
        Ok(shapes::DeletePullThroughCacheRuleResponse {
            created_at: Some(row.created_at),
            credential_arn: shown.credential_arn,
            custom_role_arn: shown.custom_role_arn,
            ecr_repository_prefix: shown.ecr_repository_prefix,
            registry_id: shown.registry_id,
            upstream_registry_url: shown.upstream_registry_url,
            upstream_repository_prefix: shown.upstream_repository_prefix,
        })
    }

    /// Gives a rule other credentials.
    pub(super) async fn update_pull_through_cache_rule(
        &self,
        context: Context,
        input: shapes::UpdatePullThroughCacheRuleRequest,
    ) -> Result<shapes::UpdatePullThroughCacheRuleResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let key = (scope, prefix(&input.ecr_repository_prefix));
        let known = self.ledger.snapshot().get(&self.tables.cache_rules, &key);
        let known = known.ok_or_else(|| missing(&key))?;
        let changed = |said: &Option<String>, old: &Option<String>| said.clone().or(old.clone());
        let credential = changed(&input.credential_arn, &known.credential);
        let role = changed(&input.custom_role_arn, &known.role);
        check_login(known.kind.as_deref(), credential.as_deref(), role.as_deref())?;
        self.check_credential(&key.0, input.credential_arn.as_deref())?;
        let done = self.ledger.transact("update a pull-through cache rule", |tx| {
            let row = tx.get(&self.tables.cache_rules, &key).ok_or_else(|| missing(&key))?;
            let old = CacheRule::clone(&row);
            let credential = changed(&input.credential_arn, &old.credential);
            let role = changed(&input.custom_role_arn, &old.role);
            let row = CacheRule { credential, role, updated_at: tx.now(), ..old };
            tx.put(&self.tables.cache_rules, key.clone(), row.clone());
            Ok::<_, Error>(row)
        });
        let row = done.await?.value;
        let shown = show(&key, &row);
        Ok(shapes::UpdatePullThroughCacheRuleResponse {
            credential_arn: shown.credential_arn,
            custom_role_arn: shown.custom_role_arn,
            ecr_repository_prefix: shown.ecr_repository_prefix,
            registry_id: shown.registry_id,
            updated_at: Some(row.updated_at),
            upstream_repository_prefix: shown.upstream_repository_prefix,
        })
    }

    /// Whether a rule's registry is there and lets its credentials in.
    pub(super) async fn validate_pull_through_cache_rule(
        &self,
        context: Context,
        input: shapes::ValidatePullThroughCacheRuleRequest,
    ) -> Result<shapes::ValidatePullThroughCacheRuleResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let key = (scope, prefix(&input.ecr_repository_prefix));
        let row = self.ledger.snapshot().get(&self.tables.cache_rules, &key);
        let row = CacheRule::clone(&*row.ok_or_else(|| missing(&key))?);
        let failure = self.knock(&key.0, &row).await.err().map(|error| error.to_string());
        let shown = show(&key, &row);
        Ok(shapes::ValidatePullThroughCacheRuleResponse {
            credential_arn: shown.credential_arn,
            custom_role_arn: shown.custom_role_arn,
            ecr_repository_prefix: shown.ecr_repository_prefix,
            is_valid: Some(failure.is_none()),
            failure,
            registry_id: shown.registry_id,
            upstream_registry_url: shown.upstream_registry_url,
            upstream_repository_prefix: shown.upstream_repository_prefix,
        })
    }
}
