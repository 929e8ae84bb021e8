//! Policies of resources beside those of callers.

use std::sync::Arc;

use iam::{Iam, Resources, SessionRequest, UnfitPolicy};
use parking_lot::Mutex;
use serde_json::{Value, json};
use terms::{AccountId, Clock, Region, TaskArn};
use wire::sigv4::Credentials;
use wire::{Authenticator, Caller, Context, CredentialLookup, Decided, Denied};

use super::authorization::policy;
use super::plane::{Plane, credentials, element, plane};

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf";

/// Resources with policies, by their ARNs.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(String, String)>>>);

impl Resources for Kept {
    fn whole(&self, _: &AccountId, _: &Region, _: &str) -> Option<String> {
        None
    }

    fn tags(&self, _: &AccountId, _: &Region, _: &str) -> Option<Vec<(String, String)>> {
        None
    }

    fn policies(&self, arn: &str) -> Vec<(String, String)> {
        self.0.lock().iter().filter(|(of, _)| of == arn).cloned().collect()
    }

    fn roles_of(&self, _: &AccountId, _: &Region, _: &str) -> Vec<String> {
        Vec::new()
    }
}

impl Kept {
    /// Gives a resource this policy alone, as its service would.
    fn put(&self, iam: &Iam, arn: &str, statement: &Value) {
        let account = arn.split(':').nth(4).unwrap().parse().unwrap();
        let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        let kept = iam.policy_to_keep(&account, &text).unwrap();
        let mut all = self.0.lock();
        all.retain(|(of, _)| of != arn);
        all.push((arn.to_owned(), kept.text));
    }
}

async fn stage() -> (Plane, Kept) {
    let (plane, kept) = (plane().await, Kept::default());
    plane.world.iam.know_resources(Arc::new(kept.clone()));
    (plane, kept)
}

fn statement(effect: &str, principal: &Value) -> Value {
    json!({ "Effect": effect, "Principal": principal, "Resource": "*",
        "Action": "secretsmanager:GetSecretValue" })
}

fn caller(plane: &Plane, key: &Credentials) -> Arc<Caller> {
    match plane.world.find(&key.access_key_id, key.session_token.as_deref()) {
        CredentialLookup::Found { caller, .. } => caller,
        _ => panic!("the key is known"),
    }
}

/// What is decided of a look at the secret.
fn reads(plane: &Plane, key: &Credentials, arn: &str) -> Result<Decided, Denied> {
    let context = Context {
        caller: caller(plane, key),
        request_id: terms::Uuid::from_random([0; 16]),
        now: plane.world.clock.now(),
        service: "secretsmanager",
        operation: "GetSecretValue",
        source: None,
        user_agent: None,
        session_token: None,
        endpoint: "http://plane.test".to_owned(),
    };
    plane.world.iam.authorize(&context, &|| json!({ "SecretId": arn }))
}

fn refusal(plane: &Plane, key: &Credentials, arn: &str) -> String {
    reads(plane, key, arn).expect_err("it is refused").message
}

#[tokio::test]
async fn either_side_lets_in_and_either_keeps_out() {
    let (plane, kept) = stage().await;
    let (ada, bob) = (plane.user("ada", "").await, plane.user("bob", "").await);
    let all = policy("Allow", "secretsmanager:*", "*");
    let eve = plane.user("eve", &all).await;
    let name = |name: &str| format!("arn:aws:iam::000000000000:user/{name}");
    let lets = |principal: Value| {
        kept.put(&plane.world.iam, SECRET, &statement("Allow", &principal));
    };
    lets(json!({ "AWS": name("ada") }));
    let decided = reads(&plane, &ada, SECRET).unwrap();
    assert_eq!(decided.by, Some(format!("{SECRET}#1")));
    let because =
        "because no identity-based policy allows the secretsmanager:GetSecretValue action";
    assert!(refusal(&plane, &bob, SECRET).ends_with(because));
    assert!(reads(&plane, &eve, SECRET).is_ok(), "by what she may herself");
    // The account is named: its own policies say who.
    lets(json!({ "AWS": "000000000000" }));
    assert!(refusal(&plane, &ada, SECRET).ends_with(because));

    // A denial is one whoever allows; and it may ask for keys that no policy of the caller's asks for.
    let mut denies = statement("Deny", &json!("*"));
    denies["Condition"] = json!({ "StringNotEquals": { "aws:username": "ada" } });
    let both = json!([denies, statement("Allow", &json!({ "AWS": name("ada") }))]);
    kept.put(&plane.world.iam, SECRET, &both);
    assert!(reads(&plane, &ada, SECRET).is_ok());
    let denied = refusal(&plane, &eve, SECRET);
    assert!(denied.ends_with("with an explicit deny in a resource-based policy"), "{denied}");

    // Who takes the name of one that was named is somebody else.
    lets(json!({ "AWS": name("ada") }));
    let id = ada.access_key_id.as_str();
    plane.done("DeleteAccessKey", &[("UserName", "ada"), ("AccessKeyId", id)]).await;
    plane.done("DeleteUser", &[("UserName", "ada")]).await;
    let other = plane.user("ada", "").await;
    assert!(refusal(&plane, &other, SECRET).ends_with(because));
    let text = kept.policies(SECRET)[0].1.clone();
    let shown = plane.world.iam.policy_to_show(&"000000000000".parse().unwrap(), &text);
    assert!(shown.contains("\"AIDA"), "{shown}");
}

