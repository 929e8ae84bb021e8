//! Users, groups, roles and policies on the wire: what is kept, what is refused and how.

use super::plane::{Plane, element, plane};

const ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

fn trust(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#
    )
}

async fn role(plane: &Plane, name: &str, principal: &str) -> String {
    let document = trust(principal);
    let members = [("RoleName", name), ("AssumeRolePolicyDocument", document.as_str())];
    plane.done("CreateRole", &members).await
}

#[tokio::test]
async fn users_are_made_named_and_deleted_when_bare() {
    let plane = plane().await;
    let made = plane.done("CreateUser", &[("UserName", "Ada"), ("Path", "/team/")]).await;
    assert_eq!(element(&made, "Arn"), "arn:aws:iam::000000000000:user/team/Ada");
    let id = element(&made, "UserId");
    assert!(id.starts_with("AIDA") && id.len() == 21, "{id}");
    let taken = plane.refused("CreateUser", &[("UserName", "ada")]).await;
    assert_eq!(taken, "409 EntityAlreadyExists: User with name ada already exists.");
    let characters = "It must contain only alphanumeric characters and/or the following: +=,.@_-";
    let wrong = plane.refused("CreateUser", &[("UserName", "a/b")]).await;
    let sentence = "400 ValidationError: The specified value for userName is invalid.";
    assert_eq!(wrong, format!("{sentence} {characters}"));
    for (path, name) in [("/a b/", "UserName"), ("team", "UserName"), ("team", "GroupName")] {
        let operation = if name == "UserName" { "CreateUser" } else { "CreateGroup" };
        let wrong = plane.refused(operation, &[(name, "x"), ("Path", path)]).await;
        let sentence =
            "400 ValidationError: The specified value for path is invalid. It must begin";
        assert!(wrong.starts_with(sentence), "{wrong}");
    }
    let missing = plane.refused("GetUser", &[("UserName", "bob")]).await;
    assert_eq!(missing, "404 NoSuchEntity: The user with name bob cannot be found.");

    let key = plane.done("CreateAccessKey", &[("UserName", "Ada")]).await;
    let key = element(&key, "AccessKeyId");
    plane.done("CreateAccessKey", &[("UserName", "Ada")]).await;
    let third = plane.refused("CreateAccessKey", &[("UserName", "Ada")]).await;
    assert_eq!(third, "409 LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2");
    let told = plane.done("GetAccessKeyInfo", &[("AccessKeyId", &key)]).await;
    assert_eq!(element(&told, "Account"), "000000000000");

    plane.done("UpdateUser", &[("UserName", "Ada"), ("NewUserName", "Grace")]).await;
    let shown = plane.done("GetUser", &[("UserName", "Grace")]).await;
    assert_eq!(element(&shown, "UserId"), id, "a name is not who one is");
    let bound = plane.refused("DeleteUser", &[("UserName", "Grace")]).await;
    assert_eq!(bound, "409 DeleteConflict: Cannot delete entity, must delete access keys first.");
    let listed = plane.done("ListAccessKeys", &[("UserName", "Grace")]).await;
    for id in listed.split("<AccessKeyId>").skip(1).map(|rest| &rest[..20]) {
        plane.done("DeleteAccessKey", &[("UserName", "Grace"), ("AccessKeyId", id)]).await;
    }
    plane.done("DeleteUser", &[("UserName", "Grace")]).await;
}

