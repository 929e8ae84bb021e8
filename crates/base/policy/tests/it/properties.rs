//! Properties over made-up policies and requests.

use policy::{Context, Kind, Outcome, Policy, PolicySets, Principal, Request, Source, decide};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::naive;
use crate::world::{ACCOUNT, federated, root, service, session, source, user};

const ACTIONS: [&str; 4] = ["ecs:RunTask", "ecs:StopTask", "iam:PassRole", "sts:AssumeRole"];
const RESOURCES: [&str; 4] = [
    "*",
    "arn:aws:ecs:eu-west-1:111122223333:task/c1/a",
    "arn:aws:ecs:eu-west-1:111122223333:task/c2/a:b",
    "arn:aws:iam::111122223333:role/app",
];

fn callers() -> Vec<Principal> {
    vec![
        user("alice", ACCOUNT),
        user("bob", "444455556666"),
        session(),
        root(),
        federated(),
        service("ecs-tasks.amazonaws.com"),
    ]
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = Value> {
    let set = one_of(&["", "", "", "ForAllValues:", "ForAnyValue:"]);
    let operator = one_of(&[
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
        "ArnLike",
        "ArnNotEquals",
        "Bool",
        "NumericLessThanEquals",
    ]);
    let exists = one_of(&["", "", "IfExists"]);
    let key = one_of(&["aws:username", "AWS:TagKeys", "ecs:cluster", "aws:PrincipalTag/Team"]);
    let text = one_of(&["a", "A", "a*", "${aws:username}", "${aws:PrincipalTag/team, 'a'}", "b"]);
    (set, operator, exists, key, prop::collection::vec(text, 1..3)).prop_map(
        |(set, operator, exists, key, texts)| {
            let texts: Vec<String> = match operator.as_str() {
                "Bool" => vec!["true".to_owned()],
                "NumericLessThanEquals" => vec!["10".to_owned()],
                "ArnLike" | "ArnNotEquals" => {
                    texts.iter().map(|t| format!("arn:aws:ecs:*:1:cluster/{t}")).collect()
                }
                _ => texts,
            };
            json!({ format!("{set}{operator}{exists}"): { key: texts } })
        },
    )
}

fn statement(has_principal: bool) -> impl Strategy<Value = Value> {
    let action =
        one_of(&["*", "ecs:*", "ECS:run*", "ecs:?topTask", "iam:PassRole", "sts:Assume*", "s3:*"]);
    let resource = one_of(&[
        "*",
        "arn:aws:ecs:*:*:task/*",
        "arn:aws:ecs:eu-west-1:111122223333:task/c?/*",
        "arn:aws:ecs:*",
        "arn:aws:iam::111122223333:role/${aws:username}",
        "arn:aws:iam::*:role/app",
    ]);
    let principal = one_of(&[
        "*",
        "111122223333",
        "arn:aws:iam::111122223333:user/alice",
        "arn:aws:iam::111122223333:role/app",
        "arn:aws:sts::111122223333:assumed-role/app/s1",
        "arn:aws:iam::444455556666:root",
    ]);
    let parts = (any::<(bool, bool, bool)>(), action, resource, principal);
    (parts, prop::option::of(condition())).prop_map(move |(parts, condition)| {
        let ((allows, not_action, not_resource), action, resource, principal) = parts;
        let mut statement = json!({ "Effect": if allows { "Allow" } else { "Deny" } });
        statement[if not_action { "NotAction" } else { "Action" }] = json!([action]);
        statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resource);
        if has_principal {
            statement["Principal"] = json!({ "AWS": principal });
        }
        if let Some(condition) = condition {
            statement["Condition"] = condition;
        }
        statement
    })
}

fn document(has_principal: bool) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(statement(has_principal), 1..4)
}

