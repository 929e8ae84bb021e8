//! `GET /_longshore/service-health?cluster=&service=`: how many of a service's tasks count as
//! healthy, by the rules that its scheduler goes by. What `longshore deploy` draws.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use serde::Serialize;
use terms::Timestamp;
use wire::{Body, Route, RouteAuth, RouteRequest};

use super::{answer, refuse, scope, told};
use crate::ServiceRules;
use crate::api::{Api, cluster_of};
use crate::decide::service::health::{self, Verdict};
use crate::decide::service::view::Seen;
use crate::error::Error;
use crate::reconcile::services::tasks_of;
use crate::tables::Scope;

/// The path.
const PATH: &str = "/_longshore/service-health";

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    /// How long a task without health checks runs until it counts as healthy.
    settle_seconds: f64,
    /// By the id of the deployment or task set, as in `ecs-svc/1234567890123456789`.
    deployments: BTreeMap<String, Counts>,
}

/// Tasks of one deployment that are to run.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// They count towards the minimum.
    healthy: u32,
    /// They may yet.
    settling: u32,
    /// Their checks failed, or their instance is lost.
    unhealthy: u32,
}

/// The route.
pub(crate) fn route(api: Arc<Api>, rules: ServiceRules) -> Route {
    Route::new(PATH, RouteAuth::Signed("ecs"), move |request| {
        let answer = look(&api, &rules, &request);
        async move { answer }
    })
    .reads()
}

fn look(api: &Api, rules: &ServiceRules, request: &RouteRequest) -> Response<Body> {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(scope) = scope(request) else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    let asked = |name: &str| request.query(name).filter(|value| !value.is_empty());
    let (cluster, service) = (asked("cluster"), asked("service").unwrap_or_default());
    let found = find(api, &scope, cluster.as_deref(), &service, rules, request.now);
    match found {
        Ok(found) => answer(StatusCode::OK, serde_json::to_vec(&found).unwrap_or_default()),
        Err(error) => told(Err(error.into())),
    }
}

fn find(
    api: &Api,
    scope: &Scope,
    cluster: Option<&str>,
    service: &str,
    rules: &ServiceRules,
    now: Timestamp,
) -> Result<Told, Error> {
    let cluster = cluster_of(api, scope, cluster)?;
    let name = service.parse().map_err(|_| Error::ServiceNotFound)?;
    let (key, snapshot) = ((cluster, name), api.ledger.snapshot());
    let row = snapshot.get(&api.tables.services.rows, &key).ok_or(Error::ServiceNotFound)?;
    let grace = Duration::from_secs(row.grace_seconds.unwrap_or(0).into());
    let tasks = tasks_of(snapshot.facts(), &api.known(), &key);
    let deployments = count(&tasks, |task| {
        let of = snapshot.get(&api.tables.services.deployments, &(key.clone(), task.of));
        let rules = health::rules_of(&row, of.as_deref(), rules);
        health::verdict(task, grace, &rules, now)
    });
    Ok(Told { settle_seconds: rules.settle.as_secs_f64(), deployments })
}

fn count(tasks: &[Seen], verdict: impl Fn(&Seen) -> Verdict) -> BTreeMap<String, Counts> {
    let mut counted = BTreeMap::<String, Counts>::new();
    for task in tasks {
        let counts = counted.entry(task.of.to_string()).or_default();
        match verdict(task) {
            Verdict::Healthy => counts.healthy += 1,
            Verdict::Settling(_) => counts.settling += 1,
            Verdict::Unhealthy | Verdict::Lost => counts.unhealthy += 1,
            Verdict::Leaving => {}
        }
    }
    counted
}
