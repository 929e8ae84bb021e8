//! What resources' own policies give and keep, and roles that no task can have.

use serde_json::{Value, json};

use crate::harness::{Up, eventually};
use crate::limited::role;

fn policy(effect: &str, principal: &Value, action: &str) -> String {
    let statement = json!({ "Sid": "own", "Effect": effect, "Principal": principal,
        "Action": action, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

/// What the aws CLI says with these keys, whether or not it is refused.
fn says(up: &Up, keys: &Value, args: &[&str]) -> String {
    let mut command = up.with_profile("aws");
    command.env_remove("AWS_PROFILE");
    for (name, member) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ] {
        if let Some(text) = keys[member].as_str() {
            command.env(name, text);
        }
    }
    let output = command.args(args).output().unwrap();
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_secret_says_who_may_read_it() {
    let up = Up::start(&["busybox"]);
    let create = ["secretsmanager", "create-secret", "--name", "app/db"];
    let secret = up.aws(&[&create[..], &["--secret-string", "shown"]].concat());
    let arn = secret["ARN"].as_str().unwrap();
    let bare = role(&up, "bare", None);
    let put = |text: &str| {
        let put = ["secretsmanager", "put-resource-policy", "--secret-id", "app/db"];
        up.aws(&[&put[..], &["--resource-policy", text]].concat());
    };
    let definition = json!({ "family": "reader", "executionRoleArn": bare,
        "containerDefinitions": [{ "name": "main", "image": "busybox", "memory": 32,
            "command": ["sh", "-c", "echo it is $DB"],
            "secrets": [{ "name": "DB", "valueFrom": arn }] }] });
    // The role has no policy of its own: the secret's lets it.
    put(&policy("Allow", &json!({ "AWS": bare }), "secretsmanager:GetSecretValue"));
    let shown = ["secretsmanager", "get-resource-policy", "--secret-id", "app/db"];
    let shown = up.aws(&shown);
    assert!(shown["ResourcePolicy"].as_str().unwrap().contains(&bare), "{shown:#}");
    let task = up.run_task(&definition);
    let told = up.await_status(&task, "STOPPED");
    assert_eq!(told["stopCode"], "EssentialContainerExited", "{told:#}");
    assert!(up.cli(&["logs", &task]).contains("it is shown"));

    put(&policy("Deny", &json!("*"), "secretsmanager:GetSecretValue"));
    let task = up.run_task(&definition);
    let told = up.await_status(&task, "STOPPED");
    let reason = told["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("with an explicit deny in a resource-based policy"), "{reason}");
    let asked = ["why-denied", "--principal", "role/bare", "--resource", arn];
    let why = up.cli(&[&asked[..], &["--action", "secretsmanager:GetSecretValue"]].concat());
    for part in [
        "with an explicit deny in a resource-based policy",
        &format!("The resource's own policies: {arn}"),
        &format!("DENY by {arn}, statement 1 (line 1), own"),
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // Nobody is locked out for good: the administrator is asked for no policy.
    up.aws(&["secretsmanager", "delete-resource-policy", "--secret-id", "app/db"]);
}

#[test]
fn many_secrets_are_read_as_far_as_each_lets() {
    let up = Up::server(&[]);
    for name in ["app/open", "app/shut", "other"] {
        let create = ["secretsmanager", "create-secret", "--name", name];
        up.aws(&[&create[..], &["--secret-string", name]].concat());
    }
    up.aws(&["iam", "create-user", "--user-name", "ada"]);
    let key = up.aws(&["iam", "create-access-key", "--user-name", "ada"])["AccessKey"].take();
    let may = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Resource": "*",
            "Action": ["secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets"] },
        { "Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
            "Resource": "arn:aws:secretsmanager:*:*:secret:app/*" }] });
    let put = ["iam", "put-user-policy", "--user-name", "ada", "--policy-name", "reads"];
    up.try_aws(&[&put[..], &["--policy-document", &may.to_string()]].concat());
    let shut = ["secretsmanager", "put-resource-policy", "--secret-id", "app/shut"];
    let denies = policy("Deny", &json!("*"), "secretsmanager:GetSecretValue");
    up.aws(&[&shut[..], &["--resource-policy", &denies]].concat());

    for (which, refused) in [
        (&["--filters", "Key=name,Values=app,other"][..], &["app/shut", "other"][..]),
        // What is not there is refused like what may not be read.
        (
            &["--secret-id-list", "app/open", "app/shut", "other", "none", "app/none"],
            &["app/shut", "other", "none", "app/none"],
        ),
    ] {
        let asked = [&["secretsmanager", "batch-get-secret-value"], which].concat();
        let told: Value = serde_json::from_str(&says(&up, &key, &asked)).unwrap();
        let names = |list: &str, member: &str| -> Vec<String> {
            let all = told[list].as_array().unwrap().iter();
            all.map(|one| one[member].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("SecretValues", "Name"), ["app/open"], "{told:#}");
        assert_eq!(names("Errors", "SecretId"), refused, "{told:#}");
        let reasons = [
            "with an explicit deny in a resource-based policy",
            "because no identity-based policy allows",
            "because no identity-based policy allows",
        ];
        for (error, because) in told["Errors"].as_array().unwrap().iter().zip(reasons) {
            assert_eq!(error["ErrorCode"], "AccessDeniedException");
            assert!(error["Message"].as_str().unwrap().contains(because), "{error:#}");
        }
    }
}

#[test]
fn a_repository_says_who_may_not_pull() {
    let up = Up::server(&[]);
    up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let trust = policy("Allow", &json!({ "AWS": "000000000000" }), "sts:AssumeRole");
    let trust = trust.replace(",\"Resource\":\"*\"", "");
    let create = ["iam", "create-role", "--role-name", "ci", "--assume-role-policy-document"];
    let made = up.aws(&[&create[..], &[&trust]].concat());
    let ci = made["Role"]["Arn"].as_str().unwrap().to_owned();
    let session = ["sts", "assume-role", "--role-arn", &ci, "--role-session-name", "one"];
    let session = up.aws(&session)["Credentials"].take();
    let looks = || says(&up, &session, &["ecr", "list-images", "--repository-name", "app"]);
    assert!(looks().contains("because no identity-based policy allows the ecr:ListImages action"));
    let set = |text: &str| {
        let text = text.replace(",\"Resource\":\"*\"", "");
        let set = ["ecr", "set-repository-policy", "--repository-name", "app", "--policy-text"];
        up.aws(&[&set[..], &[&text]].concat());
    };
    set(&policy("Allow", &json!({ "AWS": ci }), "ecr:ListImages"));
    assert!(looks().contains("imageIds"), "{}", looks());
    set(&policy("Deny", &json!({ "AWS": ci }), "ecr:*"));
    assert!(looks().contains("with an explicit deny in a resource-based policy"), "{}", looks());
}

#[test]
fn a_role_that_does_not_trust_tasks_starts_none() {
    let up = Up::start(&["busybox"]);
    let trust = policy("Allow", &json!({ "Service": "ec2.amazonaws.com" }), "sts:AssumeRole");
    let trust = trust.replace(",\"Resource\":\"*\"", "");
    let create = ["iam", "create-role", "--role-name", "other", "--assume-role-policy-document"];
    let made = up.aws(&[&create[..], &[&trust]].concat());
    let other = made["Role"]["Arn"].as_str().unwrap();
    let definition = json!({ "family": "roled", "taskRoleArn": other, "containerDefinitions": [{
        "name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"] }] });
    let text = definition.to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
    let refused = up.try_aws(&["ecs", "run-task", "--task-definition", "roled"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let words = format!("ECS was unable to assume the role '{other}' that was provided");
    assert!(said.contains("ClientException") && said.contains(&words), "{said}");

    let create = ["ecs", "create-service", "--service-name", "web", "--task-definition", "roled"];
    up.aws(&[&create[..], &["--desired-count", "1"]].concat());
    let described =
        || up.aws(&["ecs", "describe-services", "--services", "web"])["services"][0].take();
    let line = format!("(service web) failed to launch a task with (error {words}");
    assert!(eventually(|| described()["events"].to_string().contains(&line)), "{:#}", described());
    // It starts by itself once the role trusts tasks.
    let trusts = trust.replace("ec2.amazonaws.com", "ecs-tasks.amazonaws.com");
    let update = ["iam", "update-assume-role-policy", "--role-name", "other", "--policy-document"];
    assert!(up.try_aws(&[&update[..], &[&trusts]].concat()).status.success());
    assert!(eventually(|| described()["runningCount"] == 1), "{:#}", described());
}

/// A rule sends what its secret says to the registry that it names.
#[test]
fn a_rule_of_the_registry_names_only_secrets_that_its_writer_may_read() {
    let up = Up::server(&[]);
    let create = ["secretsmanager", "create-secret", "--name", "ecr-pullthroughcache/key"];
    let text = r#"{"username": "robot", "accessToken": "secret"}"#;
    let secret = up.aws(&[&create[..], &["--secret-string", text]].concat());
    let arn = secret["ARN"].as_str().unwrap();
    up.aws(&["iam", "create-user", "--user-name", "ada"]);
    let key = up.aws(&["iam", "create-access-key", "--user-name", "ada"])["AccessKey"].take();
    let allow = |actions: &[&str]| {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        let put = ["iam", "put-user-policy", "--user-name", "ada", "--policy-name", "may"];
        let put = up.try_aws(&[&put[..], &["--policy-document", &text]].concat());
        assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    };
    allow(&["ecr:*"]);
    let rule = ["ecr", "create-pull-through-cache-rule", "--ecr-repository-prefix", "mine"];
    let rule = [&rule[..], &["--upstream-registry-url", "registry.test"]].concat();
    let with_secret = [&rule[..], &["--credential-arn", arn]].concat();
    let refused = says(&up, &key, &with_secret);
    let expected =
        format!("not authorized to perform: secretsmanager:GetSecretValue on resource: {arn}");
    assert!(refused.contains(&expected), "{refused}");
    let made = says(&up, &key, &rule);
    assert!(made.contains("\"upstreamRegistryUrl\": \"registry.test\""), "{made}");
    let update = ["ecr", "update-pull-through-cache-rule", "--ecr-repository-prefix", "mine"];
    let update = [&update[..], &["--credential-arn", arn]].concat();
    let refused = says(&up, &key, &update);
    assert!(refused.contains(&expected), "{refused}");
    allow(&["ecr:*", "secretsmanager:GetSecretValue"]);
    let updated = says(&up, &key, &update);
    assert!(updated.contains(arn), "{updated}");
}
