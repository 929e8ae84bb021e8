//! Who calls the registry, and what they may do. The actions are ECR's (ECR guide, repository policy
//! examples); who may call them, the same authority decides as for the API, anew with each request, so
//! what is taken from a key is taken from its tokens at once.

use std::sync::Arc;

use ::http::HeaderValue;
use ::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use terms::Timestamp;
use wire::{
    Action, AuditedCall, Caller, CallerKind, Context, CredentialLookup, RouteRequest, Secret,
    user_agent,
};

use super::refusal::{Refusal, Words};
use super::token::{self, Login, Narrow};
use super::{NO_DEPOT, Request};
use crate::{Inner, Scope};

/// The name of those who log in with a token of ECR's.
const TOKEN_USER: &str = "AWS";
/// What is said to those who have not logged in (as ECR says it).
const NOT_AUTHORIZED: &str = "Not Authorized\n";

/// What clients that have not logged in are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request, as ECR does.
    #[default]
    Basic,
    /// A token from `/v2/token`, which gives one for user and password.
    Bearer,
}

/// What a narrow token is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// A repository.
    pub(super) name: String,
    /// `pull`, `push`, `delete`.
    pub(super) verbs: Vec<String>,
}

/// What a request does to a repository: ECR's action, and what narrow tokens call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) action: &'static str,
    pub(super) verb: &'static str,
}

pub(super) const PULL_IMAGE: Deed = Deed { action: "BatchGetImage", verb: "pull" };
pub(super) const PULL_LAYER: Deed = Deed { action: "GetDownloadUrlForLayer", verb: "pull" };
pub(super) const LOOK_AT_LAYER: Deed = Deed { action: "BatchCheckLayerAvailability", verb: "pull" };
pub(super) const BEGIN_UPLOAD: Deed = Deed { action: "InitiateLayerUpload", verb: "push" };
pub(super) const UPLOAD_PART: Deed = Deed { action: "UploadLayerPart", verb: "push" };
pub(super) const END_UPLOAD: Deed = Deed { action: "CompleteLayerUpload", verb: "push" };
pub(super) const PUT_IMAGE: Deed = Deed { action: "PutImage", verb: "push" };
pub(super) const CREATE_REPOSITORY: Deed = Deed { action: "CreateRepository", verb: "push" };
/// To have a pull go through to another registry.
pub(super) const IMPORT_IMAGE: Deed = Deed { action: "BatchImportUpstreamImage", verb: "pull" };
/// To have it make its repository.
pub(super) const CREATE_BY_PULL: Deed = Deed { action: "CreateRepository", verb: "pull" };
/// To push what another registry has.
pub(super) const REPLICATE_IMAGE: Deed = Deed { action: "ReplicateImage", verb: "push" };
pub(super) const LIST_IMAGES: Deed = Deed { action: "ListImages", verb: "pull" };
pub(super) const DELETE_IMAGE: Deed = Deed { action: "BatchDeleteImage", verb: "delete" };

/// Who calls, and which registry they mean.
pub(super) struct Session {
    pub(super) scope: Scope,
    /// None for a link that allows one download.
    pub(super) caller: Option<Arc<Caller>>,
    /// What a narrow token allows; no bound without one.
    pub(super) grants: Option<Vec<Grant>>,
    /// The token of the caller's temporary credentials.
    pub(super) session_token: Option<String>,
}

/// Finds out who calls.
pub(super) fn authenticate(inner: &Inner, request: &RouteRequest) -> Result<Session, Refusal> {
    let refuse = || challenge(inner, request, None);
    let header = request.parts.headers.get(AUTHORIZATION);
    let Some(header) = header else {
        return match inner.setup.is_open {
            true => Ok(anyone(inner)),
            false => Err(refuse()),
        };
    };
    let (kind, text) =
        header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refuse)?;
    match kind.to_ascii_lowercase().as_str() {
        "basic" => basic(inner, request, text.trim()),
        "bearer" => {
            let narrow = inner.seal.unseal::<Narrow>(token::NARROW, text.trim());
            let narrow = narrow.ok_or_else(|| challenge(inner, request, Some("invalid_token")))?;
            let session = of_login(inner, request, &narrow.login)?;
            Ok(Session { grants: narrow.grants, ..session })
        }
        _ => Err(refuse()),
    }
}

