//! Services as they would be: a definition registered, a service created or updated, and how the
//! deployment would go.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use shapes_ecs as shapes;
use terms::Uuid;
use wire::{Caller, CallerKind, Context};

use super::rollout::Rollout;
use crate::api::Api;
use crate::routes::read_request;
use crate::tables::Scope;

/// What is asked about a service.
pub(super) struct Asked<'a> {
    /// A RegisterTaskDefinition request, carried out first.
    pub(super) register: Option<&'a RawValue>,
    /// A CreateService request.
    pub(super) create: Option<&'a RawValue>,
    /// An UpdateService request; what was registered is what it deploys if it names nothing else.
    pub(super) update: Option<&'a RawValue>,
    /// Whether the deployment is played to its end.
    pub(super) play: bool,
}

impl Asked<'_> {
    /// Whether there is something to answer.
    pub(super) fn is_something(&self) -> bool {
        self.register.is_some() || self.create.is_some() || self.update.is_some()
    }
}

/// What would come of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// The definition as it would be registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_definition: Option<Json>,
    /// The service right after the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Json>,
    /// How the deployment would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rollout: Option<Rollout>,
}

impl Outcome {
    /// Whether a deployment that was played came to its end.
    pub(super) fn all_fit(&self) -> bool {
        self.rollout.as_ref().is_none_or(Rollout::is_complete)
    }
}

impl Api {
    /// Does what is asked, on an imagined ledger.
    ///
    /// # Errors
    /// Those of the requests.
    pub(super) async fn try_services(
        &self,
        scope: &Scope,
        asked: &Asked<'_>,
    ) -> Result<Outcome, wire::ServiceError> {
        let mut outcome = Outcome::default();
        let mut registered = None;
        if let Some(request) = asked.register {
            let context = self.imagined_context(scope, "RegisterTaskDefinition");
            let input = read_request(request.get().as_bytes())?;
            let answer = self.register_task_definition(context, input).await?;
            let definition = answer.task_definition.unwrap_or_default();
            registered = definition.task_definition_arn.clone();
            outcome.task_definition = Some(shown(&definition));
        }
        let service = if let Some(request) = asked.create {
            let mut input: shapes::CreateServiceRequest = read_request(request.get().as_bytes())?;
            input.task_definition = input.task_definition.or(registered);
            let context = self.imagined_context(scope, "CreateService");
            self.create_service(context, input).await?.service
        } else if let Some(request) = asked.update {
            let mut input: shapes::UpdateServiceRequest = read_request(request.get().as_bytes())?;
            input.task_definition = input.task_definition.or(registered);
            let context = self.imagined_context(scope, "UpdateService");
            self.update_service(context, input).await?.service
        } else {
            None
        };
        let Some(service) = service else { return Ok(outcome) };
        if asked.play {
            let arn = service.service_arn.as_deref().unwrap_or_default();
            outcome.rollout = Some(self.play_rollout(arn).await?);
        }
        outcome.service = Some(shown(&service));
        Ok(outcome)
    }

    /// A request that nobody sent.
    fn imagined_context(&self, scope: &Scope, operation: &'static str) -> Context {
        let root = format!("arn:aws:iam::{}:root", scope.account);
        Context {
            caller: Arc::new(Caller {
                account: scope.account.clone(),
                region: scope.region.clone(),
                arn: root,
                user_id: scope.account.to_string(),
                access_key_id: String::new(),
                kind: CallerKind::Operator,
            }),
            request_id: Uuid::from_random(self.ids.next()),
            now: self.ledger.clock().now(),
            service: "ecs",
            operation,
            source: None,
            user_agent: None,
            session_token: None,
            endpoint: String::new(),
        }
    }
}

/// A shape as AWS JSON has it.
fn shown<T: wire::value::Structure + wire::value::Value>(shape: &T) -> Json {
    serde_json::from_slice(&wire::document::json(shape)).unwrap_or_default()
}
