//! Why a call was refused: what was decided then, and what would be now.

use cloudtrail::{Filter, Start, Trail};
use http::StatusCode;
use iam::{Iam, Question};
use serde_json::{Value, json};
use wire::RouteRequest;

use super::{Told, refuse, unreadable};

/// `?request=ID`, or `?principal=ARN&action=A&resource=ARN` with any number of `key=NAME=VALUE`.
pub(super) async fn explain(trail: &Trail, iam: &Iam, request: &RouteRequest) -> Told {
    let Some(caller) = &request.caller else {
        return refuse(StatusCode::FORBIDDEN, "sign the request");
    };
    let text = |name: &str| request.query(name).filter(|text| !text.is_empty());
    if let Some(id) = text("request") {
        return of_request(trail, iam, caller, &id).await;
    }
    let (Some(principal), Some(action)) = (text("principal"), text("action")) else {
        let message = "name a request, or a principal and an action";
        return refuse(StatusCode::BAD_REQUEST, message);
    };
    let principal = match principal.starts_with("arn:") {
        true => principal,
        false => format!("arn:aws:iam::{}:{principal}", caller.account),
    };
    let resource = text("resource").unwrap_or_else(|| "*".to_owned());
    let keys = text("keys").map(|keys| pairs(&keys)).unwrap_or_default();
    let question = Question { principal, action, resource, keys };
    match iam.explain(&caller.account, &question) {
        Ok(now) => (StatusCode::OK, json!({ "now": now })),
        Err(message) => refuse(StatusCode::NOT_FOUND, message),
    }
}

/// Keys as `NAME=VALUE` with line ends between; a name that comes again has a list.
fn pairs(text: &str) -> Vec<(String, Vec<String>)> {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match keys.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.to_owned()),
            None => keys.push((name.to_owned(), vec![value.to_owned()])),
        }
    }
    keys
}

async fn of_request(trail: &Trail, iam: &Iam, caller: &wire::Caller, id: &str) -> Told {
    let filter = Filter { request: Some(id.to_owned()), ..Filter::default() };
    let page = match trail.look_everywhere(filter, Start::Newest, 1).await {
        Ok(page) => page,
        Err(error) => return unreadable(&error),
    };
    let Some(entry) = page.lines.into_iter().next().map(|line| line.entry) else {
        let mut message =
            format!("no trail has the request '{id}'; it is what clients show as request id");
        for silent in page.silent {
            message.push_str(&format!("; {} could not be asked: {}", silent.server, silent.why));
        }
        return refuse(StatusCode::NOT_FOUND, message);
    };
    let refusal = &entry.event["additionalEventData"]["refusal"];
    let question = question(refusal);
    let now = question.map(|question| iam.explain(&caller.account, &question));
    let (now, unasked) = match now {
        Some(Ok(now)) => (now, None),
        Some(Err(message)) => (Value::Null, Some(message)),
        None => (Value::Null, None),
    };
    (StatusCode::OK, json!({ "then": entry.event, "now": now, "unasked": unasked }))
}

/// What was asked, from what is remembered of a refusal.
fn question(refusal: &Value) -> Option<Question> {
    let about = &refusal["context"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let items = about["conditions"]["items"].as_array().into_iter().flatten();
    // The time is that of now, and who it is follows from the principal.
    let keys = items.filter_map(|item| {
        let key = item["key"].as_str().filter(|key| !of_now(key))?;
        let values = item["values"]["items"].as_array().into_iter().flatten();
        let values = values.filter_map(|one| text(&one["value"])).collect();
        Some((key.to_owned(), values))
    });
    Some(Question {
        principal: text(&about["principal"]["arn"])?,
        action: text(&about["action"])?,
        resource: text(&about["resource"])?,
        keys: keys.collect(),
    })
}

fn of_now(key: &str) -> bool {
    matches!(key, "aws:currenttime" | "aws:epochtime")
}