#[tokio::test]
async fn a_session_is_let_in_as_far_as_its_own_policies_go() {
    let (plane, kept) = stage().await;
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}"#;
    plane.done("CreateRole", &[("RoleName", "app"), ("AssumeRolePolicyDocument", trust)]).await;
    let arn = "arn:aws:iam::000000000000:role/app";
    kept.put(&plane.world.iam, SECRET, &statement("Allow", &json!({ "AWS": arn })));
    let base = [("RoleArn", arn), ("RoleSessionName", "s1")];
    let made = plane.done("AssumeRole", &base).await;
    assert!(reads(&plane, &super::authorization::session(&made), SECRET).is_ok());
    let limit = policy("Allow", "ecs:*", "*");
    let limited = [base[0], base[1], ("Policy", limit.as_str())];
    let made = plane.done("AssumeRole", &limited).await;
    let refused = refusal(&plane, &super::authorization::session(&made), SECRET);
    let because = "because no session policy allows the secretsmanager:GetSecretValue action";
    assert!(refused.ends_with(because), "{refused}");
    assert!(element(&made, "Arn").ends_with("assumed-role/app/s1"));
}

#[tokio::test]
async fn a_role_that_iam_does_not_know_is_nobody() {
    let (plane, kept) = stage().await;
    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task: TaskArn = task.parse().unwrap();
    let role_arn = "arn:aws:iam::000000000000:role/app";
    let request = SessionRequest { role_arn, task: &task, is_execution: false };
    let now = plane.world.clock.now();
    let made = plane.world.iam.sessions().assume(&request, &*plane.world.ids, now);
    let key = credentials(&made.access_key_id, made.secret.expose(), Some(&made.session_token));
    kept.put(&plane.world.iam, SECRET, &statement("Allow", &json!("*")));
    let refused = refusal(&plane, &key, SECRET);
    assert!(refused.contains("because IAM has no role app ("), "{refused}");
}

#[tokio::test]
async fn across_accounts_both_sides_must_let_in() {
    let (plane, kept) = stage().await;
    let theirs = "arn:aws:secretsmanager:us-east-1:444455556666:secret:db-AbCdEf";
    let all = policy("Allow", "secretsmanager:*", "*");
    let (ada, bob) = (plane.user("ada", &all).await, plane.user("bob", "").await);
    let because =
        "because no resource-based policy allows the secretsmanager:GetSecretValue action";
    assert!(refusal(&plane, &ada, theirs).ends_with(because));
    let ours = json!({ "AWS": "000000000000" });
    kept.put(&plane.world.iam, theirs, &statement("Allow", &ours));
    assert!(reads(&plane, &ada, theirs).is_ok());
    let because =
        "because no identity-based policy allows the secretsmanager:GetSecretValue action";
    assert!(refusal(&plane, &bob, theirs).ends_with(because));
    kept.put(&plane.world.iam, theirs, &statement("Deny", &ours));
    let denied = refusal(&plane, &ada, theirs);
    assert!(denied.ends_with("with an explicit deny in a resource-based policy"), "{denied}");
}

#[tokio::test]
async fn what_is_no_policy_of_a_resource_is_refused() {
    let plane = plane().await;
    let account = "000000000000".parse().unwrap();
    let keep = |text: &str| plane.world.iam.policy_to_keep(&account, text);
    assert!(matches!(keep("{"), Err(UnfitPolicy::Syntax(_))));
    let without = policy("Allow", "secretsmanager:*", "*");
    assert!(matches!(keep(&without), Err(UnfitPolicy::Syntax(_))));
    let nobody = "arn:aws:iam::000000000000:role/none";
    let names = |principal: Value| {
        json!({ "Version": "2012-10-17", "Statement": statement("Allow", &principal) }).to_string()
    };
    let unknown = keep(&names(json!({ "AWS": nobody })));
    assert_eq!(unknown, Err(UnfitPolicy::Principal(nobody.to_owned())));
    let public = keep(&names(json!("*"))).unwrap();
    assert!(public.is_public);
    assert!(!keep(&names(json!({ "AWS": "000000000000" }))).unwrap().is_public);
}
