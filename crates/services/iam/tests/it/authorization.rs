//! Who may do what, at the edge: users, roles' sessions, tasks.

use std::time::Duration;

use iam::SessionRequest;
use terms::Clock;

use super::plane::{Plane, credentials, element, plane, refusal};

const NO_POLICY: &str = "because no identity-based policy allows the";

pub(crate) fn policy(effect: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}}}"#
    )
}

fn trust(principal: &str, more: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":["sts:AssumeRole","sts:TagSession"]{more}}}}}"#
    )
}

async fn role(plane: &Plane, name: &str, trust: &str, policy: &str) {
    let members = [("RoleName", name), ("AssumeRolePolicyDocument", trust)];
    plane.done("CreateRole", &members).await;
    let members = [("RoleName", name), ("PolicyName", "p"), ("PolicyDocument", policy)];
    plane.done("PutRolePolicy", &members).await;
}

#[tokio::test]
async fn a_user_may_do_what_its_policies_say() {
    let plane = plane().await;
    let own = policy("Allow", "iam:*AccessKey*", "arn:aws:iam::000000000000:user/${aws:username}");
    let ada = plane.user("ada", &own).await;
    let who = plane.ask(&ada, "GetCallerIdentity", &[]).await;
    assert_eq!(element(&who.1, "Arn"), "arn:aws:iam::000000000000:user/ada");
    assert_eq!(plane.ask(&ada, "ListAccessKeys", &[]).await.0, 200, "its own");
    assert_eq!(plane.ask(&ada, "ListAccessKeys", &[("UserName", "ada")]).await.0, 200);
    plane.done("CreateUser", &[("UserName", "bob")]).await;
    let others = refusal(plane.ask(&ada, "ListAccessKeys", &[("UserName", "bob")]).await);
    let text = format!(
        "403 AccessDenied: User: arn:aws:iam::000000000000:user/ada is not authorized to perform: \
         iam:ListAccessKeys on resource: arn:aws:iam::000000000000:user/bob {NO_POLICY} \
         iam:ListAccessKeys action"
    );
    assert_eq!(others, text);
    // Whether there is such a user is not told.
    let nobody = refusal(plane.ask(&ada, "GetUser", &[("UserName", "nobody")]).await);
    assert!(nobody.starts_with("403 AccessDenied"), "{nobody}");

    // A change works at once; a group's policies are its members'.
    plane.done("CreateGroup", &[("GroupName", "ops")]).await;
    let all = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";
    plane.done("AttachGroupPolicy", &[("GroupName", "ops"), ("PolicyArn", all)]).await;
    plane.done("AddUserToGroup", &[("GroupName", "ops"), ("UserName", "ada")]).await;
    assert_eq!(plane.ask(&ada, "GetUser", &[("UserName", "bob")]).await.0, 200);
    let never = policy("Deny", "iam:GetUser", "*");
    let deny = [("UserName", "ada"), ("PolicyName", "d"), ("PolicyDocument", never.as_str())];
    plane.done("PutUserPolicy", &deny).await;
    let denied = refusal(plane.ask(&ada, "GetUser", &[("UserName", "bob")]).await);
    assert!(denied.ends_with("with an explicit deny in an identity-based policy"), "{denied}");

    // A key that is off, and one whose user is gone, are nobody's.
    let id = ada.access_key_id.as_str();
    let off = [("UserName", "ada"), ("AccessKeyId", id), ("Status", "Inactive")];
    plane.done("UpdateAccessKey", &off).await;
    let off = refusal(plane.ask(&ada, "GetCallerIdentity", &[]).await);
    assert!(off.starts_with("403 InvalidClientTokenId"), "{off}");
}

#[tokio::test]
async fn a_boundary_limits() {
    let plane = plane().await;
    let ada = plane.user("ada", &policy("Allow", "*", "*")).await;
    assert_eq!(plane.ask(&ada, "ListUsers", &[]).await.0, 200);
    let boundary = "arn:aws:iam::aws:policy/AmazonECS_FullAccess";
    let members = [("UserName", "ada"), ("PermissionsBoundary", boundary)];
    plane.done("PutUserPermissionsBoundary", &members).await;
    let limited = refusal(plane.ask(&ada, "ListUsers", &[]).await);
    let because = "because no permissions boundary allows the iam:ListUsers action";
    assert!(limited.ends_with(because), "{limited}");
    plane.done("DeleteUserPermissionsBoundary", &[("UserName", "ada")]).await;
    assert_eq!(plane.ask(&ada, "ListUsers", &[]).await.0, 200);
}