#[tokio::test]
async fn the_administrator_can_be_named_and_nobody_else_has_its_name() {
    let plane = plane().await;
    let taken = plane.refused("CreateUser", &[("UserName", "Administrator")]).await;
    assert_eq!(taken, "409 EntityAlreadyExists: User with name Administrator already exists.");
    plane.done("CreateUser", &[("UserName", "ada")]).await;
    let rename = [("UserName", "ada"), ("NewUserName", "administrator")];
    let taken = plane.refused("UpdateUser", &rename).await;
    assert_eq!(taken, "409 EntityAlreadyExists: Entity with name administrator already exists.");
    plane.done("CreateGroup", &[("GroupName", "administrator")]).await;

    let own = ("UserName", "administrator");
    let arn = "arn:aws:iam::000000000000:user/administrator";
    assert_eq!(element(&plane.done("GetUser", &[own]).await, "Arn"), arn);
    let made = plane.done("CreateAccessKey", &[own]).await;
    let key = element(&made, "AccessKeyId");
    assert!(plane.done("ListAccessKeys", &[own]).await.contains(&key));
    plane.done("DeleteAccessKey", &[own, ("AccessKeyId", &key)]).await;
    assert!(!plane.done("ListAccessKeys", &[own]).await.contains(&key));
    for meant in [&[own][..], &[]] {
        plane.done("ListMFADevices", meant).await;
        let none = plane.refused("GetLoginProfile", meant).await;
        let expected = "404 NoSuchEntity: Login Profile for User administrator cannot be found.";
        assert_eq!(none, expected);
    }
}

#[tokio::test]
async fn groups_hold_users_and_keep_them_when_renamed() {
    let plane = plane().await;
    plane.done("CreateUser", &[("UserName", "ada")]).await;
    plane.done("CreateGroup", &[("GroupName", "Ops")]).await;
    let both = [("GroupName", "ops"), ("UserName", "ada")];
    plane.done("AddUserToGroup", &both).await;
    plane.done("AddUserToGroup", &both).await;
    let full = plane.refused("DeleteGroup", &[("GroupName", "Ops")]).await;
    assert!(full.contains("must remove users from group first."), "{full}");
    plane.done("UpdateGroup", &[("GroupName", "Ops"), ("NewGroupName", "Crew")]).await;
    let shown = plane.done("GetGroup", &[("GroupName", "Crew")]).await;
    assert!(shown.contains("<UserName>ada</UserName>"), "{shown}");
    let of = plane.done("ListGroupsForUser", &[("UserName", "ada")]).await;
    assert!(of.contains("<GroupName>Crew</GroupName>"), "{of}");
    plane.done("RemoveUserFromGroup", &[("GroupName", "Crew"), ("UserName", "ada")]).await;
    plane.done("DeleteGroup", &[("GroupName", "Crew")]).await;
}

#[tokio::test]
async fn a_trust_policy_names_who_is_there() {
    let plane = plane().await;
    let nobody = r#"{"AWS":"arn:aws:iam::000000000000:user/ada"}"#;
    let document = trust(nobody);
    let members = [("RoleName", "app"), ("AssumeRolePolicyDocument", document.as_str())];
    let refused = plane.refused("CreateRole", &members).await;
    let text = "400 MalformedPolicyDocument: Invalid principal in policy: \
                \"AWS\":\"arn:aws:iam::000000000000:user/ada\"";
    assert_eq!(refused, text);
    let made = plane.done("CreateUser", &[("UserName", "ada")]).await;
    let id = element(&made, "UserId");
    role(&plane, "app", nobody).await;
    let shown = plane.done("GetRole", &[("RoleName", "app")]).await;
    assert!(element(&shown, "AssumeRolePolicyDocument").contains("user%2Fada"), "{shown}");
    assert_eq!(element(&shown, "MaxSessionDuration"), "3600");

    // Who is gone is shown by its id, and whoever takes its name is another.
    plane.done("DeleteUser", &[("UserName", "ada")]).await;
    plane.done("CreateUser", &[("UserName", "ada")]).await;
    let shown = plane.done("GetRole", &[("RoleName", "app")]).await;
    assert!(element(&shown, "AssumeRolePolicyDocument").contains(&id), "{shown}");

    let wrong = trust(r#"{"Service":"ecs-tasks.amazonaws.com"}"#).replace("AssumeRole", "Nothing");
    let members = [("RoleName", "x"), ("AssumeRolePolicyDocument", wrong.as_str())];
    let refused = plane.refused("CreateRole", &members).await;
    assert!(refused.starts_with("400 MalformedPolicyDocument: Trust Policy"), "{refused}");
    // AWS's words alone; where the document is wrong stands beside them.
    let wrong =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"run","Resource":"*"}}"#;
    let members = [("PolicyName", "x"), ("PolicyDocument", wrong)];
    let (_, answer) = plane.ask(&plane.administrator, "CreatePolicy", &members).await;
    assert!(element(&answer, "Message").ends_with("by a vendor, e.g., iam, sdb, ec2, etc."));
    assert!(element(&answer, "Detail").ends_with("(Statement[1].Action, line 1, column 64)"));
}

