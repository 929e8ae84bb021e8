//! How much work a decision is. Nothing is judged by time: `longshore-bench` measures.

use policy::{Context, Kind, PolicySets, Request, decide};
use serde_json::json;

use crate::world::{ACCOUNT, source, user};

/// Many statements of other services cost nothing: their conditions are not looked at.
#[test]
#[ignore = "prints a figure; run it with --release --nocapture"]
fn a_hundred_statements() {
    let statements: Vec<_> = (0..100)
        .map(|number| {
            json!({ "Effect": "Allow", "Action": ["ecs:RunTask", "ecs:Stop*"],
                "Resource": format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/f{number}:*"),
                "Condition": { "StringEquals": { "aws:RequestTag/env": "dev" } } })
        })
        .collect();
    let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let identity = [source("p", &document, Kind::Identity)];
    let sets = PolicySets { identity: &identity, ..PolicySets::default() };
    let mut context = Context::default();
    context.set("aws:RequestTag/env", "dev");
    let caller = user("alice", ACCOUNT);
    let resource = format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/f99:1");
    let request = Request {
        principal: &caller,
        action: "ecs:RunTask",
        resource: &resource,
        owner: ACCOUNT,
        context: &context,
    };
    let rounds = 100_000_u32;
    #[allow(clippy::disallowed_methods)]
    let begun = std::time::Instant::now();
    let allowed = (0..rounds).filter(|_| decide(&request, &sets).is_allowed()).count();
    println!("{:?} a decision", begun.elapsed() / rounds);
    assert_eq!(allowed, rounds as usize);
}
