//! What is refused when it is written, in which words, and where.

use policy::{Kind, Policy, size_of};

fn check(kind: Kind, statement: &str, expected: &str) {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    whole(kind, &text, expected);
}

fn whole(kind: Kind, text: &str, expected: &str) {
    match Policy::parse(text, kind) {
        Ok(_) => assert_eq!("", expected, "{text}"),
        Err(malformed) => assert_eq!(malformed.to_string(), expected, "{text}"),
    }
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

#[test]
fn documents_of_identities() {
    let refuse = |statement: &str, expected: &str| check(Kind::Identity, statement, expected);
    let one = |rest: &str| format!(r#"{{"Effect":"Allow",{rest}}}"#);
    refuse(&one(r#""Action":"ecs:*","Resource":"*""#), "");
    refuse(&one(r#""NotAction":"ecs:*","NotResource":["arn:aws:ecs:*"]"#), "");
    whole(Kind::Identity, "", SYNTAX);
    whole(Kind::Identity, "[]", SYNTAX);
    whole(Kind::Identity, r#"{"Version":"2012-10-17"}"#, SYNTAX);
    whole(Kind::Identity, r#"{"Version":"2012-10-17","Statement":[]}"#, SYNTAX);
    whole(Kind::Identity, r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#, SYNTAX);
    whole(Kind::Identity, r#"{"Version":"2020-01-01","Statement":[]}"#, SYNTAX);
    let id = r#"{"Version":"2012-10-17","Id":["a"],"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;
    whole(Kind::Identity, id, SYNTAX);
    let old = r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"*"}]}"#;
    whole(Kind::Identity, old, "Policy document must be version 2012-10-17 or greater.");
    refuse(r#"{"Action":"ecs:*","Resource":"*"}"#, SYNTAX);
    refuse(r#"{"Effect":"allow","Action":"ecs:*","Resource":"*"}"#, LEGACY);
    refuse(r#"{"Effect":"Maybe","Action":"ecs:*","Resource":"*"}"#, SYNTAX);
    refuse(&one(r#""Action":"ecs:*","NotAction":"ecs:*","Resource":"*""#), SYNTAX);
    refuse(&one(r#""Action":{"a":1},"Resource":"*""#), SYNTAX);
    refuse(&one(r#""Actions":"ecs:*","Resource":"*""#), SYNTAX);
    refuse(&one(r#""Resource":"*""#), "Policy statement must contain actions.");
    refuse(&one(r#""Action":[],"Resource":"*""#), "Policy statement must contain actions.");
    refuse(&one(r#""Action":"ecs:*""#), "Policy statement must contain resources.");
    let vendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
    refuse(&one(r#""Action":"RunTask","Resource":"*""#), vendor);
    let colons = "Actions/Condition can contain only one colon.";
    refuse(&one(r#""Action":"a:b:c","Resource":"*""#), colons);
    refuse(&one(r#""Action":"ec*:b","Resource":"*""#), "Vendor ec* is not valid");
    let format = r#"Resource web must be in ARN format or "*"."#;
    refuse(&one(r#""Action":"a:b","Resource":"web""#), format);
    let partition = r#"Partition "mars" is not valid for resource "arn:mars:ecs:a:b:c"."#;
    refuse(&one(r#""Action":"a:b","Resource":"arn:mars:ecs:a:b:c""#), partition);
    let fully = "Resource vendor must be fully qualified and cannot contain regexes.";
    refuse(&one(r#""Action":"a:b","Resource":"arn:aws:e*:a:b:c""#), fully);
    resources();
    let region = "IAM resource arn:aws:iam:r:1:role/x cannot contain region information.";
    refuse(&one(r#""Action":"a:b","Resource":"arn:aws:iam:r:1:role/x""#), region);
    let principal = "Policy document should not specify a principal.";
    refuse(&one(r#""Action":"a:b","Resource":"*","Principal":"*""#), principal);
    let conditioned =
        |condition: &str| one(&format!(r#""Action":"a:b","Resource":"*","Condition":{condition}"#));
    refuse(&conditioned(r#"{"StringIs":{"aws:username":"a"}}"#), SYNTAX);
    refuse(&conditioned(r#"{"StringIs":{}}"#), "");
    refuse(&conditioned(r#"{"Bool":{"aws:SecureTransport":true}}"#), "");
    refuse(&conditioned(r#"{"DateLessThan":{"aws:CurrentTime":"soon"}}"#), LEGACY);
    refuse(&conditioned(r#"{"NullIfExists":{"aws:username":"true"}}"#), SYNTAX);
    refuse(&conditioned(r#"{"StringEquals":{"username":"true"}}"#), "");
    refuse(&conditioned(r#"{"DateLessThan":{"a":[]}}"#), "");
    let twice = r#"{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"}"#;
    let unique = "Statement IDs (SID) in a single policy must be unique.";
    refuse(&format!("{twice},{twice}"), unique);
}

/// Which resources IAM takes, as it was seen to.
fn resources() {
    let refuse = |resource: &str, expected: &str| {
        let body = format!(r#"{{"Effect":"Allow","Action":"a:b","Resource":"{resource}"}}"#);
        check(Kind::Identity, &body, expected);
    };
    refuse("arn:aws:ecs", "");
    refuse("arn:aws:ecs:eu-west-1::cluster/*", "");
    refuse("arn:aws:ecs::web", LEGACY);
    refuse("arn:aws::web", LEGACY);
    refuse("arn:aws::::web", LEGACY);
    refuse("", r#"Resource  must be in ARN format or "*"."#);
    refuse("a:mars", r#"Partition "mars" is not valid for resource "arn:mars:*:*:*:*"."#);
    refuse("aws:s3:::web", r#"Partition "s3" is not valid for resource "arn:s3:::web:*"."#);
    refuse("arn:aws", "Resource vendor must be fully qualified and cannot contain regexes.");
    let region = "Resource arn:aws:s3:r::web can not contain region information.";
    refuse("arn:aws:s3:r::web", region);
    refuse("arn:aws:s3:r:1:accesspoint/web", "");
    // Before what is absent is told, what is there is looked at.
    let vendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
    check(Kind::Identity, r#"{"Effect":"Allow","Action":"run"}"#, vendor);
    check(Kind::Identity, r#"{"Effect":"Allow","Resource":"arn:aws:ecs::web"}"#, LEGACY);
}

#[test]
fn documents_of_trust() {
    let refuse = |statement: &str, expected: &str| check(Kind::Trust, statement, expected);
    let one = |rest: &str| format!(r#"{{"Effect":"Allow",{rest}}}"#);
    let service = r#""Principal":{"Service":"ecs-tasks.amazonaws.com"}"#;
    refuse(&one(&format!(r#"{service},"Action":"sts:AssumeRole""#)), "");
    let old =
        format!(r#"{{"Statement":{{"Effect":"Allow",{service},"Action":"sts:AssumeRole"}}}}"#);
    whole(Kind::Trust, &old, "");
    whole(Kind::Trust, "{", "This policy contains invalid Json");
    let resource = "Has prohibited field Resource.";
    refuse(&one(&format!(r#"{service},"Action":"sts:AssumeRole","Resource":"*""#)), resource);
    let actions = "Trust Policy statement actions can only be sts:AssumeRole, \
                   sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity";
    refuse(&one(&format!(r#"{service},"Action":"ecs:RunTask""#)), actions);
    let invalid = r#"Invalid principal in policy: "AWS":"arn:aws:iam::1:role/x""#;
    let body = r#""Principal":{"AWS":"arn:aws:iam::1:role/x"},"Action":"sts:AssumeRole""#;
    refuse(&one(body), invalid);
    let partial =
        r#""Principal":{"AWS":"arn:aws:iam::111122223333:role/*"},"Action":"sts:AssumeRole""#;
    let invalid = r#"Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:role/*""#;
    refuse(&one(partial), invalid);
}

#[test]
fn a_place_is_told() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\n    \"Effect\": \"Allow\",\n    \
                \"Action\": [\"ecs:RunTask\", \"stop\"],\n    \"Resource\": \"*\"\n  }]\n}";
    let malformed = Policy::parse(text, Kind::Identity).unwrap_err();
    assert_eq!(malformed.place, "Statement[1].Action");
    assert_eq!((malformed.position.line, malformed.position.column), (5, 31));
    assert!(malformed.located().ends_with("(Statement[1].Action, line 5, column 31)"));
    assert_eq!(size_of("{ \"a\" :\n1 }"), 7);
}

#[test]
fn what_lets_everybody_in_is_public() {
    let check = |statement: &str, expected: bool| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Action":"a:*","Resource":"*",{statement}}}]}}"#
        );
        let policy = Policy::parse(&text, Kind::Resource).unwrap();
        assert_eq!(policy.is_public(), expected, "{statement}");
    };
    let allow = r#""Effect":"Allow","Principal":"*""#;
    let when = |condition: &str| format!(r#"{allow},"Condition":{{{condition}}}"#);
    check(allow, true);
    check(r#""Effect":"Allow","Principal":{"AWS":["111122223333","*"]}"#, true);
    check(r#""Effect":"Allow","NotPrincipal":{"AWS":"111122223333"}"#, true);
    check(r#""Effect":"Allow","Principal":{"AWS":"111122223333"}"#, false);
    check(r#""Effect":"Deny","Principal":"*""#, false);
    check(&when(r#""StringEquals":{"aws:PrincipalAccount":"111122223333"}"#), false);
    check(&when(r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}"#), false);
    check(&when(r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#), false);
    // None of these keeps anybody out.
    check(&when(r#""StringNotEquals":{"aws:PrincipalAccount":"111122223333"}"#), true);
    check(&when(r#""StringEqualsIfExists":{"aws:PrincipalAccount":"111122223333"}"#), true);
    check(&when(r#""StringLike":{"aws:PrincipalArn":"*"}"#), true);
    check(&when(r#""StringLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}"#), false);
    check(&when(r#""StringLike":{"aws:userid":"AROAEXAMPLE:*"}"#), false);
    check(&when(r#""StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/app"}"#), true);
    check(&when(r#""StringLike":{"aws:userid":"*:app"}"#), true);
    check(&when(r#""StringEquals":{"aws:PrincipalArn":"${aws:PrincipalArn}"}"#), true);
    check(&when(r#""ArnEquals":{"aws:PrincipalArn":"${aws:PrincipalArn}"}"#), true);
    check(&when(r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/app"}"#), true);
    check(&when(r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::????????????:role/app"}"#), true);
    check(&when(r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#), true);
    check(&when(r#""Bool":{"aws:SecureTransport":"true"}"#), true);
}