/// User and password: `AWS` and a token, or an access key and its secret.
pub(super) fn basic(inner: &Inner, request: &RouteRequest, text: &str) -> Result<Session, Refusal> {
    let refuse = || challenge(inner, request, None);
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| refuse())?;
    let text = String::from_utf8(bytes).map_err(|_| refuse())?;
    let (user, password) = text.split_once(':').ok_or_else(refuse)?;
    if user == TOKEN_USER {
        let login = inner.seal.unseal::<Login>(token::LOGIN, password);
        if let Some(login) = login {
            return of_login(inner, request, &login);
        }
    }
    if inner.setup.is_open {
        return Ok(anyone(inner));
    }
    let home = &inner.setup.home;
    let found = inner.setup.authenticator.find(user, None, &home.region, request.now);
    match found {
        CredentialLookup::Found { secret, caller } if secret == Secret::new(password) => {
            let scope = Scope { account: caller.account.clone(), region: home.region.clone() };
            Ok(Session { scope, caller: Some(caller), grants: None, session_token: None })
        }
        _ => Err(refuse()),
    }
}

/// Who a token was made for, if its key is still good.
fn of_login(inner: &Inner, request: &RouteRequest, login: &Login) -> Result<Session, Refusal> {
    let now = request.now;
    if login.expires_at <= now {
        return Err(expired(inner, request));
    }
    let scope = login.scope.clone();
    let (key, token) = (login.access_key_id.as_str(), login.session_token.as_deref());
    let found = inner.setup.authenticator.find(key, token, &login.scope.region, now);
    match found {
        CredentialLookup::Found { caller, .. } => {
            let session_token = login.session_token.clone();
            Ok(Session { scope, caller: Some(caller), grants: None, session_token })
        }
        CredentialLookup::Expired => Err(expired(inner, request)),
        _ if inner.setup.is_open => Ok(Session { scope, ..anyone(inner) }),
        _ => Err(challenge(inner, request, None)),
    }
}

