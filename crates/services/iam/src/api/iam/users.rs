//! Users.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Tx;
use shapes_iam as shapes;
use terms::AccountId;
use wire::{CallerKind, Context, Unit};

use super::paging::page;
use super::{account, root_keys, rules, show};
use crate::Iam;
use crate::authenticator::ADMINISTRATOR;
use crate::directory::{missing, unique_id};
use crate::model::{Entity, Kind, RolePart};
use crate::refusal::Refusal;
use crate::tables::entity_key;

/// What a new user, group or role begins with.
pub(super) struct Fresh {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) boundary: Option<String>,
    pub(super) role: Option<RolePart>,
}

impl Iam {
    /// Puts a new entity, unless there is one of its name or there are too many.
    pub(super) fn put_new(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        fresh: &Fresh,
    ) -> Result<Entity, Refusal> {
        let Fresh { kind, name, path, tags, boundary, role } = fresh;
        let key = entity_key(account, *kind, name);
        let word = match kind {
            Kind::User => "User",
            Kind::Group => "Group",
            Kind::Role => "Role",
        };
        if is_reserved(*kind, name) || tx.get(&self.tables.entities, &key).is_some() {
            return Err(Refusal::Exists(format!("{word} with name {name} already exists.")));
        }
        let prefix = (key.0.clone(), key.1.clone());
        let max = rules::entities_max(*kind);
        if tx.prefix(&self.tables.entities, &prefix).count() >= max {
            let text = format!("Cannot exceed quota for {word}sPerAccount: {max}");
            return Err(Refusal::Limit(text));
        }
        if let Some(boundary) = boundary {
            self.must_exist(tx, account, boundary)?;
        }
        let entity = Entity {
            kind: *kind,
            id: unique_id(kind.prefix(), tx.next_id()),
            name: name.clone(),
            path: path.clone(),
            created_at: tx.now(),
            tags: tags.clone(),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            boundary: boundary.clone(),
            groups: BTreeSet::new(),
            role: role.clone(),
        };
        tx.put(&self.tables.entities, key, entity.clone());
        Ok(entity)
    }

    /// Gives an entity another name or path; its id stays.
    pub(super) async fn rename(
        &self,
        (account, kind, name): (&AccountId, Kind, &str),
        new_name: Option<String>,
        new_path: Option<String>,
    ) -> Result<(), Refusal> {
        let path = new_path.map(|path| rules::path(Some(path))).transpose()?;
        self.change("iam: rename", |tx| {
            let mut entity = self.entity(tx, account, kind, name)?;
            let old = entity_key(account, kind, name);
            let new = entity_key(account, kind, new_name.as_deref().unwrap_or(&entity.name));
            let is_taken =
                is_reserved(kind, &new.2) || tx.get(&self.tables.entities, &new).is_some();
            if new != old && is_taken {
                let text = format!("Entity with name {} already exists.", new.2);
                return Err(Refusal::Exists(text));
            }
            entity.name = new_name.clone().unwrap_or(entity.name);
            entity.path = path.clone().unwrap_or(entity.path);
            tx.delete(&self.tables.entities, &old);
            if kind == Kind::Group && new != old {
                let members: Vec<_> = tx
                    .index(&self.tables.members, &(old.0.clone(), old.2.clone()))
                    .map(|(key, row)| (key, (*row).clone()))
                    .collect();
                for (key, mut member) in members {
                    member.groups.remove(&old.2);
                    member.groups.insert(new.2.clone());
                    tx.put(&self.tables.entities, key, member);
                }
            }
            tx.put(&self.tables.entities, new, entity);
            Ok(())
        })
        .await
    }
}

/// Whether a name is the administrator's, who has no record.
fn is_reserved(kind: Kind, name: &str) -> bool {
    kind == Kind::User && name.eq_ignore_ascii_case(ADMINISTRATOR)
}

/// Fails while policies are still on the entity.
pub(super) fn must_be_bare(entity: &Entity) -> Result<(), Refusal> {
    let conflict =
        |what: &str| Err(Refusal::Conflict(format!("Cannot delete entity, must {what}")));
    if !entity.attached.is_empty() {
        return conflict("detach all policies first.");
    }
    if !entity.inline.is_empty() {
        return conflict("delete policies first.");
    }
    Ok(())
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateUserRequest,
) -> Result<shapes::CreateUserResponse, Refusal> {
    let account = account(&context);
    let fresh = Fresh {
        kind: Kind::User,
        name: input.user_name,
        path: rules::path(input.path)?,
        tags: rules::tags(input.tags)?,
        boundary: input.permissions_boundary,
        role: None,
    };
    let user = iam.change("iam: create user", |tx| iam.put_new(tx, account, &fresh)).await?;
    Ok(shapes::CreateUserResponse { user: Some(show::user(account, &user, false)) })
}

