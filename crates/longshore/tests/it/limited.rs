//! Tasks that may do what their roles' policies say: unmodified boto3 in a container, and the CLI.

use serde_json::{Value, json};

use crate::harness::{Up, eventually};
use crate::security::call;

/// What the container says of each secret: its value, or the error's code.
const SCRIPT: &str = "
import boto3, botocore.exceptions
client = boto3.client('secretsmanager')
for name in ['app/allowed', 'app/other']:
    try:
        print(name, client.get_secret_value(SecretId=name)['SecretString'])
    except botocore.exceptions.ClientError as error:
        print(name, error.response['Error']['Code'], error.response['Error']['Message'])
";

#[test]
fn a_task_reads_one_secret_and_not_another() {
    let up = Up::start(&["python"]);
    let mut arns = Vec::new();
    for name in ["app/allowed", "app/other"] {
        let create = ["secretsmanager", "create-secret", "--name", name];
        let made = up.aws(&[&create[..], &["--secret-string", "shown"]].concat());
        arns.push(made["ARN"].as_str().unwrap().to_owned());
    }
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole" } });
    let create = ["iam", "create-role", "--role-name", "reader"];
    let made =
        up.aws(&[&create[..], &["--assume-role-policy-document", &trust.to_string()]].concat());
    let role = made["Role"]["Arn"].as_str().unwrap();
    let policy = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue", "Resource": arns[0] } })
    .to_string();
    let put = ["iam", "put-role-policy", "--role-name", "reader", "--policy-name", "one"];
    let put = [&put[..], &["--policy-document", &policy]].concat();
    assert!(up.try_aws(&put).status.success());
    up.aws(&["iam", "get-role", "--role-name", "reader"]);

    let task = up.run_task(&json!({
        "family": "reader",
        "taskRoleArn": role,
        "containerDefinitions": [{
            "name": "main", "image": "python", "memory": 256,
            "command": ["python3", "-c", SCRIPT],
        }],
    }));
    up.await_status(&task, "STOPPED");
    let said = up.cli(&["logs", &task]);
    assert!(said.contains("app/allowed shown"), "{said}");
    let refused = format!(
        "app/other AccessDeniedException User: arn:aws:sts::000000000000:assumed-role/reader/{task} \
         is not authorized to perform: secretsmanager:GetSecretValue on resource: {} because no \
         identity-based policy allows the secretsmanager:GetSecretValue action",
        arns[1]
    );
    assert!(said.contains(&refused), "{said}");
}

/// A role that tasks may have, with one inline policy if there is one.
pub fn role(up: &Up, name: &str, policy: Option<&serde_json::Value>) -> String {
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole" } });
    let create = ["iam", "create-role", "--role-name", name, "--assume-role-policy-document"];
    let made = up.aws(&[&create[..], &[&trust.to_string()]].concat());
    if let Some(policy) = policy {
        let put = ["iam", "put-role-policy", "--role-name", name, "--policy-name", "own"];
        let document = policy.to_string();
        let put = [&put[..], &["--policy-document", &document]].concat();
        assert!(up.try_aws(&put).status.success());
    }
    made["Role"]["Arn"].as_str().unwrap().to_owned()
}

#[test]
fn an_execution_role_that_may_not_is_told_as_documented() {
    let up = Up::start(&["busybox"]);
    let create = ["secretsmanager", "create-secret", "--name", "app/db"];
    let secret = up.aws(&[&create[..], &["--secret-string", "shown"]].concat());
    let arn = secret["ARN"].as_str().unwrap();
    let bare = role(&up, "bare", None);
    let definition = |role: &str| {
        json!({ "family": "reader", "executionRoleArn": role, "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32, "command": ["true"],
            "secrets": [{ "name": "DB", "valueFrom": arn }] }] })
    };
    let task = up.run_task(&definition(&bare));
    let told = up.await_status(&task, "STOPPED");
    assert_eq!(told["stopCode"], "TaskFailedToStart");
    let reason = told["stoppedReason"].as_str().unwrap();
    for part in [
        "ResourceInitializationError: unable to pull secrets or registry auth: ",
        "AccessDeniedException",
        "is not authorized to perform: secretsmanager:GetSecretValue on resource: ",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let may = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue", "Resource": arn } });
    let reader = role(&up, "puller", Some(&may));
    let task = up.run_task(&definition(&reader));
    let told = up.await_status(&task, "STOPPED");
    assert_eq!(told["stopCode"], "EssentialContainerExited", "{told:#}");
}