/// Anyone, of an open server.
fn anyone(inner: &Inner) -> Session {
    let scope = inner.setup.home.clone();
    let caller = Caller {
        arn: format!("arn:aws:iam::{}:root", scope.account),
        user_id: scope.account.to_string(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        access_key_id: String::new(),
        kind: CallerKind::Open,
    };
    Session { scope, caller: Some(Arc::new(caller)), grants: None, session_token: None }
}

fn expired(inner: &Inner, request: &RouteRequest) -> Refusal {
    let text = "Your authorization token has expired. Reauthenticate and try again.";
    // Not 403, which ECR was seen to answer: clients log in again on 401 alone.
    Refusal::new(Words::Expired, text)
        .header(WWW_AUTHENTICATE, challenge_value(inner, request, Some("invalid_token"), None))
}

/// The refusal of those who have not logged in, with what they are to do.
pub(super) fn challenge(
    inner: &Inner,
    request: &RouteRequest,
    error: Option<&'static str>,
) -> Refusal {
    let value = challenge_value(inner, request, error, None);
    let refusal = Refusal::new(Words::Unauthorized, "Not Authorized");
    refusal.plain(NOT_AUTHORIZED).header(WWW_AUTHENTICATE, value)
}

fn challenge_value(
    inner: &Inner,
    request: &RouteRequest,
    error: Option<&str>,
    scope: Option<&str>,
) -> HeaderValue {
    let endpoint = registry_url(inner, &request.endpoint);
    let mut text = match inner.setup.challenge {
        Challenge::Basic => format!("Basic realm=\"{endpoint}/\",service=\"ecr.amazonaws.com\""),
        Challenge::Bearer => {
            format!("Bearer realm=\"{endpoint}{}\",service=\"ecr.amazonaws.com\"", token::PATH)
        }
    };
    if inner.setup.challenge == Challenge::Bearer {
        if let Some(scope) = scope {
            text.push_str(&format!(",scope=\"{scope}\""));
        }
        if let Some(error) = error {
            text.push_str(&format!(",error=\"{error}\""));
        }
    }
    super::value(&text)
}

/// Where clients reach the registry: at the host that was set, else where they called.
pub(crate) fn registry_url(inner: &Inner, endpoint: &str) -> String {
    let (scheme, called) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    format!("{scheme}://{}", inner.setup.host.as_deref().unwrap_or(called))
}

impl Inner {
    /// Whether a caller may do a deed in any repository of theirs.
    fn allows(&self, caller: &Caller, deed: Deed) -> bool {
        self.setup.authenticator.may(caller, Action::Operation("ecr", deed.action))
    }
}

impl Request<'_> {
    /// Refuses what the caller may not do in this repository.
    pub(super) fn check(&self, deed: Deed, name: &str) -> Result<(), Refusal> {
        let Session { scope, caller, grants, .. } = &self.session;
        // A link was checked against the path already, and allows a download alone.
        let Some(caller) = caller else { return Ok(()) };
        let Scope { account, region } = scope;
        let is_granted = grants.as_ref().is_none_or(|grants| {
            let fits = |grant: &Grant| {
                grant.name == name
                    && grant.verbs.iter().any(|verb| verb == deed.verb || verb == "*")
            };
            grants.iter().any(fits)
        });
        if !is_granted {
            let scope = format!("repository:{name}:{}", deed.verb);
            let error = Some("insufficient_scope");
            let value = challenge_value(self.inner, &self.request, error, Some(&scope));
            let text = format!("the token does not allow {scope}");
            return Err(Refusal::new(Words::Unauthorized, text).header(WWW_AUTHENTICATE, value));
        }
        if self.inner.allows(caller, deed) {
            return self.authorized(caller, deed, name);
        }
        let (arn, action) = (&caller.arn, deed.action);
        Err(Refusal::new(
            Words::Denied,
            format!(
                "User: {arn} is not authorized to perform: ecr:{action} on resource: \
                 arn:aws:ecr:{region}:{account}:repository/{name} because no identity-based policy \
                 allows the ecr:{action} action"
            ),
        ))
    }

    /// Whether policies let the caller do it to this repository, asked as for the API's operation.
    fn authorized(&self, caller: &Arc<Caller>, deed: Deed, name: &str) -> Result<(), Refusal> {
        let context = Context {
            caller: Arc::clone(caller),
            request_id: self.request.request_id,
            now: self.request.now,
            service: "ecr",
            operation: deed.action,
            source: self.request.source,
            user_agent: user_agent(&self.request.parts.headers),
            session_token: None,
            endpoint: self.request.endpoint.clone(),
        };
        let account = self.session.scope.account.to_string();
        let input = || serde_json::json!({ "repositoryName": name, "registryId": account.clone() });
        let (decided, outcome) = match self.inner.setup.authenticator.authorize(&context, &input) {
            Ok(decided) => (decided, Ok(())),
            Err(denied) => (denied.decided, Err(denied.message)),
        };
        if let Some(auditor) = &self.inner.setup.auditor {
            let parameters = [("repositoryName".to_owned(), name.into())].into_iter().collect();
            let denied = |text: &String| ("AccessDeniedException".to_owned(), text.clone());
            auditor.record(AuditedCall {
                request_id: context.request_id,
                at: context.now,
                source: context.source,
                user_agent: context.user_agent,
                is_tls: context.endpoint.starts_with("https://"),
                service: "ecr",
                operation: deed.action,
                region: self.session.scope.region.clone(),
                caller: Some(Arc::clone(caller)),
                claimed_key: None,
                parameters,
                decided,
                error: outcome.as_ref().err().map(denied),
            });
        }
        outcome.map_err(|text| Refusal::new(Words::Denied, text))
    }

    /// The time of the request.
    pub(super) fn now(&self) -> Timestamp {
        self.request.now
    }
}

/// Why nothing can be logged in to.
pub(super) fn no_depot() -> Refusal {
    Refusal::new(Words::Unsupported, NO_DEPOT)
}
