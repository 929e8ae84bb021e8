//! Instances of other systems and processors, as Amazon's agent registers them: tasks go where their
//! `runtimePlatform` is.

use serde_json::{Value, json};

use super::server::Server;

/// Registers and connects an instance of this system, with its processor as the agent says it: in
/// EC2 by the identity document, elsewhere by an attribute.
async fn instance(server: &Server, system: &str, processor: &str, is_in_ec2: bool) -> String {
    let mut attributes = vec![
        json!({"name": "ecs.os-type", "value": system}),
        json!({"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}),
    ];
    if !is_in_ec2 {
        attributes.push(json!({"name": "ecs.cpu-architecture", "value": processor}));
    }
    let document = match is_in_ec2 {
        true => json!({"instanceId": "i-1", "architecture": processor}).to_string(),
        false => String::new(),
    };
    let number = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 4096});
    let body = json!({
        "cluster": "default", "attributes": attributes, "instanceIdentityDocument": document,
        "totalResources": [number("CPU"), number("MEMORY")],
    });
    let (_, answer) = server.call("admin", "RegisterContainerInstance", &body.to_string()).await;
    let arn = answer["containerInstance"]["containerInstanceArn"].as_str();
    let arn = arn.unwrap_or_else(|| panic!("{answer}")).to_owned();
    server.connect(&arn).await;
    arn
}

#[tokio::test]
async fn tasks_go_to_instances_of_their_platform() {
    let server = Server::start_at_rest().await;
    let ok = async |operation: &str, body: Value| {
        let (status, answer) = server.call("admin", operation, &body.to_string()).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    };
    ok("CreateCluster", json!({})).await;
    let platforms = [
        ("linux", json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"})),
        ("arm", json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"})),
        ("windows", json!({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"})),
    ];
    for (family, platform) in &platforms {
        let container = json!({"name": "main", "image": "main", "memory": 64});
        let body = json!({"family": family, "runtimePlatform": platform,
                          "containerDefinitions": [container]});
        ok("RegisterTaskDefinition", body).await;
    }
    let run = async |family: &str, count: u32| {
        ok("RunTask", json!({"taskDefinition": family, "count": count})).await
    };
    let x86 = instance(&server, "linux", "x86_64", false).await;
    for (family, _) in &platforms[1..] {
        let refused = run(family, 1).await;
        assert_eq!(refused["tasks"], json!([]), "{family}");
        assert_eq!(refused["failures"][0]["reason"], "ATTRIBUTE", "{family}: {refused}");
    }
    let arm = instance(&server, "linux", "arm64", true).await;
    let windows = instance(&server, "windows", "x86_64", true).await;
    for (family, place) in [("linux", &x86), ("arm", &arm), ("windows", &windows)] {
        let ran = run(family, 5).await;
        let tasks = ran["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 5, "{family}: {ran}");
        for task in tasks {
            assert_eq!(task["containerInstanceArn"], json!(place), "{family}");
        }
    }
}
