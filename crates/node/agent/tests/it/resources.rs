//! What a task fetches before it runs: where it arrives, what is told when it cannot be had, and that
//! the journal never has it.

use agent::engine::Reported;
use agent_protocol::acs::{RoleCredentials, RoleType};
use agent_protocol::docker::{ContainerConfig, HostConfig, LogConfig};
use agent_protocol::task::{
    AsmAuthData, Container, Credentials, DockerConfig, EcrAuthData, RegistryAuthentication, Secret,
    Task,
};
use serde_json::{Value, json};

use crate::harness::{World, container, task};
use crate::host::Moment;

const PARAMETERS: &str = "us-east-1 AmazonSSM.GetParameters";
const SECRETS: &str = "us-east-1 secretsmanager.GetSecretValue";
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf";
const USER: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:user-AbCdEf";

fn secret(name: &str, value_from: &str, target: &str) -> Secret {
    let is_secret = value_from.contains(":secretsmanager:");
    Secret {
        name: name.to_owned(),
        value_from: value_from.to_owned(),
        region: "us-east-1".to_owned(),
        provider: if is_secret { "asm" } else { "ssm" }.to_owned(),
        target: target.to_owned(),
        ..Secret::default()
    }
}

fn credentials() -> Credentials {
    Credentials {
        credentials_id: "c1".to_owned(),
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: "violet-key".to_owned(),
        session_token: "violet-token".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/execution".to_owned(),
        ..Credentials::default()
    }
}

/// A task of one container that needs something of each kind.
fn needy() -> Task {
    let log = LogConfig {
        kind: "json-file".to_owned(),
        config: [("max-file".to_owned(), "2".to_owned())].into(),
    };
    let host = HostConfig { log_config: Some(log), ..HostConfig::default() };
    let app = Container {
        image: "private.test:5000/app".to_owned(),
        environment: [("A".to_owned(), "definition".to_owned())].into(),
        secrets: vec![
            secret("P", "/app/p", "CONTAINER"),
            secret("K", &format!("{SECRET}:port::"), "CONTAINER"),
            secret("max-size", "size", "LOG_DRIVER"),
        ],
        environment_files: vec![
            json!({"type": "s3", "value": "arn:aws:s3:::b/one.env"}),
            json!({"type": "s3", "value": "arn:aws:s3:::b/two.env"}),
        ],
        registry_authentication: Some(RegistryAuthentication {
            kind: "asm".to_owned(),
            asm_auth_data: Some(AsmAuthData {
                credentials_parameter: USER.to_owned(),
                region: "us-east-1".to_owned(),
            }),
            ..RegistryAuthentication::default()
        }),
        docker_config: DockerConfig::new("1.24", &ContainerConfig::default(), &host),
        ..container("app", "run")
    };
    Task { execution_role_credentials: Some(credentials()), ..task(1, vec![app]) }
}

