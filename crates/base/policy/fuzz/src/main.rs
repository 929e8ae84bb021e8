//! `./x fuzz`: whatever a document says, reading it and deciding by it end, without a panic; what is
//! refused names a place in the text; what is read twice decides alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{
    Context, Kind, Named, Policy, PolicySets, Principal, PrincipalKind, Request, Source, decide,
    explain,
};

const ACCOUNT: &str = "111122223333";

fuzz_target!(|text: &str| {
    for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
        match Policy::parse(text, kind) {
            Ok(policy) => asked(text, kind, policy),
            Err(malformed) => assert!(malformed.position.line >= 1 && !malformed.text.is_empty()),
        }
    }
    // Names are where they are said to be.
    for name in Named::in_text(text) {
        assert!(text.get(name.start..name.end).is_some());
    }
});

fn asked(text: &str, kind: Kind, policy: Policy) {
    let source =
        |policy: Policy| Source { name: "fuzzed".to_owned(), arn: None, policy: policy.into() };
    let sources = [source(policy)];
    let Ok(again) = Policy::parse(text, kind) else { panic!("it was read before") };
    let again = [source(again)];
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/ada");
    let ada = Principal {
        kind: PrincipalKind::User,
        account: ACCOUNT.to_owned(),
        entity_arn: arn.clone(),
        arn,
        entity_id: "AIDAAAAAAAAAAAAAAAAA".to_owned(),
    };
    let mut context = Context::default();
    for (key, value) in
        [("aws:username", "ada"), ("ecs:cluster", "c"), ("aws:CurrentTime", "2026-01-01")]
    {
        context.set(key, value);
    }
    let request = Request {
        principal: &ada,
        action: "ecs:RunTask",
        resource: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1",
        owner: ACCOUNT,
        context: &context,
    };
    let outcome = |sources: &[Source]| {
        let sets = match kind {
            Kind::Identity => PolicySets { identity: sources, ..PolicySets::default() },
            Kind::Trust | Kind::Resource => {
                PolicySets { resource: sources, ..PolicySets::default() }
            }
        };
        (decide(&request, &sets).outcome, explain(&request, &sets))
    };
    assert_eq!(outcome(&sources), outcome(&again));
}