fn text(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn context() -> impl Strategy<Value = Context> {
    let name = prop::option::of(one_of(&["a", "b", "app"]));
    let tag = prop::option::of(one_of(&["a", "*", ""]));
    let keys = prop::option::of(prop::collection::vec(one_of(&["a", "b", "A"]), 1..3));
    let cluster = prop::option::of(one_of(&["arn:aws:ecs:r:1:cluster/a", "true", "7"]));
    (name, tag, keys, cluster).prop_map(|(name, tag, keys, cluster)| {
        let mut context = Context::default();
        name.inspect(|name| context.set("aws:username", name.as_str()));
        // Empty values are as good as absent to one set operator; the table has no word on others.
        tag.filter(|tag| !tag.is_empty())
            .inspect(|tag| context.set("aws:PrincipalTag/team", tag.as_str()));
        keys.inspect(|keys| context.set_list("aws:TagKeys", keys.clone()));
        cluster.inspect(|cluster| context.set("ecs:cluster", cluster.as_str()));
        context
    })
}

type Documents = [Option<Vec<Value>>; 4];

fn documents() -> impl Strategy<Value = Documents> {
    let other = || prop::option::of(document(false));
    (other(), other(), other(), prop::option::of(document(true)))
        .prop_map(|(identity, boundary, session, resource)| [identity, boundary, session, resource])
}

fn call() -> impl Strategy<Value = (Principal, String, String, Context)> {
    let caller = prop::sample::select(callers());
    (caller, one_of(&ACTIONS), one_of(&RESOURCES), context())
}

fn outcome(documents: &Documents, call: &(Principal, String, String, Context)) -> char {
    let compile = |at: usize, kind: Kind| -> Vec<Source> {
        documents[at].iter().map(|statements| source("p", &text(statements), kind)).collect()
    };
    let [identity, boundary, session] = [0, 1, 2].map(|at| compile(at, Kind::Identity));
    let resource = compile(3, Kind::Resource);
    let sets = PolicySets {
        identity: &identity,
        boundary: boundary.first(),
        session: (!session.is_empty()).then_some(&session[..]),
        resource: &resource,
        needs_resource: call.1.starts_with("sts:AssumeRole"),
    };
    let request = Request {
        principal: &call.0,
        action: &call.1,
        resource: &call.2,
        owner: ACCOUNT,
        context: &call.3,
    };
    match decide(&request, &sets).outcome {
        Outcome::Allowed => 'A',
        Outcome::ImplicitDeny => 'd',
        Outcome::ExplicitDeny => 'X',
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_evaluators_agree(documents in documents(), call in call()) {
        let asked = naive::Asked {
            caller: &call.0,
            action: &call.1,
            resource: &call.2,
            context: &call.3,
            documents: std::array::from_fn(|at| documents[at].as_deref().map(text)),
        };
        prop_assert_eq!(outcome(&documents, &call), naive::decide(&asked));
    }

    #[test]
    fn keys_that_no_policy_asks_for_change_nothing(documents in documents(), call in call()) {
        let kinds = [Kind::Identity, Kind::Identity, Kind::Identity, Kind::Resource];
        let compiled = documents.iter().zip(kinds).filter_map(|(statements, kind)| {
            Some(source("p", &text(statements.as_ref()?), kind))
        });
        let asked: Vec<String> = compiled.flat_map(|source| source.policy.keys()).collect();
        let mut few = Context::only(asked.into());
        for (key, values) in call.3.iter() {
            few.put(key, values.clone());
        }
        let (caller, action, resource, _) = call.clone();
        let less = (caller, action, resource, few);
        prop_assert_eq!(outcome(&documents, &call), outcome(&documents, &less));
    }

    #[test]
    fn a_denial_more_never_allows(
        documents in documents(), call in call(), set in 0..3_usize, more in statement(false),
    ) {
        let before = outcome(&documents, &call);
        let mut more = more;
        more["Effect"] = "Deny".into();
        let mut after = documents.clone();
        // To a set that is there: one that appears is a limit of its own.
        prop_assume!(set == 0 || after[set].is_some());
        after[set].get_or_insert_default().push(more);
        if before != 'A' {
            prop_assert_ne!(outcome(&after, &call), 'A');
        }
    }

    #[test]
    fn an_allowance_more_never_forbids(
        documents in documents(), call in call(), more in statement(false),
    ) {
        let mut more = more;
        more["Effect"] = "Allow".into();
        let mut after = documents.clone();
        after[0].get_or_insert_default().push(more);
        if outcome(&documents, &call) == 'A' {
            prop_assert_eq!(outcome(&after, &call), 'A');
        }
    }

    #[test]
    fn boundaries_and_sessions_never_widen(
        documents in documents(), call in call(), limit in document(false), set in 1..3_usize,
    ) {
        prop_assume!(call.0.kind != policy::PrincipalKind::FederatedUser);
        let mut without = documents.clone();
        without[set] = None;
        let mut with = documents;
        with[set] = Some(limit);
        if outcome(&without, &call) != 'A' {
            prop_assert_ne!(outcome(&with, &call), 'A');
        }
    }

    #[test]
    fn order_and_case_do_not_matter(documents in documents(), call in call()) {
        let mut turned = documents.clone();
        turned.iter_mut().flatten().for_each(|statements| statements.reverse());
        let mut loud = call.clone();
        loud.1 = loud.1.to_uppercase();
        prop_assume!(!call.1.starts_with("sts:"));
        prop_assert_eq!(outcome(&documents, &call), outcome(&turned, &loud));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
            _ = Policy::parse(&text, kind);
        }
        _ = policy::Named::rename(&text, |_| Some("x".to_owned()));
    }

    /// Documents that are nearly right: a valid one with bytes taken out, doubled or replaced.
    #[test]
    fn no_damaged_document_makes_it_panic(
        statements in document(true), call in call(), at in any::<prop::sample::Index>(),
        length in 0..12_usize, put in "[\\[\\]{}\":,a*?$\\\\0-9é]{0,6}",
    ) {
        let whole = text(&statements);
        let start = at.index(whole.len());
        let end = (start + length).min(whole.len());
        prop_assume!(whole.is_char_boundary(start) && whole.is_char_boundary(end));
        let damaged = format!("{}{put}{}", &whole[..start], &whole[end..]);
        for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
            let Ok(policy) = Policy::parse(&damaged, kind) else { continue };
            let identity = [Source { name: String::new(), arn: None, policy: policy.into() }];
            let sets = PolicySets { identity: &identity, ..PolicySets::default() };
            let request = Request {
                principal: &call.0, action: &call.1, resource: &damaged, owner: "", context: &call.3,
            };
            _ = decide(&request, &sets);
        }
    }

    #[test]
    fn names_survive_being_renamed(statements in document(true)) {
        let whole = text(&statements);
        let there = policy::Named::rename(&whole, |name| Some(format!("x{name}")));
        let back = policy::Named::rename(&there, |name| name.strip_prefix('x').map(str::to_owned));
        prop_assert_eq!(back, whole);
    }
}
