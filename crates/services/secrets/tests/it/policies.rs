//! Policies of secrets: what is kept, what is shown, what is refused.

use serde_json::{Value, json};

use crate::world::{ACCOUNT, World};

const TOKEN: &str = "11111111-1111-4111-8111-111111111111";

fn document(principal: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": principal,
        "Action": "secretsmanager:GetSecretValue", "Resource": "*" }] })
    .to_string()
}

async fn refused(world: &World, operation: &str, input: Value) -> (String, String) {
    let target = format!("secretsmanager.{operation}");
    let (status, body) = world.ask(&target, &input.to_string()).await;
    assert_eq!(status, 400, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (text("__type"), text("Message"))
}

#[tokio::test]
async fn a_secret_has_the_policy_that_was_put_last() {
    let (world, iam) = World::with_identities().await;
    let made = world
        .get("secretsmanager.CreateSecret", json!({ "Name": "db", "ClientRequestToken": TOKEN }))
        .await;
    let arn = made["ARN"].as_str().unwrap();
    let get = || world.get("secretsmanager.GetResourcePolicy", json!({ "SecretId": "db" }));
    assert_eq!(get().await, json!({ "ARN": arn, "Name": "db" }));
    assert_eq!(world.secrets.policy_of(arn), None);

    let own = document(&json!({ "AWS": ACCOUNT }));
    let put = json!({ "SecretId": "db", "ResourcePolicy": own });
    let told = world.get("secretsmanager.PutResourcePolicy", put).await;
    assert_eq!(told, json!({ "ARN": arn, "Name": "db" }));
    assert_eq!(get().await["ResourcePolicy"], json!(own));
    assert_eq!(world.secrets.policy_of(arn), Some((arn.to_owned(), own)));

    // Users and roles are kept by their ids, and shown by their ARNs.
    iam.ensure_service_role().await.unwrap();
    let role = format!(
        "arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    );
    let named = document(&json!({ "AWS": role }));
    let put = json!({ "SecretId": arn, "ResourcePolicy": named });
    world.get("secretsmanager.PutResourcePolicy", put).await;
    let (_, kept) = world.secrets.policy_of(arn).unwrap();
    assert!(kept.contains("\"AROA") && !kept.contains("role/"), "{kept}");
    assert_eq!(get().await["ResourcePolicy"], json!(named));

    world.get("secretsmanager.DeleteResourcePolicy", json!({ "SecretId": "db" })).await;
    assert_eq!(get().await, json!({ "ARN": arn, "Name": "db" }));
    assert_eq!(world.secrets.policy_of(arn), None);
}

#[tokio::test]
async fn what_is_no_policy_is_refused() {
    let (world, _) = World::with_identities().await;
    let create = json!({ "Name": "db", "ClientRequestToken": TOKEN });
    world.get("secretsmanager.CreateSecret", create).await;
    let put = |text: &str, blocks: bool| json!({ "SecretId": "db", "ResourcePolicy": text, "BlockPublicPolicy": blocks });
    let (code, text) = refused(&world, "PutResourcePolicy", put("{", false)).await;
    assert_eq!(code, "MalformedPolicyDocumentException");
    assert!(text.starts_with("This policy has invalid syntax."), "{text}");
    let nobody = format!("arn:aws:iam::{ACCOUNT}:user/nobody");
    let named = document(&json!({ "AWS": nobody }));
    let (code, text) = refused(&world, "PutResourcePolicy", put(&named, false)).await;
    assert_eq!(code, "MalformedPolicyDocumentException");
    let expected = format!("This resource policy contains an unsupported principal: {nobody}.");
    assert_eq!(text, expected);
    let public = document(&json!("*"));
    let (code, _) = refused(&world, "PutResourcePolicy", put(&public, true)).await;
    assert_eq!(code, "PublicPolicyException");
    world.get("secretsmanager.PutResourcePolicy", put(&public, false)).await;
    let missing = json!({ "SecretId": "none", "ResourcePolicy": public });
    let (code, _) = refused(&world, "PutResourcePolicy", missing).await;
    assert_eq!(code, "ResourceNotFoundException");

    let validate = |text: &str| {
        let input = json!({ "ResourcePolicy": text });
        let world = &world;
        async move { world.get("secretsmanager.ValidateResourcePolicy", input).await }
    };
    let told = validate(&document(&json!({ "AWS": ACCOUNT }))).await;
    assert_eq!(told, json!({ "PolicyValidationPassed": true, "ValidationErrors": [] }));
    let told = validate(&public).await;
    assert_eq!(told["PolicyValidationPassed"], false);
    assert_eq!(told["ValidationErrors"][0]["CheckName"], "BlockPublicPolicy");
}
