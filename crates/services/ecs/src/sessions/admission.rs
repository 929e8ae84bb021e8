//! Who may open a session for which instance, and how others are refused before the upgrade.
//!
//! Refusing before the upgrade matters: an agent whose connection ends right after it comes back
//! at once, without any back-off (agent-protocol §2.3).

use agent_protocol::NAME_OF_INACTIVE;
use http::{HeaderValue, Response, StatusCode, header};
use terms::ContainerInstanceArn;
use wire::{Body, Caller, CallerKind, RouteRequest};

use super::arrivals::TooMany;
use super::registry::Full;
use super::websocket::NoUpgrade;
use crate::model::{ContainerInstance, InstanceStatus};

/// Seconds after which a refused agent may try again (`Retry-After`).
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why a session is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The query names no container instance.
    #[error(
        "the query parameter '{parameter}' must be the ARN of a container instance, not '{given}'"
    )]
    NoInstance {
        /// The parameter that should hold it.
        parameter: &'static str,
        /// What was given.
        given: String,
    },
    /// The instance is not there, or was deregistered.
    #[error("InactiveInstanceException: {instance} {state}")]
    Inactive {
        /// The instance.
        instance: ContainerInstanceArn,
        /// What is the matter with it.
        state: &'static str,
    },
    /// The key belongs to somebody else.
    #[error("{caller} may not open a session for {instance}: {reason}")]
    Denied {
        /// Who called.
        caller: String,
        /// For which instance.
        instance: ContainerInstanceArn,
        /// Why not.
        reason: &'static str,
    },
    /// No room now.
    #[error("{0}")]
    Full(#[from] Full),
    /// Too many come at the moment.
    #[error("{0}")]
    TooMany(#[from] TooMany),
    /// The server has only begun.
    #[error("the server is starting; connect again in a moment")]
    Starting,
    /// The stream was not asked for, or nobody waits for it any more.
    #[error("nobody waits for this stream")]
    NoStream,
    /// No caller: the route is signed, so this is a mistake of the server's assembly.
    #[error("the request is not signed")]
    Unsigned,
    /// No websocket request.
    #[error("{0}")]
    NoUpgrade(#[from] NoUpgrade),
}

impl Refusal {
    fn code_and_status(&self) -> (&'static str, StatusCode) {
        match self {
            Self::NoInstance { .. } => ("InvalidInstanceException", StatusCode::BAD_REQUEST),
            Self::Inactive { .. } => (NAME_OF_INACTIVE, StatusCode::BAD_REQUEST),
            Self::Denied { .. } => ("AccessDeniedException", StatusCode::FORBIDDEN),
            Self::Unsigned => ("AccessDeniedException", StatusCode::FORBIDDEN),
            Self::NoStream => ("ResourceNotFoundException", StatusCode::NOT_FOUND),
            Self::Full(_) | Self::TooMany(_) | Self::Starting => {
                ("ServerException", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::NoUpgrade(_) => ("BadRequestException", StatusCode::BAD_REQUEST),
        }
    }

    /// The HTTP answer, in the form that agents read: below 1 KiB, type and message.
    pub(crate) fn response(&self) -> Response<Body> {
        let (code, status) = self.code_and_status();
        let body = match self {
            Self::Inactive { .. } => agent_protocol::inactive_instance_body(&self.to_string()),
            _ => serde_json::json!({
                "type": code,
                "message": { "message": self.to_string() },
            })
            .to_string(),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = match self {
                Self::TooMany(told) => told.retry_after.as_secs(),
                _ => RETRY_AFTER_SECONDS,
            };
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The instance that the query parameter names.
///
/// # Errors
/// [`Refusal::NoInstance`].
pub(crate) fn instance_of(
    request: &RouteRequest,
    parameter: &'static str,
) -> Result<ContainerInstanceArn, Refusal> {
    let given = request.query(parameter).unwrap_or_default();
    given.parse().map_err(|_| {
        let given = given.chars().take(256).collect();
        Refusal::NoInstance { parameter, given }
    })
}

/// Whether the caller may open a session for the instance, whose row is given if it has one.
///
/// # Errors
/// The refusal.
pub(crate) fn admit(
    caller: &Caller,
    arn: &ContainerInstanceArn,
    row: Option<&ContainerInstance>,
) -> Result<(), Refusal> {
    let denied =
        |reason| Err(Refusal::Denied { caller: caller.arn.clone(), instance: arn.clone(), reason });
    if caller.account != arn.account || caller.region != arn.region {
        return denied("the key is of another account or region");
    }
    let inactive = |state| Err(Refusal::Inactive { instance: arn.clone(), state });
    let Some(row) = row else { return inactive("is not registered") };
    match &caller.kind {
        CallerKind::Operator | CallerKind::Open => {}
        CallerKind::Node { name } if row.node.as_ref() == Some(name) => {}
        CallerKind::Node { .. } => return denied("the key is bound to another instance"),
        CallerKind::Task { .. }
        | CallerKind::User(_)
        | CallerKind::UserSession(_)
        | CallerKind::Role(_)
        | CallerKind::Federated(_)
        | CallerKind::Server
        | CallerKind::Anonymous => return denied("the key is no instance's"),
    }
    match row.status {
        InstanceStatus::Active | InstanceStatus::Draining => Ok(()),
        InstanceStatus::Inactive => inactive("was deregistered"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::instance_arn;
    use super::super::tests::world;
    use super::*;

    fn caller(kind: CallerKind) -> Caller {
        Caller {
            account: instance_arn().account,
            region: instance_arn().region,
            arn: "arn:aws:iam::000000000000:user/somebody".to_owned(),
            user_id: "AIDA".to_owned(),
            access_key_id: "AKIA".to_owned(),
            kind,
        }
    }

    fn node(name: &str) -> CallerKind {
        CallerKind::Node { name: name.to_owned() }
    }

    /// The status of the refusal; none if the caller is admitted.
    fn status(caller: &Caller, row: Option<&ContainerInstance>) -> Option<u16> {
        let refusal = admit(caller, &instance_arn(), row).err()?;
        Some(refusal.response().status().as_u16())
    }

    #[test]
    fn only_the_instances_own_node_and_operators_are_admitted() {
        let row = world::instance(InstanceStatus::Active);
        let check = |kind, expected| assert_eq!(status(&caller(kind), Some(&row)), expected);
        check(CallerKind::Operator, None);
        check(CallerKind::Open, None);
        check(node("node-1"), None);
        check(node("node-2"), Some(403));
        check(CallerKind::Task { task_arn: "t".to_owned(), is_execution: false }, Some(403));
        let elsewhere = Caller {
            region: "eu-west-1".parse().expect("a region"),
            ..caller(CallerKind::Operator)
        };
        assert_eq!(status(&elsewhere, Some(&row)), Some(403));
        let registered_by_hand = ContainerInstance { node: None, ..row };
        assert_eq!(status(&caller(node("node-1")), Some(&registered_by_hand)), Some(403));
    }

    #[test]
    fn draining_instances_are_members_and_inactive_ones_are_not() {
        let operator = caller(CallerKind::Operator);
        let row = world::instance;
        assert_eq!(status(&operator, Some(&row(InstanceStatus::Draining))), None);
        assert_eq!(status(&operator, Some(&row(InstanceStatus::Inactive))), Some(400));
        assert_eq!(status(&operator, None), Some(400));
    }
}