fn answers(world: &World) {
    let asked = |target: &str, input: Value| format!("{target} {input}");
    let names = json!({"Names": ["/app/p", "size"], "WithDecryption": true});
    let found = json!({"Parameters": [
        {"Name": "/app/p", "Value": "violet-parameter"}, {"Name": "size", "Value": "7k"},
    ]});
    let mut state = world.server.state.lock();
    state.answers = [
        (asked(PARAMETERS, names), found),
        (
            asked(SECRETS, json!({"SecretId": SECRET})),
            json!({"SecretString": r#"{"port": 5432, "password": "violet-secret"}"#}),
        ),
        (
            asked(SECRETS, json!({"SecretId": USER})),
            json!({"SecretString": r#"{"username": "anna", "password": "violet-password"}"#}),
        ),
        ("b/one.env".to_owned(), json!("# one\nA=one\nB=one\nC=one\n")),
        ("b/two.env".to_owned(), json!("B=violet-two\n")),
    ]
    .into();
    let message = RoleCredentials {
        message_id: "r1".to_owned(),
        task_arn: needy().arn,
        task_cluster_arn: String::new(),
        role_type: RoleType::TaskExecution,
        role_credentials: credentials(),
    };
    state.credentials = vec![message];
}

/// The last value of a variable, which is the one that a container sees.
fn variable(world: &World, name: &str) -> Option<String> {
    let state = world.host.state.lock();
    let env = &state.containers.values().next()?.spec.env;
    let mut values = env.iter().rev().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next().map(str::to_owned)
}

fn check(world: &World, what: &str) {
    for (name, expected) in [
        ("P", "violet-parameter"),
        ("K", "5432"),
        ("A", "definition"),
        ("B", "violet-two"),
        ("C", "one"),
    ] {
        assert_eq!(variable(world, name).as_deref(), Some(expected), "{what}: {name}");
    }
    let state = world.host.state.lock();
    let logs = &state.containers.values().next().unwrap().spec.logs;
    assert_eq!((logs.size_max_bytes, logs.files_max), (7 * 1024, 2), "{what}");
    let pulls: Vec<_> = state.log.iter().filter(|line| line.starts_with("pull ")).collect();
    assert!(!pulls.is_empty(), "{what}");
    for pull in pulls {
        assert_eq!(*pull, "pull private.test:5000/app:latest with Basic(anna)", "{what}");
    }
    let keys = &world.server.state.lock().calls;
    assert!(keys.iter().all(|(key, _)| key == "ASIA1"), "{what}: {keys:?}");
}

/// Nothing that is secret is in the journal.
async fn check_journal(world: &World) {
    use agent::journal::Journal;
    let records = world.journal.clone().load().await.unwrap();
    assert!(!records.is_empty());
    for record in records {
        let text = serde_json::to_string(&record).unwrap() + &format!("{record:?}");
        assert!(!text.contains("violet"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_arrives_in_the_container_and_none_in_the_journal() {
    let world = World::new();
    answers(&world);
    let agent = world.start();
    let task = needy();
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    check(&world, "without a crash");
    // Fetched once: parameters, two secrets, two files.
    assert_eq!(world.server.state.lock().calls.len(), 5);
    check_journal(&world).await;
    agent.task.abort();
}

/// The agent dies before and after each effect of the start; the next one fetches anew.
#[tokio::test(start_paused = true)]
async fn a_crash_on_the_way_only_costs_another_fetch() {
    let mut number = 0;
    loop {
        for moment in [Moment::Before, Moment::After] {
            let world = World::new();
            answers(&world);
            let mut agent = world.start();
            world.host.crash_at(number, moment);
            let task = needy();
            world.server.want(task.clone());
            let mut crashed = false;
            {
                let running = world.server.until_reported(&task.arn, Reported::Running);
                tokio::pin!(running);
                loop {
                    tokio::select! {
                        biased;
                        () = &mut running => break,
                        () = world.host.crashed.notified() => {
                            crashed = true;
                            agent.task.abort();
                            agent = world.start();
                        }
                    }
                }
            }
            check(&world, &format!("{moment:?} effect {number}"));
            check_journal(&world).await;
            agent.task.abort();
            world.host.cut();
            if !crashed {
                assert!(number > 5, "{number}");
                return;
            }
        }
        number += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_moment_is_tried_again() {
    let world = World::new();
    answers(&world);
    world.server.state.lock().calls_that_fail = 4;
    let agent = world.start();
    let task = needy();
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    check(&world, "after failures");
    agent.task.abort();
}

/// The ARN of a parameter of one part does not say whether its name begins with a slash.
#[tokio::test(start_paused = true)]
async fn a_parameter_of_one_part_is_found_with_and_without_its_slash() {
    let world = World::new();
    let mut task = needy();
    let app = &mut task.containers[0];
    app.secrets = vec![secret("P", "bare", "CONTAINER"), secret("Q", "rooted", "CONTAINER")];
    app.secrets.iter_mut().for_each(|secret| secret.may_begin_with_slash = true);
    (app.environment_files, app.registry_authentication) = (Vec::new(), None);
    let asked =
        |names: Value| format!("{PARAMETERS} {}", json!({"Names": names, "WithDecryption": true}));
    answers(&world);
    world.server.state.lock().answers = [
        (
            asked(json!(["bare", "rooted"])),
            json!({"Parameters": [{"Name": "bare", "Value": "one"}], "InvalidParameters": ["rooted"]}),
        ),
        (asked(json!(["/rooted"])), json!({"Parameters": [{"Name": "/rooted", "Value": "two"}]})),
    ]
    .into();
    let agent = world.start();
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    let values = ["P", "Q"].map(|name| variable(&world, name).unwrap_or_default());
    assert_eq!(values, ["one", "two"]);
    agent.task.abort();
}

/// One that was not named by an ARN is what it is called.
#[tokio::test(start_paused = true)]
async fn a_parameter_named_without_a_slash_is_not_the_one_with_it() {
    let world = World::new();
    let mut task = needy();
    let app = &mut task.containers[0];
    app.secrets = vec![secret("Q", "rooted", "CONTAINER")];
    (app.environment_files, app.registry_authentication) = (Vec::new(), None);
    let asked =
        |names: Value| format!("{PARAMETERS} {}", json!({"Names": names, "WithDecryption": true}));
    answers(&world);
    world.server.state.lock().answers = [
        (asked(json!(["rooted"])), json!({"Parameters": [], "InvalidParameters": ["rooted"]})),
        (asked(json!(["/rooted"])), json!({"Parameters": [{"Name": "/rooted", "Value": "two"}]})),
    ]
    .into();
    let told = refusal(&world, task).await;
    assert!(told.ends_with("invalid parameters: rooted"), "{told}");
}

/// The reason of the task that a change of its containers leads to.
async fn refusal(world: &World, task: Task) -> String {
    let agent = world.start();
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    agent.task.abort();
    let log = world.log();
    assert!(!log.iter().any(|line| line.starts_with("create")), "{log:?}");
    let state = world.server.state.lock();
    let stopped = state.submits.iter().find(|s| s.status == Reported::Stopped).unwrap();
    stopped.reason.clone()
}

#[tokio::test(start_paused = true)]
async fn the_true_cause_is_told() {
    let check = async |change: fn(&mut Task), expected: &str| {
        let world = World::new();
        answers(&world);
        let mut task = needy();
        change(&mut task);
        let told = refusal(&world, task).await;
        assert_eq!(told, expected);
    };
    check(
        |task| task.containers[0].secrets.push(secret("X", "/missing", "CONTAINER")),
        "ResourceInitializationError: unable to pull secrets or registry auth: fetching secret \
         data from SSM Parameter Store in us-east-1: ResourceNotFoundException: Secrets Manager \
         can't find the specified secret.",
    )
    .await;
    check(
        |task| task.containers[0].secrets[1].value_from = format!("{SECRET}:host::"),
        "ResourceInitializationError: unable to pull secrets or registry auth: retrieved secret \
         from Secrets Manager did not contain json key host",
    )
    .await;
    check(
        |task| task.containers[0].secrets[1].value_from = format!("{SECRET}:host"),
        "ResourceInitializationError: unable to pull secrets or registry auth: trying to retrieve \
         secret with value arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf:host \
         resulted in error: an invalid ARN format for the AWS Secrets Manager secret was \
         specified. Specify a valid ARN and try again.",
    )
    .await;
    check(
        |task| {
            let auth = task.containers[0].registry_authentication.as_mut().unwrap();
            auth.asm_auth_data.as_mut().unwrap().credentials_parameter = SECRET.to_owned();
        },
        "ResourceInitializationError: unable to pull secrets or registry auth: asm fetching \
         username: AuthorizationData is malformed, empty field",
    )
    .await;
    check(
        |task| {
            let file = json!({"type": "s3", "value": "arn:aws:s3:::b/none.env"});
            task.containers[0].environment_files.push(file);
        },
        "ResourceInitializationError: failed to download env files: unable to download env file \
         with key none.env from bucket b, error: ResourceNotFoundException: Secrets Manager can't \
         find the specified secret.",
    )
    .await;
    check(
        |task| task.execution_role_credentials = None,
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to find \
         execution role credentials",
    )
    .await;
}

/// A task whose image is in a registry of ECR's, for which the operator named an endpoint.
fn of_ecr(with_role: bool) -> Task {
    let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app".to_owned();
    let ecr = EcrAuthData {
        registry_id: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint_override: "http://127.0.0.1:1".to_owned(),
        use_execution_role: with_role,
    };
    let auth = RegistryAuthentication {
        kind: "ecr".to_owned(),
        ecr_auth_data: Some(ecr),
        ..RegistryAuthentication::default()
    };
    let app = Container { image, registry_authentication: Some(auth), ..container("app", "run") };
    let role = with_role.then(credentials);
    Task { execution_role_credentials: role, ..task(1, vec![app]) }
}

#[tokio::test(start_paused = true)]
async fn the_right_to_pull_from_ecr_is_asked_for() {
    for with_role in [true, false] {
        let world = World::new();
        answers(&world);
        let asked = "http://127.0.0.1:1 us-east-1 \
                     AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken \
                     {\"registryIds\":[\"000000000000\"]}";
        // AWS:violet-password
        let grant = json!({"authorizationToken": "QVdTOnZpb2xldC1wYXNzd29yZA=="});
        let granted = json!({"authorizationData": [grant]});
        world.server.state.lock().answers.insert(asked.to_owned(), granted);
        let agent = world.start();
        let task = of_ecr(with_role);
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
        let log = world.log();
        let pulled = "pull 000000000000.dkr.ecr.us-east-1.amazonaws.com/app:latest with Basic(AWS)";
        assert!(log.iter().any(|line| line == pulled), "{log:?}");
        let key = if with_role { "ASIA1" } else { "" };
        let calls = world.server.state.lock().calls.clone();
        assert_eq!(calls, [(key.to_owned(), asked.to_owned())]);
        check_journal(&world).await;
        agent.task.abort();
    }
    let told = refusal(&World::new(), of_ecr(false)).await;
    let expected = "ResourceInitializationError: unable to pull secrets or registry auth: unable to \
                    retrieve ecr registry auth from http://127.0.0.1:1: ResourceNotFoundException";
    assert!(told.starts_with(expected), "{told}");
}
