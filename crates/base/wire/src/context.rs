//! Who calls, and what a handler knows about a request besides its input.

use std::net::SocketAddr;
use std::sync::Arc;

use terms::{AccountId, Region, Timestamp, Uuid};

use crate::Secret;

/// What kind of principal a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerKind {
    /// A person or a script with a long-term key of the account.
    Operator,
    /// A container instance with the key that it joined with; bound to the instance's name.
    Node {
        /// The name that the join token was exchanged for.
        name: String,
    },
    /// A container with its task role's temporary credentials, or its agent with those of the task's
    /// execution role.
    Task {
        /// The ARN of the task that the credentials were made for.
        task_arn: String,
        /// Whether they are the execution role's, which containers never get.
        is_execution: bool,
    },
    /// A user of IAM, by its unique id: it may do what its policies say.
    User(String),
    /// The same with temporary credentials of `GetSessionToken`.
    UserSession(Arc<UserSession>),
    /// A session of a role that STS gave out: it may do what the role's policies and its own say.
    Role(Arc<RoleSession>),
    /// A session of `GetFederationToken`: it may do what its maker's policies and its own both say.
    /// Its `role_id` and `role_arn` are the maker's; an id that no user has means the administrator.
    Federated(Arc<RoleSession>),
    /// Another server of the same control plane: it may ask what servers ask each other.
    Server,
    /// Who shows something else than a signature, to an operation that takes that.
    Anonymous,
    /// Anyone, because the server runs with `--auth open`.
    Open,
}

impl CallerKind {
    /// Whether a route of the server's own answers it: an operator, anyone of an open server, and who
    /// has policies, which were asked before the route was reached. Never a task or a node.
    pub fn operates(&self) -> bool {
        match self {
            Self::Operator
            | Self::Open
            | Self::User(_)
            | Self::UserSession(_)
            | Self::Role(_)
            | Self::Federated(_) => true,
            Self::Node { .. } | Self::Task { .. } | Self::Server | Self::Anonymous => false,
        }
    }
}

/// What a user's session was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// The user's unique id, `AIDA…`.
    pub user_id: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a role's session was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    /// The role's unique id, `AROA…`.
    pub role_id: String,
    /// The role's ARN, with its path.
    pub role_arn: String,
    /// The session's name.
    pub name: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Policies that limit it, as documents.
    pub policies: Vec<String>,
    /// ARNs of managed policies that limit it.
    pub policy_arns: Vec<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The keys of those tags that go on to the sessions made with it.
    pub transitive: Vec<String>,
    /// Who is behind it, as its maker said.
    pub source_identity: Option<String>,
    /// The identity provider that it came by.
    pub provider: Option<String>,
}

/// The principal behind a request whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the key belongs to.
    pub account: AccountId,
    /// The region that the credential scope names: what the request sees.
    pub region: Region,
    /// The principal's ARN, as `sts:GetCallerIdentity` tells it.
    pub arn: String,
    /// The principal's unique id, as `sts:GetCallerIdentity` tells it.
    pub user_id: String,
    /// The access key id that signed the request; empty if open and unsigned.
    pub access_key_id: String,
    /// What the principal is.
    pub kind: CallerKind,
}

/// What a handler knows about a request besides its input.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The id of the request, also in the response's `x-amzn-RequestId`.
    pub request_id: Uuid,
    /// When the request came in.
    pub now: Timestamp,
    /// The service's name, such as `ecs`.
    pub service: &'static str,
    /// The operation's name, such as `RunTask`.
    pub operation: &'static str,
    /// The client's address, if it came over a socket.
    pub source: Option<SocketAddr>,
    /// What the client calls itself, if it says; at most 256 characters.
    pub user_agent: Option<String>,
    /// The token of the temporary credentials that signed the request; none with a long-term key.
    pub session_token: Option<Secret>,
    /// The base URL as the client addressed us, such as `http://127.0.0.1:4566`: no trailing slash.
    pub endpoint: String,
}
