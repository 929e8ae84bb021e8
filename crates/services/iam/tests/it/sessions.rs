//! Short-lived credentials of users: `GetSessionToken`, `GetFederationToken`; what refusals tell.

use std::time::Duration;

use super::authorization::{policy, session};
use super::plane::{Plane, element, plane, refusal};

#[tokio::test]
async fn a_users_session_is_the_user_for_a_while() {
    let plane = plane().await;
    let ada = plane.user("ada", &policy("Allow", "ecr:*", "*")).await;
    let made = plane.ask(&ada, "GetSessionToken", &[("DurationSeconds", "900")]).await;
    assert_eq!(made.0, 200, "{made:?}");
    let own = session(&made.1);
    assert!(own.access_key_id.starts_with("ASIA"));
    let who = plane.ask(&own, "GetCallerIdentity", &[]).await.1;
    assert_eq!(element(&who, "Arn"), "arn:aws:iam::000000000000:user/ada");
    assert!(element(&who, "UserId").starts_with("AIDA"));

    // As AWS has it: no IAM without a second factor, and of STS only roles.
    let none = refusal(plane.ask(&own, "ListUsers", &[]).await);
    assert!(none.starts_with("403 InvalidClientTokenId: The security token"), "{none}");
    let again = refusal(plane.ask(&own, "GetSessionToken", &[]).await);
    assert_eq!(again, "403 AccessDenied: Cannot call GetSessionToken with session credentials");
    let again = refusal(plane.ask(&own, "GetFederationToken", &[("Name", "xx")]).await);
    assert_eq!(again, "403 AccessDenied: Cannot call GetFederationToken with session credentials");
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"sts:AssumeRole"}}}}"#,
        "arn:aws:iam::000000000000:user/ada"
    );
    let role = [("RoleName", "app"), ("AssumeRolePolicyDocument", trust.as_str())];
    plane.done("CreateRole", &role).await;
    let assume = [("RoleArn", "arn:aws:iam::000000000000:role/app"), ("RoleSessionName", "s1")];
    assert_eq!(plane.ask(&own, "AssumeRole", &assume).await.0, 200);

    let short = refusal(plane.ask(&ada, "GetSessionToken", &[("DurationSeconds", "899")]).await);
    assert!(short.starts_with("400 ValidationError"), "{short}");
    let factor = [("SerialNumber", "arn:aws:iam::000000000000:mfa/ada"), ("TokenCode", "123456")];
    let factor = refusal(plane.ask(&ada, "GetSessionToken", &factor).await);
    assert!(factor.starts_with("403 AccessDenied: MultiFactorAuthentication failed"), "{factor}");

    plane.world.clock.advance(Duration::from_secs(900));
    let over = refusal(plane.ask(&own, "GetCallerIdentity", &[]).await);
    assert!(over.starts_with("403 ExpiredToken"), "{over}");

    // With the user, its sessions end.
    let made = plane.ask(&ada, "GetSessionToken", &[]).await.1;
    let last = session(&made);
    let key = [("UserName", "ada"), ("AccessKeyId", ada.access_key_id.as_str())];
    plane.done("DeleteAccessKey", &key).await;
    plane.done("DeleteUserPolicy", &[("UserName", "ada"), ("PolicyName", "p")]).await;
    plane.done("DeleteUser", &[("UserName", "ada")]).await;
    let gone = refusal(plane.ask(&last, "GetCallerIdentity", &[]).await);
    assert!(gone.starts_with("403 InvalidClientTokenId"), "{gone}");
}

#[tokio::test]
async fn the_administrator_has_sessions_too() {
    let plane = plane().await;
    let made = plane.done("GetSessionToken", &[]).await;
    let own = session(&made);
    let who = plane.ask(&own, "GetCallerIdentity", &[]).await.1;
    assert_eq!(element(&who, "Arn"), "arn:aws:iam::000000000000:user/administrator");
    let none = refusal(plane.ask(&own, "ListUsers", &[]).await);
    assert!(none.starts_with("403 InvalidClientTokenId"), "{none}");
    // A role's session and a task's have none of their own.
    let account = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}"#;
    let role = [("RoleName", "app"), ("AssumeRolePolicyDocument", account)];
    plane.done("CreateRole", &role).await;
    let assume = [("RoleArn", "arn:aws:iam::000000000000:role/app"), ("RoleSessionName", "s1")];
    let of_role = session(&plane.done("AssumeRole", &assume).await);
    let refused = refusal(plane.ask(&of_role, "GetSessionToken", &[]).await);
    assert_eq!(refused, "403 AccessDenied: Cannot call GetSessionToken with session credentials");
}

