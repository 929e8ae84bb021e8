//! Parameters, secrets and files of variables, from the `aws` CLI to a container's environment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Up, example_image};

const ROLE: &str = "arn:aws:iam::000000000000:role/execution";

/// A server whose role for starting tasks may read all that they name.
fn started(images: &[&str]) -> Up {
    let up = Up::start(images);
    let role = up.role("execution", &["ssm:GetParameters", "secretsmanager:GetSecretValue"]);
    assert_eq!(role, ROLE);
    up
}

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
    let up = started(&["busybox"]);
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
    let up = started(&["busybox"]);
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

/// A registry with the image of busybox under any name, for whoever knows this user, or for
/// all if that is empty. Ends with the test.
pub fn registry(user: &'static str) -> String {
    let folder = TempDir::new().unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(example_image("busybox")).arg("-C").arg(folder.path());
    assert!(unpack.status().unwrap().success());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = Arc::new(folder);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let folder = Arc::clone(&folder);
            std::thread::spawn(move || serve(socket, folder.path(), user));
        }
    });
    address
}

/// Answers the requests of a connection.
fn serve(mut socket: TcpStream, folder: &Path, user: &str) {
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    while let Some(Ok(request)) = lines.next() {
        let head: Vec<String> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let is_known = user.is_empty()
            || head.iter().any(|line| {
                line.to_ascii_lowercase().starts_with("authorization: basic ")
                    && line.ends_with(user)
            });
        let (status, more, body) = if is_known {
            let index = fs::read(folder.join("index.json")).unwrap();
            let index: Value = serde_json::from_slice(&index).unwrap();
            let manifest = &index["manifests"][0];
            let name = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
            let digest = match name.starts_with("sha256:") {
                true => name.to_owned(),
                false => manifest["digest"].as_str().unwrap().to_owned(),
            };
            let blob = folder.join("blobs").join(digest.replace(':', "/"));
            let kind = match request.contains("/manifests/") {
                true => manifest["mediaType"].as_str().unwrap().to_owned(),
                false => "application/octet-stream".to_owned(),
            };
            let more = format!("content-type: {kind}\r\ndocker-content-digest: {digest}\r\n");
            ("200 OK", more, fs::read(blob).unwrap_or_default())
        } else {
            let more = "www-authenticate: Basic realm=\"shop\"\r\n".to_owned();
            ("401 Unauthorized", more, Vec::new())
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{more}content-length: {length}\r\n\r\n");
        let body = if request.starts_with("HEAD ") { Vec::new() } else { body };
        if socket.write_all(&[head.into_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

#[test]
fn an_image_is_pulled_as_the_user_of_a_secret() {
    let up = started(&[]);
    // anna:sesame
    let registry = registry("YW5uYTpzZXNhbWU=");
    let secret = |name: &str, password: &str| {
        let text = json!({"username": "anna", "password": password}).to_string();
        let make = ["secretsmanager", "create-secret", "--name", name, "--secret-string", &text];
        up.aws(&make)["ARN"].as_str().unwrap().to_owned()
    };
    let run = |parameter: &str, command: &str| {
        up.run_task(&json!({
            "family": "private", "executionRoleArn": ROLE,
            "containerDefinitions": [{
                "name": "main", "image": format!("{registry}/shop/{command}:1"), "memory": 32,
                "command": ["echo", command],
                "repositoryCredentials": {"credentialsParameter": parameter},
            }],
        }))
    };
    let task = run(&secret("right", "sesame"), "hello");
    let told = up.await_status(&task, "STOPPED");
    assert_eq!(told["containers"][0]["exitCode"], 0, "{told:#}");
    assert_eq!(up.cli(&["logs", &task]), "hello\n");
    let task = run(&secret("wrong", "mellon"), "never");
    let told = up.await_status(&task, "STOPPED");
    let reason = told["containers"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotPullContainerError"), "{told:#}");
    let no_user =
        up.aws(&["secretsmanager", "create-secret", "--name", "none", "--secret-string", "x"]);
    let task = run(no_user["ARN"].as_str().unwrap(), "never");
    let told = up.await_status(&task, "STOPPED");
    let reason = told["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("unable to unmarshal secret value, invalid schema"), "{reason}");
}
