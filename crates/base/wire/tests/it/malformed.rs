//! Malformed requests of every kind: code, status and text, naming the member.

use serde_json::json;

use crate::stage::{
    Answer, ECS, IDENTITY, assert_marked, call, ecs_call, edge, request, send, signed, sts_call,
};

#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str, text: &str) {
    assert_marked(answer);
    assert_eq!(answer.error(), (status, code.to_owned(), text.to_owned()));
}

#[tokio::test]
async fn texts_that_are_no_json() {
    let check = async |body: &str, text: &str| {
        assert_error(&call("ListClusters", body).await, 400, "SerializationException", text);
    };
    let invalid = "The request body is not valid JSON: expected";
    check("{", &format!("{invalid} a string at byte 1.")).await;
    check("nonsense", &format!("{invalid} a value at byte 0.")).await;
    check("{}{}", &format!("{invalid} the end of the document at byte 2.")).await;
    check("{\"a\":1,}", &format!("{invalid} a string at byte 7.")).await;
    check("{\"a\":01}", &format!("{invalid} no leading zero at byte 7.")).await;
    check("{\"a\":\"\\x\"}", &format!("{invalid} an escape at byte 7.")).await;
    check("{\"a\":\"\\ud800\"}", &format!("{invalid} a low surrogate at byte 12.")).await;
    check("{\"a\":\"\n\"}", &format!("{invalid} no bare control character in a string at byte 6."))
        .await;
    check("[]", "Expected structure or map or null").await;
    check("null", "null found where a structure is expected.").await;
    let deep = format!("{{\"a\":{}", "[".repeat(70));
    check(&deep, "The request body is nested more than 64 levels deep.").await;
}

#[tokio::test]
async fn values_of_another_type() {
    let check = async |body: serde_json::Value, text: &str| {
        let answer = call("RunTask", &body.to_string()).await;
        assert_error(&answer, 400, "SerializationException", text);
    };
    check(
        json!({"taskDefinition": 7}),
        "NUMBER_VALUE cannot be converted to String (member 'taskDefinition')",
    )
    .await;
    check(json!({"count": "2"}), "STRING_VALUE cannot be converted to Integer (member 'count')")
        .await;
    check(json!({"count": 1.5}), "NUMBER_VALUE cannot be converted to Integer (member 'count')")
        .await;
    check(
        json!({"count": 3_000_000_000_u64}),
        "NUMBER_VALUE cannot be converted to Integer (member 'count')",
    )
    .await;
    check(
        json!({"enableExecuteCommand": "yes"}),
        "STRING_VALUE cannot be converted to Boolean (member 'enableExecuteCommand')",
    )
    .await;
    check(json!({"tags": {}}), "Expected list or null (member 'tags')").await;
    check(json!({"overrides": []}), "Expected structure or map or null (member 'overrides')").await;
    check(
        json!({"cluster": {}}),
        "Start of structure or map found where not expected (member 'cluster')",
    )
    .await;
    check(json!({"cluster": []}), "Start of list found where not expected (member 'cluster')")
        .await;
    check(
        json!({"overrides": {"containerOverrides": [{}, {"command": [true]}]}}),
        "TRUE_VALUE cannot be converted to String (member 'overrides.containerOverrides.2.member.command.1.member')",
    )
    .await;
}