async fn federated(
    plane: &Plane,
    maker: &wire::sigv4::Credentials,
    more: &[(&str, &str)],
) -> String {
    let members = [&[("Name", "guest")][..], more].concat();
    let (status, made) = plane.ask(maker, "GetFederationToken", &members).await;
    assert_eq!(status, 200, "{made}");
    made
}

#[tokio::test]
async fn a_federated_user_may_do_what_both_allow() {
    let plane = plane().await;
    let both = policy("Allow", "sts:*", "*").replace(r#""sts:*""#, r#"["sts:*","ec2:*"]"#);
    let ada = plane.user("ada", &both).await;
    let limit = policy("Allow", "ec2:DescribeVpcs", "*");
    let made = federated(&plane, &ada, &[("Policy", &limit)]).await;
    let arn = "arn:aws:sts::000000000000:federated-user/guest";
    assert_eq!(element(&made, "Arn"), arn);
    assert_eq!(element(&made, "FederatedUserId"), "000000000000:guest");
    assert!(element(&made, "PackedPolicySize").parse::<u32>().is_ok());
    let guest = session(&made);
    let who = plane.ask(&guest, "GetCallerIdentity", &[]).await.1;
    assert_eq!(
        (element(&who, "Arn"), element(&who, "UserId")),
        (arn.to_owned(), "000000000000:guest".to_owned())
    );
    assert_eq!(plane.ask(&guest, "DescribeVpcs", &[]).await.0, 200);
    let beyond = refusal(plane.ask(&guest, "DescribeSubnets", &[]).await);
    assert!(
        beyond.contains("because no session policy allows the ec2:DescribeSubnets"),
        "{beyond}"
    );
    let iam = refusal(plane.ask(&guest, "ListUsers", &[]).await);
    assert!(iam.starts_with("403 InvalidClientTokenId"), "{iam}");
    // Without policies of its own, nothing at all.
    let bare = session(&federated(&plane, &ada, &[]).await);
    let nothing = refusal(plane.ask(&bare, "DescribeVpcs", &[]).await);
    assert!(nothing.contains("no session policy allows"), "{nothing}");
    // The maker must be allowed to.
    let bob = plane.user("bob", &policy("Allow", "ec2:*", "*")).await;
    let refused = refusal(plane.ask(&bob, "GetFederationToken", &[("Name", "guest")]).await);
    assert!(refused.contains("sts:GetFederationToken on resource: arn:aws:sts::"), "{refused}");
    // The administrator's guest is limited by its own policies alone.
    let of_root = federated(&plane, &plane.administrator.clone(), &[("Policy", &limit)]).await;
    assert_eq!(plane.ask(&session(&of_root), "DescribeVpcs", &[]).await.0, 200);
}

#[tokio::test]
async fn a_refusals_message_is_read_by_who_may() {
    let plane = plane().await;
    let ada = plane.user("ada", &policy("Deny", "ec2:*", "*")).await;
    let refused = refusal(plane.ask(&ada, "DescribeVpcs", &[]).await);
    assert!(refused.starts_with("403 UnauthorizedOperation: You are not authorized"), "{refused}");
    let (_, encoded) =
        refused.split_once("Encoded authorization failure message: ").expect("it carries one");
    let told = plane.done("DecodeAuthorizationMessage", &[("EncodedMessage", encoded)]).await;
    let told: serde_json::Value =
        serde_json::from_str(&element(&told, "DecodedMessage")).expect("it is JSON");
    assert_eq!((&told["allowed"], &told["explicitDeny"]), (&false.into(), &true.into()));
    let about = &told["context"];
    assert_eq!(about["action"], "ec2:DescribeVpcs");
    assert_eq!(about["principal"]["arn"], "arn:aws:iam::000000000000:user/ada");
    assert_eq!(told["matchedStatements"]["items"][0]["policy"], "p");
    // Who is refused may not read why.
    let own = plane.ask(&ada, "DecodeAuthorizationMessage", &[("EncodedMessage", encoded)]).await;
    assert!(refusal(own).contains("sts:DecodeAuthorizationMessage on resource: *"));
    for wrong in [&encoded[1..], "AAAA", &format!("{encoded}A")] {
        let told = plane.refused("DecodeAuthorizationMessage", &[("EncodedMessage", wrong)]).await;
        assert_eq!(told, "400 InvalidAuthorizationMessageException: Message is not valid");
    }
}