#[tokio::test]
async fn managed_policies_have_versions() {
    let plane = plane().await;
    let made = plane.done("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", ALL)]).await;
    let arn = element(&made, "Arn");
    assert_eq!(arn, "arn:aws:iam::000000000000:policy/p");
    let of = [("PolicyArn", arn.as_str()), ("PolicyDocument", ALL), ("SetAsDefault", "true")];
    for expected in ["v2", "v3", "v4", "v5"] {
        let version = plane.done("CreatePolicyVersion", &of).await;
        assert_eq!(element(&version, "VersionId"), expected);
    }
    let sixth = plane.refused("CreatePolicyVersion", &of).await;
    assert!(sixth.starts_with("409 LimitExceeded: A managed policy can have up to 5"), "{sixth}");
    let version = |id| [("PolicyArn", arn.as_str()), ("VersionId", id)];
    let default = plane.refused("DeletePolicyVersion", &version("v5")).await;
    assert_eq!(default, "409 DeleteConflict: Cannot delete the default version of a policy.");
    plane.done("DeletePolicyVersion", &version("v2")).await;
    let again = plane.done("CreatePolicyVersion", &of).await;
    assert_eq!(element(&again, "VersionId"), "v6", "numbers are not given twice");

    role(&plane, "app", r#"{"Service":"ecs-tasks.amazonaws.com"}"#).await;
    let both = [("RoleName", "app"), ("PolicyArn", arn.as_str())];
    plane.done("AttachRolePolicy", &both).await;
    let used = plane.refused("DeletePolicy", &[("PolicyArn", &arn)]).await;
    assert_eq!(used, "409 DeleteConflict: Cannot delete a policy attached to entities.");
    let shown = plane.done("GetPolicy", &[("PolicyArn", &arn)]).await;
    assert_eq!(element(&shown, "AttachmentCount"), "1");
    let held = plane.refused("DeleteRole", &[("RoleName", "app")]).await;
    assert!(held.contains("must detach all policies first."), "{held}");
    plane.done("DetachRolePolicy", &both).await;

    let of_aws = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
    plane.done("AttachRolePolicy", &[("RoleName", "app"), ("PolicyArn", of_aws)]).await;
    let listed = plane.done("ListAttachedRolePolicies", &[("RoleName", "app")]).await;
    assert_eq!(element(&listed, "PolicyArn"), of_aws);
    let none = "arn:aws:iam::aws:policy/Nothing";
    let missing = [("RoleName", "app"), ("PolicyArn", none)];
    let missing = plane.refused("AttachRolePolicy", &missing).await;
    assert_eq!(
        missing,
        format!("404 NoSuchEntity: Policy {none} does not exist or is not attachable.")
    );
    let all = plane.done("ListPolicies", &[("Scope", "AWS"), ("MaxItems", "3")]).await;
    assert_eq!(element(&all, "IsTruncated"), "true");
    let marker = element(&all, "Marker");
    let rest = plane.done("ListPolicies", &[("Scope", "AWS"), ("Marker", &marker)]).await;
    assert_eq!(element(&rest, "IsTruncated"), "false");
}

#[tokio::test]
async fn roles_of_services_are_theirs_alone() {
    let plane = plane().await;
    plane.world.iam.ensure_service_role().await.unwrap();
    plane.world.iam.ensure_service_role().await.unwrap();
    let name = "AWSServiceRoleForECS";
    let shown = plane.done("GetRole", &[("RoleName", name)]).await;
    let arn = format!("arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/{name}");
    assert_eq!(element(&shown, "Arn"), arn);
    let protected = plane.refused("DeleteRole", &[("RoleName", name)]).await;
    assert!(protected.starts_with("400 UnmodifiableEntity: Cannot perform"), "{protected}");
    let service = ("AWSServiceName", "ecs.amazonaws.com");
    let taken = plane.refused("CreateServiceLinkedRole", &[service]).await;
    assert!(taken.contains("has been taken in this account"), "{taken}");
}

