//! What would be decided: the engine of live traffic, with made-up requests.

use std::sync::Arc;

use ledger::View;
use policy::{
    Cause, Context as Keys, Kind as DocumentKind, Match, Outcome, Policy, PolicySets, Principal,
    PrincipalKind, Request, Set, Source, decide, explain,
};
use shapes_iam as shapes;
use terms::AccountId;
use wire::Context;

use super::account;
use super::paging::page;
use crate::Iam;
use crate::compiled::Origin;
use crate::directory::missing;
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;

/// What is simulated.
struct Simulation {
    caller: Principal,
    identity: Vec<Source>,
    origins: Vec<Origin>,
    boundary: Option<Source>,
    resource_policy: Option<Source>,
    keys: Keys,
    owner: String,
}

fn source(name: String, text: &str, kind: DocumentKind) -> Result<Source, Refusal> {
    Ok(Source { name, arn: None, policy: Arc::new(Policy::parse(text, kind)?) })
}

fn keys_of(entries: Option<Vec<shapes::ContextEntry>>) -> Keys {
    use shapes::ContextKeyTypeEnum as Type;
    let mut keys = Keys::default();
    for entry in entries.unwrap_or_default() {
        let (Some(name), Some(values)) = (entry.context_key_name, entry.context_key_values) else {
            continue;
        };
        let is_list = matches!(
            entry.context_key_type,
            Some(
                Type::StringList
                    | Type::NumericList
                    | Type::BooleanList
                    | Type::IpList
                    | Type::BinaryList
                    | Type::DateList
            )
        );
        match values.first() {
            Some(value) if !is_list => keys.set(&name, value.as_str()),
            _ => keys.set_list(&name, values),
        }
    }
    keys
}

/// The caller that an ARN names; the role's session for a role.
fn principal_of(arn: &str, id: String) -> Principal {
    let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
    let is_session = arn.contains(":role/") || arn.contains(":assumed-role/");
    let kind = if is_session { PrincipalKind::RoleSession } else { PrincipalKind::User };
    let text = arn.to_owned();
    Principal { kind, account, arn: text.clone(), entity_arn: text, entity_id: id }
}

impl Iam {
    /// The user, group or role with this ARN.
    fn entity_of_arn(
        &self,
        view: &impl View,
        account: &AccountId,
        arn: &str,
    ) -> Result<Entity, Refusal> {
        let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:"));
        let parts = rest.and_then(|rest| rest.split_once('/'));
        let (kind, path) = parts.ok_or_else(|| {
            Refusal::Invalid(format!(
                "Invalid Entity Arn: {arn} does not clearly define entity type and name."
            ))
        })?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let kind = match kind {
            "user" => Kind::User,
            "group" => Kind::Group,
            "role" => Kind::Role,
            _ => return Err(Refusal::Invalid(format!("Invalid Entity Arn: {arn}"))),
        };
        let entity = self.entity(view, account, kind, name)?;
        if entity.arn(account) == arn { Ok(entity) } else { Err(missing(kind, name)) }
    }
}

fn matched(simulation: &Simulation, found: &[Match]) -> Vec<shapes::Statement> {
    let place = |position: policy::Position| shapes::Position {
        column: i32::try_from(position.column).ok(),
        line: i32::try_from(position.line).ok(),
    };
    let sets = simulation.sets();
    let one = |found: &Match| {
        let source = sets.source(*found)?;
        let (start, end) = source.policy.span(found.statement)?;
        let kind = match found.set {
            Set::Identity => match simulation.origins.get(found.source) {
                Some(Origin::User) => shapes::PolicySourceType::User,
                Some(Origin::Group) => shapes::PolicySourceType::Group,
                Some(Origin::Role) => shapes::PolicySourceType::Role,
                Some(Origin::OfAws) => shapes::PolicySourceType::AwsManaged,
                Some(Origin::OfAccount) => shapes::PolicySourceType::UserManaged,
                None => shapes::PolicySourceType::None,
            },
            Set::Resource => shapes::PolicySourceType::Resource,
            Set::Boundary | Set::Session => shapes::PolicySourceType::None,
        };
        Some(shapes::Statement {
            end_position: Some(place(end)),
            source_policy_id: Some(source.name.clone()),
            source_policy_type: Some(kind),
            start_position: Some(place(start)),
        })
    };
    found.iter().filter_map(one).collect()
}