#[test]
fn a_container_finds_no_credentials_but_its_own() {
    let up = Up::start(&["busybox"]);
    let own = role(&up, "own", None);
    // Its own; another task's, whose id it would have to know (as on AWS); all of them; the machine's, as
    // EC2 has it; the control plane without a key, and the folder that all keys are in.
    let data = up.data().display();
    let script = format!(
        "get() {{ got=$(timeout 9 wget -qO- $1 2>/dev/null) && echo \"$2 yes $got\" || echo \"$2 no\"; }}; \
         get http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI own; \
         get http://169.254.170.2/v2/credentials/6a5b4c3d-0000-4000-8000-000000000000 theirs; \
         get http://169.254.170.2/v2/credentials all; \
         get http://169.254.169.254/latest/meta-data/iam/security-credentials/ machine; \
         get $AWS_ENDPOINT_URL/_longshore/tokens plane; \
         ls {data}/credentials >/dev/null 2>&1 && echo keys yes || echo keys no"
    );
    for (mode, role) in [("bridge", Some(&own)), ("host", None)] {
        let said = curious(&up, mode, role, &script);
        assert!(
            role.is_none() || said.contains("own yes {") && said.contains("role/own"),
            "{said}"
        );
        for closed in ["theirs no", "all no", "machine no", "plane no", "keys no"] {
            assert!(said.contains(closed), "{mode}, {closed}: {said}");
        }
    }
    // Instances with a network each have a route each to 169.254.170.2, whoever else is on the machine.
    let two = Up::start_with(&["--instances", "2"], &["busybox"]);
    let own = role(&two, "own", None);
    let said = curious(&two, "host", Some(&own), &script);
    assert!(said.contains("own yes {") && said.contains("role/own"), "{said}");
}

/// What a task finds out in a network mode.
fn curious(up: &Up, mode: &str, role: Option<&String>, script: &str) -> String {
    let mut definition = json!({ "family": "curious", "networkMode": mode,
        "containerDefinitions": [{ "name": "main", "image": "busybox", "memory": 32,
            "command": ["sh", "-c", script] }] });
    if let Some(role) = role {
        definition["taskRoleArn"] = json!(role);
    }
    let task = up.run_task(&definition);
    up.await_status(&task, "STOPPED");
    up.cli(&["logs", &task])
}

/// An instance whose tasks in host mode would not find their credentials takes none that need them.
#[test]
fn host_mode_and_a_role_go_where_credentials_are_found() {
    // One of the two has the machine's route, or neither has it: then somebody else's has.
    let (one, other) = (Up::start(&["busybox"]), Up::start(&["busybox"]));
    let name = "com.amazonaws.ecs.capability.task-iam-role-network-host";
    let claims = |up: &Up| {
        let listed = ["ecs", "list-attributes", "--target-type", "container-instance"];
        let found = up.aws(&[&listed[..], &["--attribute-name", name]].concat());
        !found["attributes"].as_array().unwrap().is_empty()
    };
    assert!(!claims(&one) || !claims(&other), "the machine has one route there");
    let without = if claims(&other) { &one } else { &other };
    let own = role(without, "own", None);
    let definition = json!({ "family": "host", "networkMode": "host", "taskRoleArn": own,
        "containerDefinitions": [{ "name": "main", "image": "busybox", "memory": 32 }] });
    let text = definition.to_string();
    without.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
    let told = without.aws(&["ecs", "run-task", "--task-definition", "host"]);
    assert_eq!(told["failures"][0]["reason"], "ATTRIBUTE", "{told:#}");
}

