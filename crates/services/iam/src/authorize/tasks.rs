//! Tasks with their roles' credentials: which policies they have, and why they may do so little if
//! IAM does not know the role, or the role does not trust tasks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use ledger::View;
use policy::{Context as Keys, PolicySets, Principal, PrincipalKind, Request, Source, decide};
use terms::AccountId;
use wire::{Caller, Denied};

use super::who::{Who, principal, stand_in};
use crate::Iam;
use crate::compiled::{Compiled, compile};
use crate::model::{Entity, Kind};
use crate::tables::entity_key;

/// Who starts tasks, as trust policies name it.
const OF_TASKS: &str = "ecs-tasks.amazonaws.com";

/// Most roles that are warned of.
const WARNED_MAX: usize = 1000;

/// What an instance may do in its own name, without any execution role: pull images and write
/// logs. An execution role that IAM does not know gives its task's agent no more than that.
const OF_INSTANCES: &str = r#"{
  "Version": "2012-10-17",
  "Statement": {"Effect": "Allow", "Resource": "*", "Action": [
    "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:BatchImportUpstreamImage",
    "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]}
}"#;

static AS_INSTANCES: LazyLock<Arc<Compiled>> = LazyLock::new(|| {
    let policy = compile(OF_INSTANCES);
    let source = Source { name: "no-record".to_owned(), arn: None, policy };
    Arc::new(Compiled::of(vec![source]))
});

static NOTHING: LazyLock<Arc<Compiled>> = LazyLock::new(Arc::default);

/// What a role is to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleOfTask {
    /// IAM knows it, and it trusts tasks.
    Fit,
    /// IAM has no such role: it opens nothing, and becomes the task's once it is made.
    Unknown,
    /// IAM knows it, and it does not trust tasks.
    Untrusting,
}

impl Iam {
    /// What a role of the account, by its ARN or its name, is to a task of this ARN.
    pub fn role_of_task(&self, account: &AccountId, role: &str, task_arn: &str) -> RoleOfTask {
        let view = self.ledger.snapshot();
        let name = role.rsplit('/').next().unwrap_or_default();
        let row = view.get(&self.tables.entities, &entity_key(account, Kind::Role, name));
        let Some(row) = row else { return RoleOfTask::Unknown };
        let role = row.value();
        let known = self.known_of(&view, account, role);
        match trusts_tasks(account, role, &known.compiled, task_arn) {
            true => RoleOfTask::Fit,
            false => RoleOfTask::Untrusting,
        }
    }

    /// Lets tasks do everything whose role IAM never knew, on all clones: for servers that accept
    /// anybody's requests anyway (`--auth open`).
    pub fn open_unknown_roles(&self) {
        self.opens_unknown_roles.store(true, Ordering::Relaxed);
    }

    /// A task with the credentials of its role, or of its execution role; none if it may do
    /// everything.
    pub(super) fn task(
        &self,
        caller: &Caller,
        (task_arn, is_execution): (&str, bool),
        view: &impl View,
    ) -> Result<Option<Who>, Denied> {
        let name = caller.arn.split('/').nth(1).unwrap_or_default();
        let key = entity_key(&caller.account, Kind::Role, name);
        let Some(row) = view.get(&self.tables.entities, &key) else {
            if view.get(&self.tables.gone_roles, &key).is_some() {
                let because = format!(
                    "the role {name} was deleted ('aws iam create-role' makes it again, and its \
                     policies are put anew)"
                );
                return Ok(Some(unknown(caller, name, Arc::clone(&NOTHING), because)));
            }
            return Ok(self.task_of_unknown(caller, name, is_execution));
        };
        let role = Arc::clone(row.value());
        let known = self.known_of(view, &caller.account, &role);
        if !trusts_tasks(&caller.account, &role, &known.compiled, task_arn) {
            let because = format!(
                "the role {name} does not trust {OF_TASKS} ('aws iam update-assume-role-policy' \
                 changes that)"
            );
            return Ok(Some(unknown(caller, name, Arc::clone(&NOTHING), because)));
        }
        Ok(Some(Who::known(caller, &known)))
    }

    /// A task whose role IAM never knew. It is refused what it asks for, with what to do about it;
    /// its agent may go on pulling its images and writing its logs.
    fn task_of_unknown(&self, caller: &Caller, name: &str, is_execution: bool) -> Option<Who> {
        let is_open = self.opens_unknown_roles.load(Ordering::Relaxed);
        self.warn_of_unknown(&caller.account, name, is_open);
        if is_open {
            return None;
        }
        let compiled = if is_execution { &AS_INSTANCES } else { &NOTHING };
        let because = format!(
            "IAM has no role {name} ('aws iam create-role --role-name {name}' makes it, with \
             {OF_TASKS} in its trust policy; then give it policies)"
        );
        Some(unknown(caller, name, Arc::clone(compiled), because))
    }

    /// Tells once for each role that it is not there.
    fn warn_of_unknown(&self, account: &AccountId, role: &str, is_open: bool) {
        let mut warned = self.warned.lock();
        if warned.len() >= WARNED_MAX || !warned.insert(format!("{account}/{role}")) {
            return;
        }
        if is_open {
            tracing::warn!(
                role,
                "tasks have a role that IAM does not know: they may do everything"
            );
        } else {
            tracing::warn!(
                role,
                "tasks have a role that IAM does not know: what they ask for with it is refused"
            );
        }
    }
}

/// A task whose role gives it these policies and no others, and why.
fn unknown(caller: &Caller, name: &str, compiled: Arc<Compiled>, because: String) -> Who {
    let entity = stand_in(Kind::Role, &caller.user_id, name);
    let mut principal = principal(caller, &entity, PrincipalKind::RoleSession);
    // It is nobody that a policy of a resource could mean.
    principal.entity_id = String::new();
    Who { because: Some(because), ..Who::of(principal, Arc::new(entity), compiled) }
}

/// Whether the role's trust lets tasks have it (ECS developer guide, "Task IAM role": the trust
/// policy may narrow it by `aws:SourceAccount` and `aws:SourceArn`).
fn trusts_tasks(account: &AccountId, role: &Entity, compiled: &Compiled, task_arn: &str) -> bool {
    let principal = Principal {
        kind: PrincipalKind::Service,
        account: String::new(),
        arn: OF_TASKS.to_owned(),
        entity_arn: OF_TASKS.to_owned(),
        entity_id: String::new(),
    };
    let mut keys = Keys::default();
    keys.set("aws:SourceAccount", account.as_str());
    keys.set("aws:SourceArn", task_arn);
    keys.set("aws:PrincipalIsAWSService", "true");
    let sets = PolicySets {
        resource: compiled.trust.as_slice(),
        needs_resource: true,
        ..PolicySets::default()
    };
    let (arn, owner) = (role.arn(account), account.as_str());
    let action = "sts:AssumeRole";
    let request = Request { principal: &principal, action, resource: &arn, owner, context: &keys };
    decide(&request, &sets).is_allowed()
}
