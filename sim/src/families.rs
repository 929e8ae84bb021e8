//! What clients run.

use serde_json::{Value, json};

use crate::server::{ACCOUNT, REGION};
use crate::world::World;

/// All families of task definitions.
const ALL: &[&str] = &[
    "run", "exit", "stubborn", "pair", "static", "dynamic", "missing", "host", "slowly", "guarded",
    "own",
];
/// A zone whose default subnet takes the tasks that have an interface of their own.
const ZONE: &str = "us-east-1a";

/// All of them.
pub(crate) fn all() -> &'static [&'static str] {
    ALL
}

/// One of them.
pub(crate) fn any(world: &World) -> &'static str {
    world.draw(|chance| chance.pick(ALL).copied().unwrap_or("run"))
}

fn container(name: &str, image: &str, command: &str, memory: u64) -> Value {
    let command: Vec<&str> = command.split(' ').collect();
    json!({
        "name": name, "image": image, "command": command, "essential": true,
        "memory": memory, "cpu": 128,
    })
}

/// The definition of a family.
pub(crate) fn definition(family: &str, memory: u64) -> Value {
    let one = |command: &str| vec![container("main", "app", command, memory)];
    let mut containers = match family {
        "exit" => one("exit 0 20000"),
        "slowly" => one("exit 3 90000"),
        "stubborn" => one("stubborn"),
        "missing" => vec![container("main", "missing", "run", memory)],
        "pair" => {
            let mut first = container("first", "setup", "exit 0 500", memory);
            first["essential"] = false.into();
            let mut main = container("main", "app", "run", memory);
            main["dependsOn"] = json!([{ "containerName": "first", "condition": "SUCCESS" }]);
            vec![first, main]
        }
        "guarded" => {
            let mut guard = container("guard", "app", "sick 60000", memory);
            guard["healthCheck"] = json!({ "command": ["CMD", "check"], "interval": 10,
                "timeout": 5, "retries": 2, "startPeriod": 0 });
            let mut main = container("main", "app", "run", memory);
            main["dependsOn"] = json!([{ "containerName": "guard", "condition": "HEALTHY" }]);
            vec![guard, main]
        }
        _ => one("run"),
    };
    if family == "stubborn" {
        containers[0]["stopTimeout"] = 5.into();
    }
    let mappings = match family {
        "static" => json!([{ "containerPort": 80, "hostPort": 8080 }]),
        "dynamic" => json!([{ "containerPort": 80, "hostPort": 0 }]),
        "host" => json!([{ "containerPort": 9090, "hostPort": 9090 }]),
        "own" => json!([{ "containerPort": 80 }]),
        _ => json!([]),
    };
    containers[0]["portMappings"] = mappings;
    let mode = match family {
        "host" => "host",
        "own" => "awsvpc",
        _ => "bridge",
    };
    json!({ "family": family, "networkMode": mode, "containerDefinitions": containers })
}

/// What RunTask and StartTask need to know of the network of a family's tasks.
pub(crate) fn join_network(family: &str, body: &mut Value) {
    if family != "own" {
        return;
    }
    let account = ACCOUNT.parse().expect("an account");
    let region = REGION.parse().expect("a region");
    let subnet = vpc::default_subnet(&vpc::Scope { account, region }, ZONE);
    let subnet = subnet.expect("each zone has a default subnet").id;
    body["networkConfiguration"] = json!({ "awsvpcConfiguration": { "subnets": [subnet] } });
}
