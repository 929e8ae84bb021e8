//! What tasks find at 169.254.170.2, and how an instance keeps its machine in order.

use serde_json::{Value, json};

use crate::harness::{Up, eventually, fetch};

/// Runs a shell script in busybox to its end, and gives what it wrote.
fn output_of(up: &Up, definition: &Value, more: &[&str]) -> String {
    let text = definition.to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
    let family = definition["family"].as_str().unwrap();
    let run = [&["ecs", "run-task", "--task-definition", family][..], more].concat();
    let answer = up.aws(&run);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap();
    let task = arn.rsplit('/').next().unwrap();
    up.await_status(task, "STOPPED");
    up.cli(&["logs", task])
}

fn script(family: &str, script: &str) -> Value {
    json!({"family": family, "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["sh", "-c", script]}]})
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[test]
fn tasks_are_told_of_themselves() {
    let up = Up::start(&["busybox"]);
    let mut definition = script(
        "curious",
        // Until then there are no figures of it.
        "until wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | grep -q StartedAt; do sleep 0.1; done; \
         for path in '' /task /taskWithTags /stats /task/stats /associations/gpu; do \
             wget -qO- $ECS_CONTAINER_METADATA_URI_V4$path; echo; done; \
         wget -qO- $ECS_CONTAINER_METADATA_URI/task; echo",
    );
    definition["volumes"] = json!([{"name": "data", "host": {"sourcePath": "/tmp"}}]);
    definition["containerDefinitions"][0]["mountPoints"] =
        json!([{"sourceVolume": "data", "containerPath": "/data", "readOnly": true}]);
    let told = lines(&output_of(&up, &definition, &["--tags", "key=colour,value=blue"]));
    let [container, task, tagged, stats, all, gpus, older] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!(container["Name"], "main");
    assert_eq!(container["Volumes"], json!([{"Source": "/tmp", "Destination": "/data"}]));
    assert_eq!(container["Snapshotter"], "overlayfs");
    assert_eq!((&task["Family"], &task["LaunchType"]), (&json!("curious"), &json!("EC2")));
    assert_eq!(task.get("TaskTags"), None);
    assert_eq!(tagged["TaskTags"], json!({"colour": "blue"}), "{tagged:#}");
    assert_eq!(tagged.get("Errors"), None, "{tagged:#}");
    for member in [
        "read",
        "preread",
        "cpu_stats",
        "precpu_stats",
        "memory_stats",
        "blkio_stats",
        "pids_stats",
        "networks",
        "storage_stats",
        "num_procs",
    ] {
        assert!(stats.get(member).is_some(), "{member}: {stats:#}");
    }
    assert!(stats["cpu_stats"]["system_cpu_usage"].as_u64().unwrap() > 0);
    assert!(stats["memory_stats"]["limit"].as_u64().unwrap() == 32 << 20, "{stats:#}");
    let id = container["DockerId"].as_str().unwrap();
    assert_eq!(all[id]["id"], id);
    assert_eq!(gpus, &json!({"Associations": []}));
    assert_eq!((older.get("LaunchType"), &older["Family"]), (None, &json!("curious")));
}

#[test]
fn an_awsvpc_task_is_known_by_its_address() {
    let up = Up::start(&["busybox"]);
    let subnets = up.aws(&["ec2", "describe-subnets"]);
    let subnet = subnets["Subnets"][0]["SubnetId"].as_str().unwrap();
    let network = format!("awsvpcConfiguration={{subnets=[{subnet}]}}");
    let mut definition = script(
        "second-version",
        // What is compared below changes until the container is known to run.
        "until wget -qO- http://169.254.170.2/v2/metadata | grep -q StartedAt; do sleep 0.1; done; \
         wget -qO- http://169.254.170.2/v2/metadata; echo; \
         id=$(wget -qO- http://169.254.170.2/v2/metadata | sed 's/.*DockerId\":\"\\([0-9a-f]*\\).*/\\1/'); \
         wget -qO- http://169.254.170.2/v2/metadata/$id; echo; \
         wget -qO- http://169.254.170.2/v2/stats; echo; \
         wget -qO- http://169.254.170.2/v2/stats/$id; echo",
    );
    definition["networkMode"] = json!("awsvpc");
    let told = lines(&output_of(&up, &definition, &["--network-configuration", &network]));
    let [task, container, all, stats] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!(task["Family"], "second-version");
    assert_eq!(task.get("LaunchType"), None, "that is of version 4");
    assert_eq!(task["Containers"][0], *container);
    let networks = container["Networks"].as_array().unwrap();
    assert_eq!(networks[0]["NetworkMode"], "awsvpc");
    let id = container["DockerId"].as_str().unwrap();
    assert_eq!((&all[id]["id"], &stats["id"]), (&json!(id), &json!(id)));
}

#[test]
fn a_task_that_asks_without_end_is_slowed_down() {
    let up = Up::start_with(&["--metadata-rate", "1,5"], &["busybox"]);
    let asks = script(
        "hasty",
        "for i in $(seq 40); do said=$(wget -O- $ECS_CONTAINER_METADATA_URI_V4 2>&1) && echo ok || \
         { echo refused; echo \"$said\" | grep -o 'HTTP/1.1 [0-9]*'; }; done",
    );
    let told = output_of(&up, &asks, &[]);
    let count = |word: &str| told.lines().filter(|line| *line == word).count();
    assert!((5..40).contains(&count("ok")), "{told}");
    assert_eq!(count("refused"), count("HTTP/1.1 429"), "{told}");
}

#[test]
fn the_introspection_api_tells_what_runs() {
    let flags = ["--introspection-listen", "127.0.0.1:0"];
    let up = Up::start_with(&flags, &["busybox"]);
    let file = up.data().join("node/instance-1/introspection");
    let at = std::fs::read_to_string(file).unwrap();
    let get = |path: &str| -> Value {
        let told = fetch(&format!("http://{}{path}", at.trim())).unwrap_or_default();
        serde_json::from_str(&told).unwrap_or(Value::Null)
    };
    assert_eq!(get("/")["AvailableCommands"], json!(["/v1/metadata", "/v1/tasks", "/license"]));
    let instances = up.aws(&["ecs", "list-container-instances"]);
    let arn = &instances["containerInstanceArns"][0];
    let agent = get("/v1/metadata");
    assert_eq!((&agent["ContainerInstanceArn"], &agent["Cluster"]), (arn, &json!("default")));
    let task = up.run_task(&script("seen", "sleep 600"));
    let running = up.await_status(&task, "RUNNING");
    let shown = get("/v1/tasks");
    assert_eq!(shown["Tasks"][0]["Arn"], running["taskArn"], "{shown:#}");
    let id = running["containers"][0]["runtimeId"].as_str().unwrap();
    assert_eq!(get(&format!("/v1/tasks?dockerid={}", &id[..12]))["KnownStatus"], "RUNNING");
    assert_eq!(get("/v1/tasks?dockerid=nobody"), Value::Null, "404");
}

#[test]
fn an_instance_whose_disk_is_full_takes_nothing_new_and_says_why() {
    // Nothing is free enough for such a floor.
    let mut up = Up::start_with(&["--disk-full", "100%"], &["busybox"]);
    let definition = script("late", "echo ran").to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let health = |up: &Up| {
        let instances = up.aws(&["ecs", "list-container-instances"]);
        let arn = instances["containerInstanceArns"][0].as_str().unwrap();
        let include = ["--include", "CONTAINER_INSTANCE_HEALTH"];
        let describe = ["ecs", "describe-container-instances", "--container-instances", arn];
        let told = up.aws(&[&describe[..], &include].concat());
        told["containerInstances"][0]["healthStatus"].clone()
    };
    let is_told = || health(&up)["overallStatus"] == "IMPAIRED";
    assert!(eventually(is_told), "{:#}", health(&up));
    let check = &health(&up)["details"][0];
    let why = check["statusReason"].as_str().unwrap();
    assert!(why.starts_with("DISK: ") && why.contains("less than"), "{check:#}");
    let refused = up.aws(&["ecs", "run-task", "--task-definition", "late"]);
    assert_eq!(refused["failures"][0]["reason"], "RESOURCE:DISK", "{refused:#}");

    // With room it is as it was.
    up.process().end(nix::sys::signal::Signal::SIGTERM);
    up.set_flags(&[]);
    up.restart();
    assert!(eventually(|| health(&up)["overallStatus"] == "OK"), "{:#}", health(&up));
    let answer = up.aws(&["ecs", "run-task", "--task-definition", "late"]);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap();
    up.await_status(arn.rsplit('/').next().unwrap(), "STOPPED");
}

#[test]
fn settings_of_amazons_agent_are_read() {
    let up = Up::server(&[]);
    let shown = |variables: &[(&str, &str)]| -> Value {
        let mut command = std::process::Command::new(crate::harness::LONGSHORE);
        command.args(["config", "show", "--output", "json"]).envs(variables.iter().copied());
        let output = command.env("LONGSHORE_DATA_DIR", up.data()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let plain = shown(&[]);
    assert_eq!(plain["image_pull_behavior"]["value"], "prefer-cached");
    assert_eq!(plain["image_cleanup_interval"]["value"], "30m");
    assert_eq!(plain["task_cleanup_wait"]["value"], "3h");
    let told = shown(&[
        ("ECS_IMAGE_PULL_BEHAVIOR", "once"),
        ("ECS_IMAGE_CLEANUP_INTERVAL", "1h30m"),
        ("ECS_DISABLE_IMAGE_CLEANUP", "true"),
        ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "10m"),
    ]);
    assert_eq!(told["image_pull_behavior"]["value"], "once");
    assert_eq!(told["image_pull_behavior"]["source"], "environment (ECS_IMAGE_PULL_BEHAVIOR)");
    assert_eq!(told["image_cleanup_interval"]["value"], "90m");
    assert_eq!(told["image_cleanup_count"]["value"], "0");
    assert_eq!(told["task_cleanup_wait"]["value"], "10m");
}