#[tokio::test]
async fn profiles_providers_and_reports() {
    let plane = plane().await;
    role(&plane, "box", r#"{"Service":"ec2.amazonaws.com"}"#).await;
    plane.done("CreateInstanceProfile", &[("InstanceProfileName", "box")]).await;
    let both = [("InstanceProfileName", "box"), ("RoleName", "box")];
    plane.done("AddRoleToInstanceProfile", &both).await;
    let second = plane.refused("AddRoleToInstanceProfile", &both).await;
    assert!(second.contains("InstanceSessionsPerInstanceProfile: 1"), "{second}");
    let held = plane.refused("DeleteRole", &[("RoleName", "box")]).await;
    assert!(held.contains("must remove roles from instance profile first."), "{held}");
    let of = plane.done("ListInstanceProfilesForRole", &[("RoleName", "box")]).await;
    assert_eq!(element(&of, "InstanceProfileName"), "box");

    let url = ("Url", "https://ci.example/path");
    let made = plane.done("CreateOpenIDConnectProvider", &[url]).await;
    let arn = element(&made, "OpenIDConnectProviderArn");
    assert_eq!(arn, "arn:aws:iam::000000000000:oidc-provider/ci.example/path");
    let client = [("OpenIDConnectProviderArn", arn.as_str()), ("ClientID", "me")];
    plane.done("AddClientIDToOpenIDConnectProvider", &client).await;
    let shown = plane.done("GetOpenIDConnectProvider", &client[..1]).await;
    assert!(shown.contains("<member>me</member>"), "{shown}");
    // To delete one that is gone already is no error.
    for _ in 0..2 {
        plane.done("DeleteOpenIDConnectProvider", &client[..1]).await;
    }
    let gone = plane.refused("GetOpenIDConnectProvider", &client[..1]).await;
    assert!(gone.starts_with("404 NoSuchEntity"), "{gone}");

    let summary = plane.done("GetAccountSummary", &[]).await;
    assert!(summary.contains("<key>Roles</key><value>1</value>"), "{summary}");
    let details = plane.done("GetAccountAuthorizationDetails", &[]).await;
    assert!(details.contains("<RoleName>box</RoleName>"), "{details}");
}

#[tokio::test]
async fn a_simulation_tells_which_statement() {
    let plane = plane().await;
    let document = "{\n \"Version\": \"2012-10-17\",\n \"Statement\": {\"Effect\": \"Allow\",\n  \
                    \"Action\": \"ecs:Describe*\", \"Resource\": \"*\",\n  \"Condition\": \
                    {\"StringEquals\": {\"aws:RequestTag/env\": \"dev\"}}}\n}";
    let custom = |action, key| {
        [
            ("PolicyInputList.member.1", document),
            ("ActionNames.member.1", action),
            ("ContextEntries.member.1.ContextKeyName", key),
            ("ContextEntries.member.1.ContextKeyType", "string"),
            ("ContextEntries.member.1.ContextKeyValues.member.1", "dev"),
        ]
    };
    let allowed = custom("ecs:DescribeTasks", "aws:requesttag/ENV");
    let allowed = plane.done("SimulateCustomPolicy", &allowed).await;
    assert_eq!(element(&allowed, "EvalDecision"), "allowed");
    assert_eq!(element(&allowed, "Line"), "5", "{allowed}");
    let missing = custom("ecs:DescribeTasks", "aws:other");
    let missing = plane.done("SimulateCustomPolicy", &missing).await;
    assert_eq!(element(&missing, "EvalDecision"), "implicitDeny");
    assert!(missing.contains("<member>aws:requesttag/env</member>"), "{missing}");

    plane.user("ada", document).await;
    let source = ("PolicySourceArn", "arn:aws:iam::000000000000:user/ada");
    let asked = [source, ("ActionNames.member.1", "ecs:RunTask")];
    let of = plane.done("SimulatePrincipalPolicy", &asked);
    assert_eq!(element(&of.await, "EvalDecision"), "implicitDeny");
}

#[tokio::test]
async fn a_role_of_a_service_goes_unless_the_service_works_with_it() {
    let plane = plane().await;
    plane.world.iam.ensure_service_role().await.unwrap();
    let service = "ecs.application-autoscaling.amazonaws.com";
    plane.done("CreateServiceLinkedRole", &[("AWSServiceName", service)]).await;
    for (name, expected) in [
        ("AWSServiceRoleForApplicationAutoScaling_ECSService", "SUCCEEDED"),
        ("AWSServiceRoleForECS", "FAILED"),
    ] {
        let begun = plane.done("DeleteServiceLinkedRole", &[("RoleName", name)]).await;
        let id = element(&begun, "DeletionTaskId");
        assert!(id.starts_with("task/aws-service-role/") && id.contains(name), "{id}");
        let asked = [("DeletionTaskId", id.as_str())];
        let told = plane.done("GetServiceLinkedRoleDeletionStatus", &asked).await;
        assert_eq!(element(&told, "Status"), expected, "{name}");
    }
    let gone = "AWSServiceRoleForApplicationAutoScaling_ECSService";
    assert!(plane.refused("GetRole", &[("RoleName", gone)]).await.starts_with("404 NoSuchEntity"));
    plane.done("GetRole", &[("RoleName", "AWSServiceRoleForECS")]).await;
    role(&plane, "own", r#"{"AWS":"000000000000"}"#).await;
    let own = plane.refused("DeleteServiceLinkedRole", &[("RoleName", "own")]).await;
    assert_eq!(own, "404 NoSuchEntity: The role with name own cannot be found.");
    for (id, code) in [("task/x", "400 InvalidInput"), ("task/aws-service-role/a/b/c", "404")] {
        let asked = [("DeletionTaskId", id)];
        let told = plane.refused("GetServiceLinkedRoleDeletionStatus", &asked).await;
        assert!(told.starts_with(code), "{told}");
    }
}

#[tokio::test]
async fn what_nobody_has_here_is_listed_as_none() {
    let plane = plane().await;
    plane.done("CreateUser", &[("UserName", "ada")]).await;
    let of_users = [
        "ListMFADevices",
        "ListSSHPublicKeys",
        "ListServiceSpecificCredentials",
        "ListSigningCertificates",
    ];
    for operation in of_users {
        let told = plane.done(operation, &[("UserName", "ada")]).await;
        assert_eq!(element(&told, "IsTruncated"), "false", "{operation}");
        let nobody = plane.refused(operation, &[("UserName", "bob")]).await;
        assert_eq!(nobody, "404 NoSuchEntity: The user with name bob cannot be found.");
    }
    let of_account = [
        "ListAccountAliases",
        "ListVirtualMFADevices",
        "ListServerCertificates",
        "ListSAMLProviders",
    ];
    for operation in of_account {
        let told = plane.done(operation, &[]).await;
        assert!(!told.contains("<member>"), "{told}");
    }
    let none = plane.refused("GetLoginProfile", &[("UserName", "ada")]).await;
    assert_eq!(none, "404 NoSuchEntity: Login Profile for User ada cannot be found.");
    let none = plane.refused("GetAccountPasswordPolicy", &[]).await;
    assert!(none.starts_with("404 NoSuchEntity: The Password Policy with domain name"), "{none}");
}

#[tokio::test]
async fn a_look_at_one_shows_that_it_has_no_tags() {
    let plane = plane().await;
    let made = plane.done("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", ALL)]).await;
    assert!(!made.contains("<Tags"), "{made}");
    let arn = element(&made, "Arn");
    let shown = plane.done("GetPolicy", &[("PolicyArn", &arn)]).await;
    assert!(shown.contains("<Tags"), "{shown}");
    let profile = [("InstanceProfileName", "i")];
    plane.done("CreateInstanceProfile", &profile).await;
    let shown = plane.done("GetInstanceProfile", &profile).await;
    assert!(shown.contains("<Tags"), "{shown}");
}
