//! Tables and indexes; only this crate writes them.

use ledger::{Index, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use terms::AccountId;

use crate::model::{
    AccessKey, Entity, InstanceProfile, JoinToken, KeyStatus, Kind, ManagedPolicy, Owner, Provider,
};

/// Account, kind (`user`, `group`, `role`), name in lower case.
pub(crate) type EntityKey = (String, String, String);
/// Account, name in lower case (of a provider: its URL).
pub(crate) type NameKey = (String, String);

/// The tables' handles.
#[derive(Clone, Debug)]
pub struct Tables {
    /// By access key id.
    pub(crate) keys: Table<String, AccessKey>,
    /// Active keys by `administrator` or `node/<name>`.
    pub(crate) keys_by_owner: Index<String, String, AccessKey>,
    /// All keys of users, by the user's unique id.
    pub(crate) keys_by_user: Index<String, String, AccessKey>,
    /// Users, groups and roles.
    pub(crate) entities: Table<EntityKey, Entity>,
    /// The same by unique id.
    pub(crate) entities_by_id: Index<String, EntityKey, Entity>,
    /// The same by account and the ARNs of managed policies attached to them.
    pub(crate) entities_by_policy: Index<(String, String), EntityKey, Entity>,
    /// The same by account and the ARN of their boundary.
    pub(crate) entities_by_boundary: Index<(String, String), EntityKey, Entity>,
    /// Users by account and the names of their groups in lower case.
    pub(crate) members: Index<(String, String), EntityKey, Entity>,
    /// Managed policies of accounts.
    pub(crate) policies: Table<NameKey, ManagedPolicy>,
    /// Instance profiles.
    pub(crate) profiles: Table<NameKey, InstanceProfile>,
    /// Identity providers.
    pub(crate) providers: Table<NameKey, Provider>,
    /// Roles that were deleted: tasks of theirs may do nothing.
    pub(crate) gone_roles: Table<EntityKey, Gone>,
    /// One row: counts changes of all that decisions rest on.
    pub(crate) generation: Table<(), Generation>,
    /// By the token's SHA-256 in hexadecimal digits.
    pub(crate) join_tokens: Table<String, JoinToken>,
    /// One row: what session tokens are sealed with.
    pub(crate) seal: Table<(), SealSecret>,
}

/// What session tokens are sealed with: 32 bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealSecret(pub(crate) Vec<u8>);

impl Record for SealSecret {}

/// That there was something.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Gone;

impl Record for Gone {}

/// How often identities and their policies have changed; what was compiled before is stale.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Generation(pub(crate) u64);

impl Record for Generation {}

impl Tables {
    /// Declares the tables.
    pub fn new(schema: &mut Schema) -> Self {
        let keys = schema.table("iam.access_keys");
        let keys_by_owner =
            schema.index(&keys, "by_owner", |_, key: &AccessKey| match key.status {
                KeyStatus::Active => vec![owner_key(&key.owner)],
                KeyStatus::Inactive | KeyStatus::Removed => Vec::new(),
            });
        let keys_by_user = schema.index(&keys, "by_user", |_, key: &AccessKey| match &key.owner {
            Owner::User(id) => vec![id.clone()],
            Owner::Administrator | Owner::Node(_) => Vec::new(),
        });
        let entities = schema.table("iam.entities");
        let entities_by_id =
            schema.index(&entities, "by_id", |_, entity: &Entity| vec![entity.id.clone()]);
        let of = |key: &EntityKey, name: &String| (key.0.clone(), name.clone());
        let entities_by_policy =
            schema.index(&entities, "by_policy", move |key: &EntityKey, entity: &Entity| {
                entity.attached.iter().map(|arn| of(key, arn)).collect()
            });
        let entities_by_boundary =
            schema.index(&entities, "by_boundary", move |key: &EntityKey, entity: &Entity| {
                entity.boundary.iter().map(|arn| of(key, arn)).collect()
            });
        let members = schema.index(&entities, "by_group", move |key: &EntityKey, user: &Entity| {
            user.groups.iter().map(|group| of(key, group)).collect()
        });
        let policies = schema.table("iam.policies");
        let profiles = schema.table("iam.instance_profiles");
        let providers = schema.table("iam.oidc_providers");
        let gone_roles = schema.table("iam.gone_roles");
        let generation = schema.table("iam.generation");
        let (join_tokens, seal) = (schema.table("iam.join_tokens"), schema.table("iam.seal"));
        schema.secret(&keys);
        schema.secret(&join_tokens);
        schema.secret(&seal);
        Self {
            keys,
            keys_by_owner,
            keys_by_user,
            entities,
            entities_by_id,
            entities_by_policy,
            entities_by_boundary,
            members,
            policies,
            profiles,
            providers,
            gone_roles,
            generation,
            join_tokens,
            seal,
        }
    }
}

/// An owner as the index has it.
pub(crate) fn owner_key(owner: &Owner) -> String {
    match owner {
        Owner::Administrator => "administrator".to_owned(),
        Owner::Node(name) => format!("node/{name}"),
        Owner::User(id) => format!("user/{id}"),
    }
}

/// The key of an entity.
pub(crate) fn entity_key(account: &AccountId, kind: Kind, name: &str) -> EntityKey {
    (account.to_string(), kind.word().to_owned(), name.to_ascii_lowercase())
}