#[tokio::test]
async fn a_role_is_assumed_as_its_trust_says() {
    let plane = plane().await;
    let ada = plane.user("ada", "").await;
    let external = r#","Condition":{"StringEquals":{"sts:ExternalId":"e1"}}"#;
    let trusted = trust(r#"{"AWS":"arn:aws:iam::000000000000:user/ada"}"#, external);
    role(&plane, "app", &trusted, &policy("Allow", "iam:List*", "*")).await;
    let arn = "arn:aws:iam::000000000000:role/app";
    let base = [("RoleArn", arn), ("RoleSessionName", "s1")];
    let without = refusal(plane.ask(&ada, "AssumeRole", &base).await);
    let text = format!(
        "403 AccessDenied: User: arn:aws:iam::000000000000:user/ada is not authorized to perform: \
         sts:AssumeRole on resource: {arn}"
    );
    assert_eq!(without, text);
    let absent = [("RoleArn", "arn:aws:iam::000000000000:role/none"), base[1]];
    let absent = refusal(plane.ask(&ada, "AssumeRole", &absent).await);
    assert!(absent.ends_with("on resource: arn:aws:iam::000000000000:role/none"), "{absent}");

    let with = [base[0], base[1], ("ExternalId", "e1")];
    let (status, made) = plane.ask(&ada, "AssumeRole", &with).await;
    assert_eq!(status, 200, "{made}");
    let session = session(&made);
    let who = plane.ask(&session, "GetCallerIdentity", &[]).await.1;
    assert_eq!(element(&who, "Arn"), "arn:aws:sts::000000000000:assumed-role/app/s1");
    assert_eq!(plane.ask(&session, "ListUsers", &[]).await.0, 200);
    let beyond = refusal(plane.ask(&session, "GetUser", &[("UserName", "ada")]).await);
    assert!(beyond.contains("assumed-role/app/s1 is not authorized"), "{beyond}");

    let limit = policy("Allow", "iam:ListRoles", "*");
    let limited = [with[0], with[1], with[2], ("Policy", limit.as_str())];
    let (_, made) = plane.ask(&ada, "AssumeRole", &limited).await;
    let narrow = self::session(&made);
    assert_eq!(plane.ask(&narrow, "ListRoles", &[]).await.0, 200);
    let refused = refusal(plane.ask(&narrow, "ListUsers", &[]).await);
    assert!(refused.ends_with("because no session policy allows the iam:ListUsers action"));

    let long = [with[0], with[1], with[2], ("DurationSeconds", "3601")];
    let long = refusal(plane.ask(&ada, "AssumeRole", &long).await);
    assert!(long.contains("exceeds the MaxSessionDuration set for this role."), "{long}");

    // The session ends with its time, and with its role.
    plane.world.clock.advance(Duration::from_secs(3600));
    let over = refusal(plane.ask(&session, "ListUsers", &[]).await);
    assert!(over.starts_with("403 ExpiredToken"), "{over}");
    let (_, made) = plane.ask(&ada, "AssumeRole", &with).await;
    let last = self::session(&made);
    plane.done("DeleteRolePolicy", &[("RoleName", "app"), ("PolicyName", "p")]).await;
    plane.done("DeleteRole", &[("RoleName", "app")]).await;
    role(&plane, "app", &trusted, &policy("Allow", "*", "*")).await;
    let orphan = refusal(plane.ask(&last, "ListUsers", &[]).await);
    assert!(orphan.starts_with("403 InvalidClientTokenId"), "{orphan}");
}

pub(crate) fn session(made: &str) -> wire::sigv4::Credentials {
    let of = |name| element(made, name);
    credentials(&of("AccessKeyId"), &of("SecretAccessKey"), Some(&of("SessionToken")))
}

#[tokio::test]
async fn tags_of_a_session_count_and_go_on() {
    let plane = plane().await;
    let account = r#"{"AWS":"000000000000"}"#;
    let tagged = policy("Allow", "iam:ListUsers", "*")
        .replace("}}", r#","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"b"}}}}"#);
    role(&plane, "app", &trust(account, ""), &tagged).await;
    let base = [("RoleArn", "arn:aws:iam::000000000000:role/app"), ("RoleSessionName", "s1")];
    let made = plane.done("AssumeRole", &base).await;
    assert_eq!(plane.ask(&session(&made), "ListUsers", &[]).await.0, 403);
    let tags = [base[0], base[1], ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "b")];
    let made = plane.done("AssumeRole", &tags).await;
    assert_eq!(plane.ask(&session(&made), "ListUsers", &[]).await.0, 200);
    let unknown = [base[0], base[1], ("TransitiveTagKeys.member.1", "x")];
    let unknown = plane.refused("AssumeRole", &unknown).await;
    assert!(
        unknown.starts_with("400 InvalidParameterValue: The specified transitive"),
        "{unknown}"
    );
}

/// Credentials of a task's role, or of its execution role.
fn of_task(plane: &Plane, is_execution: bool) -> wire::sigv4::Credentials {
    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task = task.parse().unwrap();
    let role_arn = "arn:aws:iam::000000000000:role/app";
    let request = SessionRequest { role_arn, task: &task, is_execution };
    let now = plane.world.clock.now();
    let made = plane.world.iam.sessions().assume(&request, &*plane.world.ids, now);
    credentials(&made.access_key_id, made.secret.expose(), Some(&made.session_token))
}

#[tokio::test]
async fn a_task_may_do_what_its_role_says_once_it_has_a_record() {
    let plane = plane().await;
    for is_execution in [false, true] {
        let refused = refusal(plane.ask(&of_task(&plane, is_execution), "ListUsers", &[]).await);
        let because = "on resource: * because IAM has no role app (";
        assert!(refused.contains(because), "{refused}");
    }
    let own = of_task(&plane, false);
    assert_eq!(plane.ask(&own, "GetCallerIdentity", &[]).await.0, 200, "who it is may be asked");

    let service = trust(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, "");
    role(&plane, "app", &service, &policy("Allow", "iam:ListRoles", "*")).await;
    assert_eq!(plane.ask(&own, "ListRoles", &[]).await.0, 200);
    let refused = refusal(plane.ask(&own, "ListUsers", &[]).await);
    assert!(refused.contains(NO_POLICY), "{refused}");

    // Deleting a role opens nothing.
    plane.done("DeleteRolePolicy", &[("RoleName", "app"), ("PolicyName", "p")]).await;
    plane.done("DeleteRole", &[("RoleName", "app")]).await;
    let gone = refusal(plane.ask(&own, "ListRoles", &[]).await);
    assert!(gone.contains("because the role app was deleted"), "{gone}");
}

#[tokio::test]
async fn an_open_plane_lets_unknown_roles_through_and_deleted_ones_not() {
    let plane = plane().await;
    plane.world.iam.open_unknown_roles();
    let own = of_task(&plane, false);
    assert_eq!(plane.ask(&own, "ListUsers", &[]).await.0, 200);
    let service = trust(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, "");
    role(&plane, "app", &service, &policy("Allow", "iam:ListRoles", "*")).await;
    assert_eq!(plane.ask(&own, "ListUsers", &[]).await.0, 403);
    plane.done("DeleteRolePolicy", &[("RoleName", "app"), ("PolicyName", "p")]).await;
    plane.done("DeleteRole", &[("RoleName", "app")]).await;
    assert_eq!(plane.ask(&own, "ListUsers", &[]).await.0, 403);
}

#[tokio::test]
async fn a_task_has_no_role_that_does_not_trust_tasks() {
    let plane = plane().await;
    let all = policy("Allow", "*", "*");
    role(&plane, "app", &trust(r#"{"Service":"ec2.amazonaws.com"}"#, ""), &all).await;
    let own = of_task(&plane, false);
    let refused = refusal(plane.ask(&own, "ListUsers", &[]).await);
    let because = "because the role app does not trust ecs-tasks.amazonaws.com (";
    assert!(refused.contains(because), "{refused}");
    // As AWS's documentation has trust narrowed: to an account, and to the tasks of one.
    let of = |arn: &str| {
        let condition = format!(
            r#","Condition":{{"ArnLike":{{"aws:SourceArn":"{arn}"}},
            "StringEquals":{{"aws:SourceAccount":"000000000000"}}}}"#
        );
        trust(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, &condition)
    };
    for (arn, expected) in [
        ("arn:aws:ecs:us-east-1:000000000000:*", 200),
        ("arn:aws:ecs:us-east-1:111122223333:*", 403),
    ] {
        let trust = of(arn);
        let members = [("RoleName", "app"), ("PolicyDocument", trust.as_str())];
        plane.done("UpdateAssumeRolePolicy", &members).await;
        assert_eq!(plane.ask(&own, "ListUsers", &[]).await.0, expected, "{arn}");
    }
}