#[tokio::test]
async fn constraints_of_the_model() {
    let check = async |mut body: serde_json::Value, complete: bool, text: &str| {
        if complete {
            body["taskDefinition"] = "web:1".into();
        }
        let answer = call("RunTask", &body.to_string()).await;
        let text = format!("1 validation error detected: Value {text}");
        assert_error(&answer, 400, "InvalidParameterException", &text);
    };
    let failed = "failed to satisfy constraint: Member must";
    check(json!({}), false, &format!("null at 'taskDefinition' {failed} not be null")).await;
    check(
        json!({"taskDefinition": null}),
        false,
        &format!("null at 'taskDefinition' {failed} not be null"),
    )
    .await;
    check(
        json!({"launchType": "RAFT"}),
        true,
        &format!("'RAFT' at 'launchType' {failed} satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]"),
    )
    .await;
    let long = "k".repeat(129);
    check(
        json!({"tags": [{"key": "a"}, {"key": long}]}),
        true,
        &format!("'{long}' at 'tags.2.member.key' {failed} have length less than or equal to 128"),
    )
    .await;
    check(
        json!({"tags": [{"key": ""}]}),
        true,
        &format!("'' at 'tags.1.member.key' {failed} have length greater than or equal to 1"),
    )
    .await;
    check(
        json!({"tags": [{"key": "a!"}]}),
        true,
        &format!("'a!' at 'tags.1.member.key' {failed} satisfy regular expression pattern: ([\\p{{L}}\\p{{Z}}\\p{{N}}_.:/=+\\-@]*)"),
    )
    .await;
    check(
        json!({"capacityProviderStrategy": [{"capacityProvider": "a", "weight": 1001}]}),
        true,
        &format!("'1001' at 'capacityProviderStrategy.1.member.weight' {failed} have value less than or equal to 1000"),
    )
    .await;
    check(
        json!({"capacityProviderStrategy": [{"base": 1}]}),
        true,
        &format!(
            "null at 'capacityProviderStrategy.1.member.capacityProvider' {failed} not be null"
        ),
    )
    .await;
    let tags: Vec<_> = (0..51).map(|number| json!({"key": format!("k{number}")})).collect();
    check(
        json!({ "tags": tags }),
        true,
        &format!("'[...]' at 'tags' {failed} have length less than or equal to 50"),
    )
    .await;
}

#[tokio::test]
async fn several_constraints_are_told_together() {
    let body = json!({"launchType": "RAFT", "tags": [{"key": ""}]}).to_string();
    let (_, _, text) = call("RunTask", &body).await.error();
    assert!(text.starts_with("3 validation errors detected: Value 'RAFT' at"), "{text}");
    // Endless complaints are cut.
    let tags: Vec<_> = (0..50).map(|_| json!({"key": "!"})).collect();
    let (_, _, text) = call("RunTask", &json!({ "tags": tags }).to_string()).await.error();
    assert!(text.starts_with("10 validation errors detected: "), "{text}");
}

