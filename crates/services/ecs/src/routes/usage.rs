//! `GET /_longshore/usage?since=&until=&by=`: what tasks used of Fargate, by the second. What
//! `longshore usage` prints.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Response, StatusCode};
use serde::Serialize;
use terms::Timestamp;
use wire::{Body, Route, RouteAuth, RouteRequest};

use super::{answer, refuse, scope};
use crate::api::Api;
use crate::decide::usage::Window;
use crate::model::Amount;
use crate::used::{self, Part};

/// The path.
const PATH: &str = "/_longshore/usage";

/// What use is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Service,
    Family,
    Cluster,
    Provider,
    Task,
}

impl By {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "" | "service" => Self::Service,
            "family" => Self::Family,
            "cluster" => Self::Cluster,
            "provider" => Self::Provider,
            "task" => Self::Task,
            _ => return None,
        })
    }

    fn of(self, part: &Part) -> Named {
        let of = &part.of;
        let cluster = Some(of.cluster.to_string());
        let none = Named::default();
        match self {
            Self::Service => {
                let service = of.service.as_ref().map(ToString::to_string);
                Named { cluster, service, ..none }
            }
            Self::Family => Named { family: Some(of.family.to_string()), ..none },
            Self::Cluster => Named { cluster, ..none },
            Self::Provider => {
                let name = if of.spot.is_some() { "FARGATE_SPOT" } else { "FARGATE" };
                Named { provider: Some(name), ..none }
            }
            Self::Task => {
                let task_arn = part.task.as_ref().map(ToString::to_string);
                Named { cluster, family: Some(of.family.to_string()), task_arn, ..none }
            }
        }
    }
}

/// Of what something was used; what was not asked for is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_arn: Option<String>,
}

/// Sums, exact and in the units that people count in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sums {
    tasks: u64,
    seconds: u64,
    cpu_unit_seconds: u64,
    mib_seconds: u64,
    storage_gib_seconds: u64,
    vcpu_hours: f64,
    gb_hours: f64,
    storage_gib_hours: f64,
}

impl From<Amount> for Sums {
    fn from(amount: Amount) -> Self {
        let hours = |units: u64, per: f64| units as f64 / per / 3600.0;
        Self {
            tasks: amount.tasks,
            seconds: amount.seconds,
            cpu_unit_seconds: amount.cpu,
            mib_seconds: amount.memory,
            storage_gib_seconds: amount.storage,
            vcpu_hours: hours(amount.cpu, 1024.0),
            gb_hours: hours(amount.memory, 1024.0),
            storage_gib_hours: hours(amount.storage, 1.0),
        }
    }
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    of: Named,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Serialize)]
struct Told {
    since: String,
    until: String,
    usage: Vec<Line>,
    total: Sums,
}

/// The route.
pub(crate) fn route(api: Arc<Api>) -> Route {
    Route::new(PATH, RouteAuth::Signed("ecs"), move |request| {
        let answer = look(&api, &request);
        async move { answer }
    })
    .reads()
}

fn look(api: &Api, request: &RouteRequest) -> Response<Body> {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(scope) = scope(request) else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    let asked = |name: &str| request.query(name).unwrap_or_default();
    let Some(by) = By::read(&asked("by")) else {
        let text = "by is one of service, family, cluster, provider, task";
        return refuse(StatusCode::BAD_REQUEST, text);
    };
    // Milliseconds since 1970; without them, all that is known.
    let time = |name: &str, usual: Timestamp| match asked(name).as_str() {
        "" => Some(usual),
        text => text.parse().ok().map(Timestamp::from_millis),
    };
    let window = (time("since", Timestamp::from_millis(0)), time("until", request.now));
    let (Some(from), Some(until)) = window else {
        return refuse(StatusCode::BAD_REQUEST, "since and until are milliseconds since 1970");
    };
    let snapshot = api.ledger.snapshot();
    let window = Window { from, until };
    let parts = used::parts(&snapshot, &api.tables, &scope, window, request.now);
    let told = sum(by, &parts, window);
    answer(StatusCode::OK, serde_json::to_vec(&told).unwrap_or_default())
}

fn sum(by: By, parts: &[Part], window: Window) -> Told {
    let mut sums: BTreeMap<Named, Amount> = BTreeMap::new();
    let mut total = Amount::default();
    for part in parts {
        sums.entry(by.of(part)).or_default().add(part.amount);
        total.add(part.amount);
    }
    let line = |(of, amount): (Named, Amount)| Line { of, sums: amount.into() };
    Told {
        since: window.from.to_string(),
        until: window.until.to_string(),
        usage: sums.into_iter().map(line).collect(),
        total: total.into(),
    }
}