impl Simulation {
    fn sets(&self) -> PolicySets<'_> {
        PolicySets {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: None,
            resource: self.resource_policy.as_slice(),
            needs_resource: false,
        }
    }

    fn evaluate(&self, action: &str, resource: &str) -> shapes::EvaluationResult {
        let sets = self.sets();
        let request = Request {
            principal: &self.caller,
            action,
            resource,
            owner: &self.owner,
            context: &self.keys,
        };
        let decision = decide(&request, &sets);
        let eval_decision = match decision.outcome {
            Outcome::Allowed => shapes::PolicyEvaluationDecisionType::Allowed,
            Outcome::ExplicitDeny => shapes::PolicyEvaluationDecisionType::ExplicitDeny,
            Outcome::ImplicitDeny => shapes::PolicyEvaluationDecisionType::ImplicitDeny,
        };
        let found = explain(&request, &sets);
        let statements = matched(self, &found);
        let bounded = self.boundary.as_ref().map(|_| shapes::PermissionsBoundaryDecisionDetail {
            allowed_by_permissions_boundary: Some(
                decision.cause != Cause::Missing(Set::Boundary)
                    && found.iter().any(|found| found.set == Set::Boundary),
            ),
        });
        let missing = Some(self.missing());
        let specific = shapes::ResourceSpecificResult {
            eval_decision_details: None,
            eval_resource_decision: eval_decision,
            eval_resource_name: resource.to_owned(),
            matched_statements: Some(statements.clone()),
            missing_context_values: missing.clone(),
            permissions_boundary_decision_detail: bounded.clone(),
        };
        shapes::EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_decision,
            eval_decision_details: None,
            eval_resource_name: Some(resource.to_owned()),
            matched_statements: Some(statements),
            missing_context_values: missing,
            organizations_decision_detail: None,
            permissions_boundary_decision_detail: bounded,
            resource_specific_results: Some(vec![specific]),
        }
    }

    /// The keys that policies ask for and the request does not have.
    fn missing(&self) -> Vec<String> {
        let all = self.identity.iter().chain(&self.boundary).chain(&self.resource_policy);
        let mut keys: Vec<String> = all.flat_map(|source| source.policy.keys()).collect();
        keys.retain(|key| self.keys.get(key).is_none());
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn answer(
        &self,
        actions: &[String],
        resources: Option<Vec<String>>,
        marker: Option<&str>,
        max_items: Option<i32>,
    ) -> Result<shapes::SimulatePolicyResponse, Refusal> {
        let resources = resources.filter(|list| !list.is_empty());
        let resources = resources.unwrap_or_else(|| vec!["*".to_owned()]);
        let pairs = actions.iter().flat_map(|action| resources.iter().map(move |to| (action, to)));
        let results = (0_usize..)
            .zip(pairs)
            .map(|(at, (action, to))| (format!("{at:09}"), self.evaluate(action, to)));
        let page = page(results.collect(), marker, max_items)?;
        Ok(shapes::SimulatePolicyResponse {
            evaluation_results: Some(page.items),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }
}

fn numbered(texts: &[String], what: &str) -> Result<Vec<Source>, Refusal> {
    let one = |(number, text): (usize, &String)| {
        source(format!("{what}.{number}"), text, DocumentKind::Identity)
    };
    (1..).zip(texts).map(one).collect()
}

pub(super) async fn custom(
    iam: &Iam,
    context: Context,
    input: shapes::SimulateCustomPolicyRequest,
) -> Result<shapes::SimulatePolicyResponse, Refusal> {
    let _ = iam;
    let own = account(&context).to_string();
    let caller = input.caller_arn.unwrap_or_else(|| format!("arn:aws:iam::{own}:user/simulated"));
    let identity = numbered(&input.policy_input_list, "PolicyInputList")?;
    let bounds = input.permissions_boundary_policy_input_list.unwrap_or_default();
    let resource_policy = input
        .resource_policy
        .map(|text| source("ResourcePolicy".to_owned(), &text, DocumentKind::Resource));
    let simulation = Simulation {
        caller: principal_of(&caller, String::new()),
        origins: vec![Origin::User; identity.len()],
        identity,
        boundary: numbered(&bounds, "PermissionsBoundary")?.into_iter().next(),
        resource_policy: resource_policy.transpose()?,
        keys: keys_of(input.context_entries),
        owner: owner(input.resource_owner, own),
    };
    let (marker, max) = (input.marker.as_deref(), input.max_items);
    simulation.answer(&input.action_names, input.resource_arns, marker, max)
}

/// The account in the owner's ARN.
fn owner(arn: Option<String>, own: String) -> String {
    let account = arn.as_deref().and_then(|arn| arn.split(':').nth(4)).map(str::to_owned);
    account.filter(|account| !account.is_empty()).unwrap_or(own)
}

pub(super) async fn principal(
    iam: &Iam,
    context: Context,
    input: shapes::SimulatePrincipalPolicyRequest,
) -> Result<shapes::SimulatePolicyResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let entity = iam.entity_of_arn(&snapshot, account, &input.policy_source_arn)?;
    let compiled = iam.compiled(&snapshot, account, &entity);
    let mut identity = compiled.identity.clone();
    let mut origins = compiled.origins.clone();
    let more = numbered(&input.policy_input_list.unwrap_or_default(), "PolicyInputList")?;
    origins.extend(more.iter().map(|_| Origin::User));
    identity.extend(more);
    let bounds = input.permissions_boundary_policy_input_list.unwrap_or_default();
    let boundary = numbered(&bounds, "PermissionsBoundary")?.into_iter().next();
    let resource_policy = input
        .resource_policy
        .map(|text| source("ResourcePolicy".to_owned(), &text, DocumentKind::Resource));
    let caller = input.caller_arn.unwrap_or(input.policy_source_arn);
    let simulation = Simulation {
        caller: principal_of(&caller, entity.id.clone()),
        identity,
        origins,
        boundary: boundary.or_else(|| compiled.boundary.clone()),
        resource_policy: resource_policy.transpose()?,
        keys: keys_of(input.context_entries),
        owner: owner(input.resource_owner, account.to_string()),
    };
    let (marker, max) = (input.marker.as_deref(), input.max_items);
    simulation.answer(&input.action_names, input.resource_arns, marker, max)
}

fn keys(sources: &[Source]) -> shapes::GetContextKeysForPolicyResponse {
    let mut keys: Vec<String> = sources.iter().flat_map(|source| source.policy.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    shapes::GetContextKeysForPolicyResponse { context_key_names: Some(keys) }
}

pub(super) async fn keys_of_custom(
    iam: &Iam,
    _: Context,
    input: shapes::GetContextKeysForCustomPolicyRequest,
) -> Result<shapes::GetContextKeysForPolicyResponse, Refusal> {
    let _ = iam;
    let sources = numbered(&input.policy_input_list, "PolicyInputList");
    Ok(keys(&sources.map_err(invalid)?))
}

pub(super) async fn keys_of_principal(
    iam: &Iam,
    context: Context,
    input: shapes::GetContextKeysForPrincipalPolicyRequest,
) -> Result<shapes::GetContextKeysForPolicyResponse, Refusal> {
    let (account, snapshot) = (account(&context), iam.ledger.snapshot());
    let entity = iam.entity_of_arn(&snapshot, account, &input.policy_source_arn)?;
    let mut sources = iam.compiled(&snapshot, account, &entity).identity.clone();
    let more = input.policy_input_list.unwrap_or_default();
    sources.extend(numbered(&more, "PolicyInputList").map_err(invalid)?);
    Ok(keys(&sources))
}

/// The model declares no `MalformedPolicyDocument` for these.
fn invalid(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Malformed(text) => Refusal::Invalid(text),
        Refusal::Unfit(malformed) => Refusal::Invalid(malformed.located()),
        other => other,
    }
}
