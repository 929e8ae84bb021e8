//! The decisions of a table. Its form: `id|caller|policies|action resource|context|decision`. A
//! statement is its set, `+` or `-`, an action (`!`: `NotAction`), `@` a resource (`!`:
//! `NotResource`), `~` a principal (`S:` a service), `?` a condition (`&`: one more).

use policy::{Cause, Context, Kind, Outcome, PolicySets, Principal, Request, Set, Source, decide};
use serde_json::{Map, Value, json};

use crate::naive;
use crate::world::{ACCOUNT, federated, root, service, session, source, user};

const TABLE: &str = include_str!("table.txt");

fn arn(short: &str) -> String {
    let after =
        |prefix: &str, full: &str| short.strip_prefix(prefix).map(|rest| format!("{full}{rest}"));
    after("ecs:", &format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:"))
        .or_else(|| after("iam:", &format!("arn:aws:iam::{ACCOUNT}:")))
        .or_else(|| after("sts:", &format!("arn:aws:sts::{ACCOUNT}:")))
        .or_else(|| after("sec:", &format!("arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:")))
        .unwrap_or_else(|| short.to_owned())
}

/// A statement of the table: its set and itself.
fn statement(text: &str) -> (char, Value) {
    let set = text.chars().next().unwrap();
    let effect = if &text[1..2] == "+" { "Allow" } else { "Deny" };
    let (head, condition) = match text[2..].split_once('?') {
        // A wildcard in an action or a resource, not a condition.
        Some((head, rest)) if rest.contains(' ') && rest.contains('=') => (head, Some(rest)),
        _ => (&text[2..], None),
    };
    // A question mark may come twice: then the condition begins at the one before an operator.
    let (head, condition) = match condition.and_then(|rest| rest.rsplit_once('?')) {
        Some((more, rest)) if rest.contains(' ') => {
            (&text[2..2 + head.len() + 1 + more.len()], Some(rest))
        }
        _ => (head, condition),
    };
    let (head, principal) = match head.split_once('~') {
        Some((head, principal)) => (head, Some(principal)),
        None => (head, None),
    };
    let (action, resource) = head.split_once('@').unwrap();
    let mut out = Map::new();
    out.insert("Effect".into(), effect.into());
    let mut put = |plain: &str, text: &str, full: fn(&str) -> String| match text.strip_prefix('!') {
        Some(text) => out.insert(format!("Not{plain}"), full(text).into()),
        None => out.insert(plain.into(), full(text).into()),
    };
    put("Action", action, str::to_owned);
    if !resource.is_empty() {
        put("Resource", resource, arn);
    }
    if let Some(principal) = principal {
        let value = match principal.strip_prefix("S:") {
            Some(service) => json!({ "Service": service }),
            None if principal == "*" => json!("*"),
            None => json!({ "AWS": arn(principal) }),
        };
        out.insert("Principal".into(), value);
    }
    if let Some(condition) = condition {
        let mut all = Map::new();
        for one in condition.split('&') {
            let (operator, rest) = one.split_once(' ').unwrap();
            let (key, values) = rest.split_once('=').unwrap();
            let values: Vec<String> = if values.contains("${") {
                vec![values.to_owned()]
            } else {
                values.split(',').map(arn).collect()
            };
            all.insert(operator.into(), json!({ key: values }));
        }
        out.insert("Condition".into(), all.into());
    }
    (set, out.into())
}

fn context(text: &str) -> Context {
    let mut context = Context::default();
    for entry in text.split('&').filter(|entry| *entry != "-") {
        let (key, value) = entry.split_once('=').unwrap();
        match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(list) => context.set_list(key, list.split(',').map(str::to_owned).collect()),
            None => context.set(key, arn(value)),
        }
    }
    context
}