/// A task on an interface of its own, with this role.
fn on_its_own(up: &Up, family: &str, role: &str, script: &str) -> String {
    let definition = json!({ "family": family, "taskRoleArn": role, "networkMode": "awsvpc",
        "containerDefinitions": [{ "name": "main", "image": "busybox", "memory": 32,
            "command": ["sh", "-c", script] }] });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let subnets = up.aws(&["ec2", "describe-subnets"]);
    let subnet = subnets["Subnets"][0]["SubnetId"].as_str().unwrap();
    let network = format!("awsvpcConfiguration={{subnets=[{subnet}]}}");
    let run = ["ecs", "run-task", "--task-definition", family, "--network-configuration", &network];
    let answer = up.aws(&run);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap();
    arn.rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_task_with_an_address_gets_its_own_credentials_alone() {
    let up = Up::start(&["busybox"]);
    let (one, other) = (role(&up, "one", None), role(&up, "other", None));
    let tell = "echo uri $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; sleep 600";
    let first = on_its_own(&up, "first", &one, tell);
    let mut logs = String::new();
    assert!(eventually(|| {
        logs = up.cli(&["logs", &first]);
        logs.contains("uri /")
    }));
    let uri = logs.lines().find_map(|line| line.strip_prefix("uri ")).unwrap().trim().to_owned();
    let script = format!(
        "get() {{ got=$(timeout 9 wget -qO- $1 2>/dev/null) && echo \"$2 yes $got\" || echo \"$2 no\"; }}; \
         get http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI own; \
         get http://169.254.170.2{uri} theirs"
    );
    let second = on_its_own(&up, "second", &other, &script);
    up.await_status(&second, "STOPPED");
    let said = up.cli(&["logs", &second]);
    assert!(said.contains("own yes {") && said.contains("role/other"), "{said}");
    assert!(said.contains("theirs no"), "{said}");
}

/// The credentials that a container has printed.
fn told(up: &Up, task: &str) -> Value {
    let mut logs = String::new();
    assert!(eventually(|| {
        logs = up.cli(&["logs", task]);
        logs.contains("SecretAccessKey")
    }));
    let keys: Value = serde_json::from_str(logs.lines().next().unwrap()).unwrap();
    json!({ "accessKeyId": keys["AccessKeyId"], "secretAccessKey": keys["SecretAccessKey"],
        "sessionToken": keys["Token"] })
}

/// A task that prints its credentials and stays.
fn printing(role: &str) -> Value {
    let script = "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; \
                  trap 'exit 0' TERM; while true; do sleep 1; done";
    json!({ "family": "printing", "taskRoleArn": role, "containerDefinitions": [{
        "name": "main", "image": "busybox", "memory": 32, "command": ["sh", "-c", script] }] })
}

#[test]
fn a_role_that_iam_does_not_know_opens_nothing() {
    let up = Up::start(&["busybox"]);
    let role = "arn:aws:iam::111122223333:role/brought";
    let task = up.run_task(&printing(role));
    // It runs: what never asks with its role notices nothing.
    up.await_status(&task, "RUNNING");
    let key = told(&up, &task);
    let list = || call(&up, &key, "ListTasks", &json!({}));
    let (status, answer) = list();
    assert_eq!(status, 400, "{answer}");
    for part in [
        "AccessDeniedException",
        "is not authorized to perform: ecs:ListTasks on resource: *",
        "IAM has no role brought ('aws iam create-role --role-name brought' makes it",
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    // Made for others than tasks, it opens nothing either; as it says from when it trusts them.
    let trust = |service: &str| {
        json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
            "Principal": { "Service": service }, "Action": "sts:AssumeRole",
            "Condition": { "StringEquals": { "aws:SourceAccount": "000000000000" } } } })
        .to_string()
    };
    let create = ["iam", "create-role", "--role-name", "brought", "--assume-role-policy-document"];
    up.aws(&[&create[..], &[&trust("ec2.amazonaws.com")]].concat());
    let all = "arn:aws:iam::aws:policy/AmazonECS_FullAccess";
    let attach = ["iam", "attach-role-policy", "--role-name", "brought", "--policy-arn", all];
    assert!(up.try_aws(&attach).status.success());
    let (status, answer) = list();
    assert!(
        status == 400 && answer.contains("does not trust ecs-tasks.amazonaws.com"),
        "{status} {answer}"
    );
    let update = ["iam", "update-assume-role-policy", "--role-name", "brought"];
    let document = trust("ecs-tasks.amazonaws.com");
    let update = [&update[..], &["--policy-document", &document]].concat();
    assert!(up.try_aws(&update).status.success());
    let (status, answer) = list();
    assert!(status == 200 && answer.contains(&task), "{status} {answer}");
}

#[test]
fn an_execution_role_that_iam_does_not_know_pulls_and_logs_and_no_more() {
    let up = Up::start(&["busybox"]);
    let create = ["secretsmanager", "create-secret", "--name", "app/db"];
    let secret = up.aws(&[&create[..], &["--secret-string", "shown"]].concat());
    let definition = |more: &Value| {
        let mut container = json!({ "name": "main", "image": "busybox", "memory": 32,
            "command": ["echo", "hello"], "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": "/app", "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "of", "awslogs-create-group": "true" } } });
        for (name, value) in more.as_object().unwrap() {
            container[name] = value.clone();
        }
        json!({ "family": "app", "containerDefinitions": [container],
            "executionRoleArn": "arn:aws:iam::111122223333:role/ecsTaskExecutionRole" })
    };
    let task = up.run_task(&definition(&json!({})));
    let ended = up.await_status(&task, "STOPPED");
    assert_eq!(ended["stopCode"], "EssentialContainerExited", "{ended:#}");
    let stream = format!("of/main/{task}");
    let get = ["logs", "get-log-events", "--log-group-name", "/app", "--log-stream-name", &stream];
    assert!(eventually(|| up.aws(&get)["events"][0]["message"] == "hello"), "its line");
    let secrets = json!({ "secrets": [{ "name": "DB", "valueFrom": secret["ARN"] }] });
    let task = up.run_task(&definition(&secrets));
    let ended = up.await_status(&task, "STOPPED");
    let reason = ended["stoppedReason"].as_str().unwrap();
    for part in [
        "ResourceInitializationError: unable to pull secrets or registry auth: ",
        "AccessDeniedException",
        "IAM has no role ecsTaskExecutionRole ('aws iam create-role",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn an_open_server_lets_roles_through_that_it_does_not_know() {
    let up = Up::start_with(&["--auth", "open"], &["busybox"]);
    let task = up.run_task(&printing("arn:aws:iam::000000000000:role/any"));
    let key = told(&up, &task);
    let (status, answer) = call(&up, &key, "ListTasks", &json!({}));
    assert!(status == 200 && answer.contains(&task), "{status} {answer}");
    // Known ones are evaluated there, too.
    up.role("any", &["ecs:ListClusters"]);
    assert_eq!(call(&up, &key, "ListTasks", &json!({})).0, 400);
    assert_eq!(call(&up, &key, "ListClusters", &json!({})).0, 200);
}
