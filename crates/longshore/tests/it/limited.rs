//! Tasks that may do what their roles' policies say: unmodified boto3 in a container, and the CLI.

use serde_json::json;

use crate::harness::Up;

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
