//! What one decision of the policy engine costs: no requests, no ledger, one thread.
//!
//! Times are those that the thread had a processor. Documents are compiled beforehand, as the
//! server keeps them.

use anyhow::{Result, ensure};
use clap::Args;
use policy::{
    Context, Kind, Policy, PolicySets, Principal, PrincipalKind, Request, Source, decide,
};
use serde_json::{Value, json};

use crate::process::{pin_self, processor_time};
use crate::report::Report;

/// The goal, in microseconds a decision.
const GOAL: f64 = 5.0;
const ACCOUNT: &str = "111122223333";
/// Statements of each document.
const STATEMENTS: u32 = 100;

/// Decisions of the policy engine over 100 statements
#[derive(Args, Debug)]
pub struct Decisions {
    /// Decisions of each case; the mean counts
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rounds: u32,
    /// The core to stay on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// One document, and whether it lets Alice run task 99.
struct Case {
    what: &'static str,
    statement: fn(u32) -> Value,
    allows: bool,
}

const CASES: &[Case] = &[
    Case { what: "only the last statement fits", statement: by_family, allows: true },
    Case { what: "every statement fits, with a condition", statement: by_condition, allows: true },
    Case { what: "variables in resource and condition", statement: by_variable, allows: true },
    Case { what: "other services' statements", statement: of_others, allows: false },
];

fn by_family(number: u32) -> Value {
    json!({ "Effect": "Allow", "Action": ["ecs:RunTask", "ecs:Stop*"],
        "Resource": format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/f{number}:*"),
        "Condition": { "StringEquals": { "aws:RequestTag/env": "dev" } } })
}

fn by_condition(number: u32) -> Value {
    json!({ "Effect": "Allow", "Action": "ecs:*", "Resource": "*",
        "Condition": { "StringLike": { "aws:RequestTag/env": ["prod*", &format!("t{number}"), "d*v"] } } })
}

fn by_variable(number: u32) -> Value {
    let name = if number + 1 == STATEMENTS { "" } else { "x" };
    json!({ "Effect": "Allow", "Action": "ecs:Run*",
        "Resource": format!("arn:aws:ecs:*:{ACCOUNT}:task-definition/${{aws:RequestTag/family}}{name}:*"),
        "Condition": { "StringEquals": { "aws:RequestTag/owner": "${aws:username}" } } })
}

fn of_others(number: u32) -> Value {
    json!({ "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": format!("arn:aws:s3:::bucket{number}/*") })
}

impl Decisions {
    /// Measures.
    pub fn run(&self) -> Result<Report> {
        pin_self(self.core)?;
        let mut report = Report::new("policy: a decision over 100 statements, one core");
        for case in CASES {
            let micros = self.measure(case)?;
            report.target(case.what, micros, GOAL, true, "us");
        }
        Ok(report)
    }

    /// Microseconds a decision.
    fn measure(&self, case: &Case) -> Result<f64> {
        let statements: Vec<_> = (0..STATEMENTS).map(case.statement).collect();
        let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let identity = [Source {
            name: "bench".to_owned(),
            arn: None,
            policy: Policy::parse(&document, Kind::Identity)?.into(),
        }];
        let sets = PolicySets { identity: &identity, ..PolicySets::default() };
        let alice = alice();
        let mut context = Context::default();
        for (key, value) in [
            ("aws:username", "alice"),
            ("aws:RequestTag/env", "dev"),
            ("aws:RequestTag/family", "f99"),
            ("aws:RequestTag/owner", "alice"),
        ] {
            context.set(key, value);
        }
        let request = Request {
            principal: &alice,
            action: "ecs:RunTask",
            resource: &format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/f99:1"),
            owner: ACCOUNT,
            context: &context,
        };
        let began = processor_time();
        let allowed = (0..self.rounds).filter(|_| decide(&request, &sets).is_allowed()).count();
        let took = processor_time() - began;
        let expected = if case.allows { self.rounds as usize } else { 0 };
        ensure!(allowed == expected, "{}: {allowed} of {} were allowed", case.what, self.rounds);
        Ok(took.as_secs_f64() * 1e6 / f64::from(self.rounds))
    }
}

fn alice() -> Principal {
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/alice");
    Principal {
        kind: PrincipalKind::User,
        account: ACCOUNT.to_owned(),
        entity_arn: arn.clone(),
        arn,
        entity_id: "AIDAAAAAAAAAAAAAAAAA".to_owned(),
    }
}
