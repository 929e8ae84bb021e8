//! Who calls, and whom a policy of a resource names.

/// What kind of caller it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    /// A user of IAM, also with credentials of `GetSessionToken`.
    User,
    /// A session of a role.
    RoleSession,
    /// A session of `GetFederationToken`.
    FederatedUser,
    /// A service of AWS, such as `ecs-tasks.amazonaws.com`.
    Service,
    /// Who shows a token of an identity provider.
    WebIdentity,
    /// Nobody known.
    Anonymous,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller it is.
    pub kind: PrincipalKind,
    /// Its account; empty for services, identity providers and nobody.
    pub account: String,
    /// The user's ARN, the session's, the service's name, the provider's ARN.
    pub arn: String,
    /// The ARN of the user or role behind it, with its path; the same as `arn` for users.
    pub entity_arn: String,
    /// The unique id of the user or role behind it: `AIDA…`, `AROA…`; empty if it has none.
    pub entity_id: String,
}

/// How a policy of a resource names a caller. What it means for the other policies depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The caller itself, or everyone.
    Direct,
    /// The role of the session.
    Role,
    /// The user behind a federated one.
    FederatedUser,
    /// The account: leaves it to the account's own policies.
    Account,
}

/// Whom a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    Everyone,
    Account(String),
    /// A user, a role, a session or a federated user.
    Arn(String),
    /// `AIDA…` or `AROA…`.
    UniqueId(String),
    Service(String),
    Federated(String),
}

impl Named {
    /// Reads what stands under `AWS`.
    pub(crate) fn aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        if is_account(text) {
            return Some(Self::Account(text.to_owned()));
        }
        if is_unique_id(text) {
            return Some(Self::UniqueId(text.to_owned()));
        }
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = fields.as_slice() else {
            return None;
        };
        let is_ours = *arn == "arn" && !partition.is_empty() && region.is_empty();
        if !is_ours || !is_account(account) || text.contains(['*', '?']) {
            return None;
        }
        match (*service, resource.split_once('/')) {
            ("iam", None) if *resource == "root" => Some(Self::Account((*account).to_owned())),
            ("iam", Some(("user" | "role", name))) if !name.is_empty() => {
                Some(Self::Arn(text.to_owned()))
            }
            ("sts", Some(("assumed-role" | "federated-user", name))) if !name.is_empty() => {
                Some(Self::Arn(text.to_owned()))
            }
            _ => None,
        }
    }

    /// How it names this caller, if it does.
    pub(crate) fn class(&self, caller: &Principal) -> Option<Class> {
        use PrincipalKind::{FederatedUser, RoleSession, Root, User};
        let is_of_account = matches!(caller.kind, Root | User | RoleSession | FederatedUser);
        match self {
            Self::Everyone => Some(Class::Direct),
            Self::Account(account) => {
                (is_of_account && *account == caller.account).then_some(Class::Account)
            }
            Self::Arn(arn) if is_of_account && *arn == caller.arn => Some(Class::Direct),
            Self::Arn(arn) if is_of_account && *arn == caller.entity_arn => by_entity(caller.kind),
            Self::UniqueId(id) if !caller.entity_id.is_empty() && *id == caller.entity_id => {
                by_entity(caller.kind)
            }
            Self::Service(service) => (caller.kind == PrincipalKind::Service
                && *service == caller.arn)
                .then_some(Class::Direct),
            Self::Federated(provider) => (caller.kind == PrincipalKind::WebIdentity
                && *provider == caller.arn)
                .then_some(Class::Direct),
            Self::Arn(_) | Self::UniqueId(_) => None,
        }
    }
}

fn by_entity(kind: PrincipalKind) -> Option<Class> {
    match kind {
        PrincipalKind::User => Some(Class::Direct),
        PrincipalKind::RoleSession => Some(Class::Role),
        PrincipalKind::FederatedUser => Some(Class::FederatedUser),
        PrincipalKind::Root
        | PrincipalKind::Service
        | PrincipalKind::WebIdentity
        | PrincipalKind::Anonymous => None,
    }
}

/// `Principal` or `NotPrincipal` of a statement.
#[derive(Debug, Clone)]
pub(crate) struct Principals {
    pub(crate) negated: bool,
    pub(crate) named: Vec<Named>,
}

impl Principals {
    /// How the statement names the caller, if it does.
    pub(crate) fn class(&self, caller: &Principal, denies: bool) -> Option<Class> {
        if !self.negated {
            return self.named.iter().filter_map(|named| named.class(caller)).min();
        }
        // All identities of one call are compared: a denial is lifted only if each of them is
        // listed, the session's, the role's and the account's (IAM User Guide, NotPrincipal).
        let applies = if denies {
            !identities(caller).iter().all(|one| self.lists(one))
        } else {
            !identities(caller).iter().any(|one| self.lists(one))
        };
        applies.then_some(Class::Direct)
    }

    /// Whether everybody is meant, or everybody but some.
    pub(crate) fn mean_everyone(&self) -> bool {
        self.negated || self.named.contains(&Named::Everyone)
    }

    fn lists(&self, identity: &Identity<'_>) -> bool {
        self.named.iter().any(|named| match (named, identity) {
            (Named::Everyone, _) => true,
            (Named::Account(account), Identity::Account(own)) => account == own,
            (Named::Arn(arn), Identity::Entity { arn: own, .. }) => arn == own,
            (Named::UniqueId(id), Identity::Entity { id: own, .. }) => id == own,
            (Named::Service(name), Identity::Service(own)) => name == own,
            (Named::Federated(provider), Identity::Federated(own)) => provider == own,
            _ => false,
        })
    }
}

/// One of the identities that a call has.
enum Identity<'a> {
    Account(&'a str),
    Entity { arn: &'a str, id: &'a str },
    Service(&'a str),
    Federated(&'a str),
}

fn identities(caller: &Principal) -> Vec<Identity<'_>> {
    let account = Identity::Account(&caller.account);
    let entity = Identity::Entity { arn: &caller.entity_arn, id: &caller.entity_id };
    match caller.kind {
        PrincipalKind::Root => vec![account],
        PrincipalKind::User => vec![entity, account],
        PrincipalKind::RoleSession | PrincipalKind::FederatedUser => {
            vec![Identity::Entity { arn: &caller.arn, id: "" }, entity, account]
        }
        PrincipalKind::Service => vec![Identity::Service(&caller.arn)],
        PrincipalKind::WebIdentity => vec![Identity::Federated(&caller.arn)],
        PrincipalKind::Anonymous => Vec::new(),
    }
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `AIDA…` of users and `AROA…` of roles.
pub(crate) fn is_unique_id(text: &str) -> bool {
    let is_prefixed = text.starts_with("AIDA") || text.starts_with("AROA");
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    is_prefixed && (16..=128).contains(&text.len()) && text.bytes().all(is_plain)
}
