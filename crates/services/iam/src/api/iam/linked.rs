//! Roles that are linked to a service: the service's own, with its policy.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Tx;
use shapes_iam as shapes;
use terms::AccountId;
use wire::Context;

use super::account;
use super::show::Detail;
use crate::directory::{by_id, missing, unique_id};
use crate::model::{Entity, Kind, RolePart};
use crate::refusal::Refusal;
use crate::tables::{Gone, entity_key};
use crate::{Iam, IamError};

/// The service, the role, its policy.
type Linked = (&'static str, &'static str, &'static str);

/// ECS works with its role as long as there is a control plane.
const OF_ECS: Linked = (
    "ecs.amazonaws.com",
    "AWSServiceRoleForECS",
    "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy",
);

/// Services that have such a role here.
const LINKED: [Linked; 2] = [
    OF_ECS,
    (
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
        "arn:aws:iam::aws:policy/aws-service-role/AWSApplicationAutoscalingECSServicePolicy",
    ),
];

impl Iam {
    /// Makes `AWSServiceRoleForECS`, if the account has none yet.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn ensure_service_role(&self) -> Result<(), IamError> {
        let key = entity_key(&self.account, Kind::Role, OF_ECS.1);
        if self.ledger.snapshot().get(&self.tables.entities, &key).is_some() {
            return Ok(());
        }
        let made = self.change("iam: service-linked role", |tx| {
            match tx.get(&self.tables.entities, &key) {
                Some(_) => Ok(()),
                None => self.put_linked(tx, &self.account, OF_ECS, None).map(drop),
            }
        });
        match made.await {
            Ok(()) => Ok(()),
            Err(Refusal::Ledger(error)) => Err(IamError::Ledger(error)),
            Err(refusal) => {
                tracing::error!(%refusal, "the role of ECS could not be made");
                Ok(())
            }
        }
    }

    fn put_linked(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        (service, name, policy): Linked,
        description: Option<String>,
    ) -> Result<Entity, Refusal> {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
        );
        let part =
            RolePart { trust, description, max_session_s: 3600, linked: Some(service.to_owned()) };
        let role = Entity {
            kind: Kind::Role,
            id: unique_id(Kind::Role.prefix(), tx.next_id()),
            name: name.to_owned(),
            path: format!("/aws-service-role/{service}/"),
            created_at: tx.now(),
            tags: BTreeMap::new(),
            inline: BTreeMap::new(),
            attached: BTreeSet::from([policy.to_owned()]),
            boundary: None,
            groups: BTreeSet::new(),
            role: Some(part),
        };
        tx.put(&self.tables.entities, entity_key(account, Kind::Role, name), role.clone());
        Ok(role)
    }
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateServiceLinkedRoleRequest,
) -> Result<shapes::CreateServiceLinkedRoleResponse, Refusal> {
    let account = account(&context);
    let service = input.aws_service_name.as_str();
    let Some(linked) = LINKED.into_iter().find(|(of, _, _)| *of == service) else {
        let text = format!("Longshore has no role that is linked to {service}.");
        return Err(Refusal::Invalid(text));
    };
    if input.custom_suffix.is_some() {
        return Err(Refusal::Invalid(format!("Custom suffix is not allowed for {service}")));
    }
    let role = iam.change("iam: service-linked role", |tx| {
        let key = entity_key(account, Kind::Role, linked.1);
        if tx.get(&iam.tables.entities, &key).is_some() {
            return Err(Refusal::Invalid(format!(
                "Service role name {} has been taken in this account, please try a different \
                 suffix.",
                linked.1
            )));
        }
        iam.put_linked(tx, account, linked, input.description.clone())
    });
    let role = role.await?;
    let role = iam.show_role(&iam.ledger.snapshot(), account, &role, Detail::Created);
    Ok(shapes::CreateServiceLinkedRoleResponse { role: Some(role) })
}

/// What the id of a deletion begins with: the service, the role and its unique id come after it.
const DELETION: &str = "task/aws-service-role/";

/// Deletes a role that is linked to a service, unless the service works with it: that is told by the
/// deletion's status, as AWS does.
pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteServiceLinkedRoleRequest,
) -> Result<shapes::DeleteServiceLinkedRoleResponse, Refusal> {
    let (account, name) = (account(&context), &input.role_name);
    let deletion_task_id = iam.change("iam: delete service-linked role", |tx| {
        let role = iam.entity(tx, account, Kind::Role, name)?;
        let service = role.role.as_ref().and_then(|part| part.linked.clone());
        let service = service.ok_or_else(|| missing(Kind::Role, name))?;
        if role.name != OF_ECS.1 {
            let key = entity_key(account, Kind::Role, name);
            tx.delete(&iam.tables.entities, &key);
            tx.put(&iam.tables.gone_roles, key, Gone);
        }
        Ok(format!("{DELETION}{service}/{}/{}", role.name, role.id))
    });
    Ok(shapes::DeleteServiceLinkedRoleResponse { deletion_task_id: deletion_task_id.await? })
}

/// How a deletion went: it is over when it is answered.
pub(super) async fn deletion(
    iam: &Iam,
    context: Context,
    input: shapes::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<shapes::GetServiceLinkedRoleDeletionStatusResponse, Refusal> {
    use shapes::DeletionTaskStatusType::{Failed, Succeeded};
    let id = &input.deletion_task_id;
    let parts: Vec<&str> = id.strip_prefix(DELETION).unwrap_or_default().split('/').collect();
    let [service, role, unique] = parts[..] else {
        return Err(Refusal::Invalid(format!("The deletion task ID {id} is not valid.")));
    };
    if !LINKED.iter().any(|(of, name, _)| *of == service && *name == role) {
        return Err(Refusal::Missing(format!("Deletion task {id} cannot be found.")));
    }
    let found = by_id(&iam.tables, &iam.ledger.snapshot(), unique);
    let is_there = found.is_some_and(|(_, entity)| entity.name == role);
    let reason = is_there.then(|| shapes::DeletionTaskFailureReasonType {
        reason: Some(format!("{service} works with the role {role} of this control plane.")),
        role_usage_list: Some(vec![shapes::RoleUsageType {
            region: Some(context.caller.region.to_string()),
            resources: None,
        }]),
    });
    let status = if is_there { Failed } else { Succeeded };
    Ok(shapes::GetServiceLinkedRoleDeletionStatusResponse { reason, status })
}