/// Without a name: the caller.
pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetUserRequest,
) -> Result<shapes::GetUserResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    if root_keys::are_meant(&context, input.user_name.as_deref()) {
        return Ok(shapes::GetUserResponse { user: iam.operator(&context) });
    }
    let name = match input.user_name {
        Some(name) => name,
        None => match own_name(&context) {
            Some(name) => name,
            None if context.caller.kind == CallerKind::Open => {
                let user = iam.operator(&context);
                return Ok(shapes::GetUserResponse { user });
            }
            None => {
                let text = "Must specify userName when calling with non-User credentials";
                return Err(Refusal::Validation(text.to_owned()));
            }
        },
    };
    let user = iam.entity(&snapshot, account, Kind::User, &name)?;
    Ok(shapes::GetUserResponse { user: show::user(account, &user, false) })
}

/// The name of the user who calls, if it is one of IAM's.
pub(super) fn own_name(context: &Context) -> Option<String> {
    matches!(context.caller.kind, CallerKind::User(_))
        .then(|| context.caller.arn.rsplit('/').next().unwrap_or_default().to_owned())
}

impl Iam {
    /// The administrator, or the root of an open server: neither has a record.
    fn operator(&self, context: &Context) -> shapes::User {
        let caller = &context.caller;
        let name = caller.arn.rsplit(['/', ':']).next().unwrap_or_default();
        shapes::User {
            arn: caller.arn.clone(),
            create_date: terms::Timestamp::from_millis(0),
            password_last_used: None,
            path: "/".to_owned(),
            permissions_boundary: None,
            tags: None,
            user_id: format!("{:A<16}", caller.user_id),
            user_name: name.to_owned(),
        }
    }
}

pub(super) async fn update(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateUserRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), Kind::User, input.user_name.as_str());
    iam.rename(whom, input.new_user_name, input.new_path).await?;
    Ok(Unit)
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteUserRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    iam.change("iam: delete user", |tx| {
        let user = iam.entity(tx, account, Kind::User, &input.user_name)?;
        must_be_bare(&user)?;
        let conflict =
            |what: &str| Err(Refusal::Conflict(format!("Cannot delete entity, must {what}")));
        if tx.index(&iam.tables.keys_by_user, &user.id).next().is_some() {
            return conflict("delete access keys first.");
        }
        if !user.groups.is_empty() {
            return conflict("remove users from group first.");
        }
        tx.delete(&iam.tables.entities, &entity_key(account, Kind::User, &input.user_name));
        Ok(Unit)
    })
    .await
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListUsersRequest,
) -> Result<shapes::ListUsersResponse, Refusal> {
    let account = account(&context);
    let users = iam.listed(account, Kind::User, input.path_prefix.as_deref());
    let users = users.into_iter().map(|(key, user)| (key, show::user(account, &user, true)));
    let page = page(users.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListUsersResponse { is_truncated, marker, users: page.items })
}

impl Iam {
    /// Those of a kind whose paths begin so, by their names in lower case.
    pub(super) fn listed(
        &self,
        account: &AccountId,
        kind: Kind,
        path_prefix: Option<&str>,
    ) -> Vec<(String, Entity)> {
        let all = self.entities(&self.ledger.snapshot(), account, kind).into_iter();
        let under = |entity: &Entity| path_prefix.is_none_or(|path| entity.path.starts_with(path));
        all.filter(under).map(|entity| (entity.name.to_ascii_lowercase(), entity)).collect()
    }

    /// The name of the user that is meant: the caller's if none is said.
    pub(super) fn meant(&self, context: &Context, name: Option<String>) -> Result<String, Refusal> {
        match name.or_else(|| own_name(context)) {
            Some(name) => Ok(name),
            None => {
                let name = context.caller.arn.rsplit('/').next().unwrap_or_default();
                Err(missing(Kind::User, name))
            }
        }
    }
}