fn document(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// The table's policies of each set, as documents.
struct Documents([Option<String>; 4]);

impl Documents {
    fn of(text: &str) -> Self {
        let parsed: Vec<_> = text.split(';').filter(|s| *s != "-").map(statement).collect();
        Self(['I', 'B', 'S', 'P'].map(|set| {
            let own: Vec<Value> =
                parsed.iter().filter(|(of, _)| *of == set).map(|(_, s)| s.clone()).collect();
            (!own.is_empty()).then(|| document(&own))
        }))
    }
}

fn outcome(
    caller: &Principal,
    documents: &Documents,
    action: &str,
    resource: &str,
    context: &Context,
) -> char {
    let kinds = [Kind::Identity, Kind::Identity, Kind::Identity, Kind::Resource];
    let [identity, boundary, limits, resources]: [Vec<Source>; 4] = std::array::from_fn(|at| {
        let document = documents.0[at].iter();
        document.map(|document| source("policy", document, kinds[at])).collect()
    });
    let sets = PolicySets {
        identity: &identity,
        boundary: boundary.first(),
        session: (!limits.is_empty()).then_some(&limits[..]),
        resource: &resources,
        needs_resource: action.starts_with("sts:AssumeRole"),
    };
    let request = Request { principal: caller, action, resource, owner: ACCOUNT, context };
    let decision = decide(&request, &sets);
    match decision.cause {
        Cause::Missing(set) => {
            assert_eq!(decision.outcome, Outcome::ImplicitDeny, "{set:?}");
        }
        Cause::Denied(_) => assert_eq!(decision.outcome, Outcome::ExplicitDeny),
        Cause::Allowed(_) | Cause::Unasked => assert!(decision.is_allowed()),
    }
    match decision.outcome {
        Outcome::Allowed => 'A',
        Outcome::ImplicitDeny => 'd',
        Outcome::ExplicitDeny => 'X',
    }
}

#[test]
fn the_table_is_decided_as_it_says() {
    let mut count = 0;
    for line in TABLE.lines() {
        let parts: Vec<&str> = line.splitn(3, '|').collect();
        let [id, caller, rest] = parts[..] else { panic!("{line}") };
        let mut from_end = rest.rsplitn(4, '|');
        let mut next = || from_end.next().unwrap();
        let (expected, keys, call, policies) = (next(), next(), next(), next());
        let caller = match caller {
            "U" => user("alice", ACCOUNT),
            "R" => session(),
            "X" => user("bob", "444455556666"),
            _ => service("ecs-tasks.amazonaws.com"),
        };
        let (action, resource) = call.split_once(' ').unwrap();
        let (resource, context) = (arn(resource), context(keys));
        let documents = Documents::of(policies);
        let got = outcome(&caller, &documents, action, &resource, &context);
        assert_eq!(got.to_string(), expected, "case {id}: {line}");
        let second = naive::decide(&naive::Asked {
            caller: &caller,
            action,
            resource: &resource,
            context: &context,
            documents: std::array::from_fn(|at| documents.0[at].clone()),
        });
        assert_eq!(second.to_string(), expected, "case {id} by the second evaluator: {line}");
        count += 1;
    }
    assert_eq!(count, 86);
}

/// One more case, with whole documents.
fn check(caller: &Principal, policies: [&str; 4], call: (&str, &str), keys: &str, expected: char) {
    let documents = Documents(policies.map(|text| (!text.is_empty()).then(|| text.to_owned())));
    let got = outcome(caller, &documents, call.0, &arn(call.1), &context(keys));
    assert_eq!(got, expected, "{policies:?} {call:?}");
}

#[test]
fn what_the_table_has_no_form_for() {
    let old = r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":"*",
        "Action":"iam:*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"}}"#;
    let create = ("iam:CreateAccessKey", "iam:user/alice");
    check(&user("alice", ACCOUNT), ["", "", "", old], create, "aws:username=alice", 'd');

    let cluster = ("ecs:DeleteCluster", "ecs:cluster/c1");
    let deny = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;
    check(&root(), ["", "", "", ""], cluster, "-", 'A');
    check(&root(), ["", "", "", deny], cluster, "-", 'X');

    let all =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let ecs = r#"{"Version":"2012-10-17",
        "Statement":{"Effect":"Allow","Action":"ecs:*","Resource":"*"}}"#;
    check(&federated(), [all, "", "", ""], cluster, "-", 'd');
    check(&federated(), [all, "", ecs, ""], cluster, "-", 'A');
    check(&federated(), [all, "", ecs, ""], ("iam:CreateUser", "iam:user/x"), "-", 'd');

    let denied_but = |listed: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"Deny","NotPrincipal":{{"AWS":[{listed}]}},
            "Action":"*","Resource":"*"}}}}"#
        )
    };
    let role = format!("\"arn:aws:iam::{ACCOUNT}:role/app\"");
    let every = format!("{role},\"{ACCOUNT}\",\"arn:aws:sts::{ACCOUNT}:assumed-role/app/s1\"");
    check(&session(), [all, "", "", &denied_but(&role)], cluster, "-", 'X');
    check(&session(), [all, "", "", &denied_but(&every)], cluster, "-", 'A');

    let whoami = ("sts:GetCallerIdentity", "*");
    let never =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    check(&session(), [never, never, never, ""], whoami, "-", 'A');

    let tagged = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:*",
        "Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"env"},
        "Null":{"aws:TagKeys":"false"}}}}"#;
    check(&user("alice", ACCOUNT), [tagged, "", "", ""], cluster, "-", 'd');
    check(&user("alice", ACCOUNT), [tagged, "", "", ""], cluster, "aws:TagKeys=[env]", 'A');
}