#[tokio::test]
async fn what_the_model_does_not_forbid_is_accepted() {
    let check = async |operation: &str, body: &str| {
        let answer = call(operation, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    check("ListClusters", "").await;
    check("ListClusters", " \r\n ").await;
    check("ListClusters", "{\"unknown\":{\"deep\":[1,null,{}]},\"maxResults\":1e1}").await;
    check("RunTask", "{\"taskDefinition\":\"a\",\"count\":2.0,\"tags\":null}").await;
    check("RunTask", "{\"taskDefinition\":\"\\u0061\\ud83d\\ude00\\/\"}").await;
}

#[tokio::test]
async fn operations_that_are_not_there() {
    let unknown = "UnknownOperationException";
    let answer = call("FlyToTheMoon", "{}").await;
    assert_error(&answer, 400, unknown, "The operation 'FlyToTheMoon' is not known.");
    let answer = call("CreateService", "{}").await;
    let text = "Longshore does not implement ecs:CreateService yet; see docs/support.md";
    assert_error(&answer, 501, "NotImplementedException", text);
    let check = async |headers: &[(&str, &str)], text: &str| {
        let parts = signed(request("POST", "/", headers), "{}", "ecs");
        assert_error(&send(&edge(), parts, "{}").await, 400, unknown, text);
    };
    let json = ("content-type", "application/x-amz-json-1.1");
    check(
        &[("x-amz-target", "DynamoDB_20120810.ListTables"), json],
        "The operation 'ListTables' is not known.",
    )
    .await;
    check(&[("x-amz-target", "ListClusters"), json], "The operation 'ListClusters' is not known.")
        .await;
    let text = "The request names no operation: the header X-Amz-Target is missing.";
    check(&[json], text).await;
    check(&[("content-type", "text/plain")], text).await;
    let answer = send(&edge(), request("GET", "/", &[]), "").await;
    assert_error(&answer, 400, unknown, text);
    // An operation that is known but not built tells so only to those who may sign.
    let answer = send(&edge(), ecs_call("CreateService"), "{}").await;
    let text = "Missing Authentication Token";
    assert_error(&answer, 400, "MissingAuthenticationTokenException", text);
}

#[tokio::test]
async fn actions_that_are_not_there() {
    let check = async |body: &str, status, code: &str, text: &str| {
        let parts = signed(sts_call(), body, "sts");
        assert_error(&send(&edge(), parts, body).await, status, code, text);
    };
    check(
        "Action=FlyToTheMoon&Version=2011-06-15",
        400,
        "InvalidAction",
        "The action FlyToTheMoon is not valid for this web service.",
    )
    .await;
    check(
        "Version=2011-06-15",
        400,
        "MissingAction",
        "The request is missing an action or a required parameter: Action.",
    )
    .await;
    check(
        "Action=AssumeRole&Version=2011-06-15",
        501,
        "NotImplementedException",
        "Longshore does not implement sts:AssumeRole yet; see docs/support.md",
    )
    .await;
    check(
        "Action=%ff",
        400,
        "MalformedInput",
        "The form has bytes in 'Action' that are not valid UTF-8.",
    )
    .await;
    let many = "a=1&".repeat(20_001);
    check(&many, 400, "MalformedInput", "The form has more than 20000 fields.").await;
    // ECS speaks no forms, STS no JSON.
    let body = "Action=ListClusters";
    let parts = signed(sts_call(), body, "ecs");
    let text = "The action ListClusters is not valid for this web service.";
    assert_error(&send(&edge(), parts, body).await, 400, "InvalidAction", text);
}

#[tokio::test]
async fn paths_and_methods() {
    let answer = send(&edge(), request("GET", "/favicon.ico", &[]), "").await;
    let text = "Nothing is served at the path '/favicon.ico'; AWS calls go to '/'.";
    assert_error(&answer, 404, "UnknownOperationException", text);
    let answer = send(&edge(), request("DELETE", "/", &[]), "").await;
    assert_error(&answer, 405, "MethodNotAllowed", "The method DELETE is not allowed; use POST.");
}

#[tokio::test]
async fn bodies_over_the_limit() {
    let body = " ".repeat(wire::edge::BODY_LIMIT_BYTES + 1);
    let answer = call("ListClusters", &body).await;
    let text = "The request body is longer than the limit of 4194304 bytes.";
    assert_error(&answer, 413, "RequestEntityTooLargeException", text);
    let answer = call("ListClusters", &body[1..]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn errors_of_handlers_pass_through() {
    let answer = call("DescribeTasks", "{\"cluster\":\"missing\",\"tasks\":[]}").await;
    assert_error(&answer, 400, "ClusterNotFoundException", "Cluster not found.");
}

#[tokio::test]
async fn an_open_server_takes_every_key() {
    let edge = crate::stage::builder()
        .service(crate::stage::ecs_service())
        .service(crate::stage::sts_service())
        .open(true)
        .build();
    let check = async |parts, arn: &str| {
        let answer = send(&edge, parts, IDENTITY).await;
        assert!(answer.text().contains(&format!("<Arn>{arn}</Arn>")), "{}", answer.text());
    };
    check(sts_call(), "arn:aws:iam::000000000000:root").await;
    check(signed(sts_call(), "another body", "sts"), "arn:aws:iam::123456789012:user/alice").await;
    let mut parts = signed(sts_call(), IDENTITY, "sts");
    let header = parts.headers["authorization"].to_str().unwrap();
    let header = header.replace(crate::stage::KEY, "210987654321");
    parts.headers.insert("authorization", header.parse().unwrap());
    check(parts, "arn:aws:iam::210987654321:root").await;
    let mut parts = sts_call();
    parts.headers.insert("authorization", "Bearer nonsense".parse().unwrap());
    check(parts, "arn:aws:iam::000000000000:root").await;
    let answer = send(&edge, ecs_call("ListClusters"), "{}").await;
    assert_eq!(answer.status, 200, "{ECS}");
}

#[tokio::test]
async fn a_handler_that_panics_answers_internal_failure() {
    let service = wire::Service::new(&shapes_ecs::SERVICE)
        .on::<shapes_ecs::operations::ListClusters, _, _>(|_, input| async move {
            assert!(input.max_results.is_none(), "a mistake of ours");
            Ok(shapes_ecs::ListClustersResponse::default())
        });
    let edge = crate::stage::builder().service(service).build();
    let body = "{\"maxResults\":1}";
    let answer = send(&edge, signed(ecs_call("ListClusters"), body, "ecs"), body).await;
    let text =
        "The request processing has failed because of an unknown error, exception or failure.";
    assert_error(&answer, 500, "InternalFailure", text);
}
