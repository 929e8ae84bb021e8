//! Parameters, secrets and files of variables, from the `aws` CLI to a container's environment.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Up;

const ROLE: &str = "arn:aws:iam::000000000000:role/execution";

/// Whether any file below holds the word.
fn holds(folder: &Path, word: &[u8]) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => holds(&path, word),
            false => fs::read(&path)
                .is_ok_and(|bytes| bytes.windows(word.len()).any(|window| window == word)),
        }
    })
}

/// Makes a parameter, and a secret; answers with the secret's ARN.
fn make(up: &Up, parameter: &str, secret: &str) -> String {
    up.aws(&[
        "ssm",
        "put-parameter",
        "--name",
        "/app/colour",
        "--type",
        "SecureString",
        "--value",
        parameter,
        "--overwrite",
    ]);
    let text = json!({"port": 5432, "password": secret}).to_string();
    let made = up.try_aws(&[
        "secretsmanager",
        "create-secret",
        "--name",
        "app/db",
        "--secret-string",
        &text,
    ]);
    if !made.status.success() {
        let put = ["secretsmanager", "put-secret-value", "--secret-id", "app/db"];
        up.aws(&[&put[..], &["--secret-string", &text]].concat());
    }
    let told = up.aws(&["secretsmanager", "describe-secret", "--secret-id", "app/db"]);
    told["ARN"].as_str().unwrap().to_owned()
}

fn definition(secret: &str) -> Value {
    // What is read is said in other letters, so that only the values themselves are to be found.
    let script =
        "for word in $COLOUR $PASSWORD $PORT $BARE $ONE $TWO; do echo $word; done | tr a-y b-z";
    json!({
        "family": "needy", "executionRoleArn": ROLE,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32, "command": ["sh", "-c", script],
            "environment": [{"name": "ONE", "value": "definition"}],
            "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::settings/app/main.env"}],
            "secrets": [
                {"name": "COLOUR", "valueFrom": "/app/colour"},
                {"name": "BARE", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/app/colour:1"},
                {"name": "PASSWORD", "valueFrom": format!("{secret}:password::")},
                {"name": "PORT", "valueFrom": format!("{secret}:port:AWSCURRENT:")},
            ],
        }],
    })
}

#[test]
fn a_container_reads_its_secrets_and_files() {
    let up = Up::start(&["busybox"]);
    let secret = make(&up, "violet", "sesame");
    let file = up.data().join("s3/settings/app/main.env");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "# of the shop\nONE=file\nTWO=second\n").unwrap();
    let task = up.run_task(&definition(&secret));
    let told = up.await_status(&task, "STOPPED");
    assert_eq!(told["containers"][0]["exitCode"], 0, "{told:#}");
    assert_eq!(up.cli(&["logs", &task]), "wjpmfu\ntftbnf\n5432\nwjpmfu\nefgjojujpo\ntfdpoe\n");
    // Nobody but the container's own folder has them.
    for word in [&b"violet"[..], b"sesame"] {
        assert!(!holds(&up.data().join("ledger"), word), "the store has the value");
        let journal = fs::read(up.data().join("node/instance-1/journal")).unwrap_or_default();
        assert!(!journal.windows(word.len()).any(|window| window == word), "the journal has it");
    }
    // Values are read when a task starts; a version that is named stays.
    make(&up, "yellow", "mellon");
    let task = up.run_task(&definition(&secret));
    up.await_status(&task, "STOPPED");
    let said = up.cli(&["logs", &task]);
    assert!(said.starts_with("zfmmpx\nnfmmpo\n5432\nwjpmfu\n"), "{said}");
}

#[test]
fn a_task_without_its_secrets_says_why_it_did_not_start() {
    let up = Up::start(&["busybox"]);
    let check = |container: Value, expected: &[&str]| {
        let mut container = container;
        for (member, value) in
            json!({"name": "main", "image": "busybox", "memory": 32}).as_object().unwrap()
        {
            container[member] = value.clone();
        }
        let task = up.run_task(&json!({
            "family": "lost", "executionRoleArn": ROLE, "containerDefinitions": [container],
        }));
        let told = up.await_status(&task, "STOPPED");
        assert_eq!(told["stopCode"], "TaskFailedToStart", "{told:#}");
        let reason = told["stoppedReason"].as_str().unwrap();
        for part in expected {
            assert!(reason.contains(part), "{reason}");
        }
    };
    let from = |value: &str| json!({"secrets": [{"name": "S", "valueFrom": value}]});
    let begin = "ResourceInitializationError: unable to pull secrets or registry auth: ";
    check(
        from("/no/such"),
        &[begin, "SSM Parameter Store in us-east-1: invalid parameters: /no/such"],
    );
    check(
        from("arn:aws:secretsmanager:us-east-1:000000000000:secret:none-AbCdEf"),
        &[begin, "ResourceNotFoundException", "secret:none-AbCdEf"],
    );
    let file = json!({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/none.env"}]});
    let place = up.data().join("s3/b/none.env").display().to_string();
    check(file, &["ResourceInitializationError: failed to download env files: ", &place]);
}