#[test]
fn tags_that_differ_in_case_are_either() {
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
        "Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"b"}}}}"#;
    let identity = [source("p", document, Kind::Identity)];
    let sets = PolicySets { identity: &identity, ..PolicySets::default() };
    let mut context = Context::default();
    context.set_tag("aws:PrincipalTag/", "Team", "a");
    context.set_tag("aws:PrincipalTag/", "team", "b");
    let caller = user("alice", ACCOUNT);
    let request = Request {
        principal: &caller,
        action: "ecs:ListClusters",
        resource: "*",
        owner: ACCOUNT,
        context: &context,
    };
    assert!(decide(&request, &sets).is_allowed());
}

#[test]
fn a_refusal_says_which_policy() {
    let caller = session();
    let context = Context::default();
    let resource = format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/c1");
    let request = Request {
        principal: &caller,
        action: "ecs:DeleteCluster",
        resource: &resource,
        owner: ACCOUNT,
        context: &context,
    };
    let allow = |action: &str| {
        let document = json!({ "Version": "2012-10-17", "Statement":
            { "Effect": "Allow", "Action": action, "Resource": "*" } });
        [source("p", &document.to_string(), Kind::Identity)]
    };
    let (all, ecs, other) = (allow("*"), allow("ecs:*"), allow("s3:*"));
    let denies = json!({ "Version": "2012-10-17", "Statement":
        { "Effect": "Deny", "Action": "ecs:Delete*", "Resource": "*" } });
    let mut denies = [source("d", &denies.to_string(), Kind::Identity)];
    denies[0].arn = Some(format!("arn:aws:iam::{ACCOUNT}:policy/d"));
    let said = |sets: &PolicySets<'_>| {
        decide(&request, sets).message(&caller.arn, "ecs:DeleteCluster", &resource, sets)
    };
    let head = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/app/s1 is not authorized to perform: \
         ecs:DeleteCluster on resource: {resource}"
    );
    let none = PolicySets::default();
    let because = "because no identity-based policy allows the ecs:DeleteCluster action";
    assert_eq!(said(&none), format!("{head} {because}"));
    let bounded = PolicySets { identity: &all, boundary: other.first(), ..none };
    let because = "because no permissions boundary allows the ecs:DeleteCluster action";
    assert_eq!(said(&bounded), format!("{head} {because}"));
    let limited = PolicySets { identity: &ecs, session: Some(&other), ..none };
    let because = "because no session policy allows the ecs:DeleteCluster action";
    assert_eq!(said(&limited), format!("{head} {because}"));
    let denied = PolicySets { identity: &denies, ..none };
    let tail = format!("with an explicit deny in an identity-based policy: {}", "arn:aws:iam::");
    assert!(said(&denied).starts_with(&format!("{head} {tail}")), "{}", said(&denied));
    let capped = PolicySets { identity: &all, boundary: denies.first(), ..none };
    assert!(said(&capped).contains("with an explicit deny in a permissions boundary"));
    let found = policy::explain(&request, &capped);
    let sets: Vec<Set> = found.iter().map(|found| found.set).collect();
    assert_eq!(sets, [Set::Identity, Set::Boundary]);
}
