//! What clients run.

use serde_json::{Value, json};

use crate::server::{ACCOUNT, REGION};
use crate::world::World;

/// All families of task definitions.
const ALL: &[&str] = &[
    "run", "exit", "stubborn", "pair", "static", "dynamic", "missing", "host", "slowly", "guarded",
    "own", "checked", "crash", "flaky", "sickly", "weary", SMALL,
];
/// Those whose tasks run on Fargate: for good, and for a time.
const ON_FARGATE: &[&str] = &["tiny", "tiny", "brief"];
/// A family whose tasks are small and run on.
pub(crate) const SMALL: &str = "small";
/// The same, with interfaces of their own.
const LONE: &str = "lone";
/// Those whose tasks run until somebody stops them.
const RUN_ON: &[&str] = &[
    "run", "stubborn", "pair", "static", "dynamic", "host", "own", "checked", "tiny", SMALL, LONE,
];
/// What services run: mostly what runs on.
const OF_SERVICES: &[&str] = &[
    "run", "run", "checked", "checked", "checked", "stubborn", "pair", "static", "dynamic", SMALL,
    SMALL, "missing", "missing", "crash", "crash", "flaky", "sickly", "weary", "guarded", "exit",
];
/// A zone whose default subnet takes the tasks that have an interface of their own.
const ZONE: &str = "us-east-1a";

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    ALL.iter().chain(&ON_FARGATE[1..]).chain(&[LONE]).copied()
}

/// One whose tasks are small and run on, for a service that runs `current`. A network that an update
/// does not name stays (ECS semantics §7.10), and is refused for tasks that have no interface.
pub(crate) fn small_after(current: Option<&str>) -> &'static str {
    if current.is_some_and(has_interface) { LONE } else { SMALL }
}

/// Whether tasks of the family run on Fargate alone.
pub(crate) fn is_on_fargate(family: &str) -> bool {
    ON_FARGATE.contains(&family)
}

fn has_interface(family: &str) -> bool {
    matches!(family, "own" | "tiny" | "brief" | LONE)
}

/// One of those that run on Fargate.
pub(crate) fn on_fargate(world: &World) -> &'static str {
    world.draw(|chance| chance.pick(ON_FARGATE).copied().unwrap_or("tiny"))
}

/// One of them.
pub(crate) fn any(world: &World) -> &'static str {
    world.draw(|chance| chance.pick(ALL).copied().unwrap_or("run"))
}

/// One of those that services run.
pub(crate) fn of_service(world: &World) -> &'static str {
    world.draw(|chance| chance.pick(OF_SERVICES).copied().unwrap_or("run"))
}

/// Whether tasks of the family run until somebody stops them.
pub(crate) fn runs_on(family: &str) -> bool {
    RUN_ON.contains(&family)
}

/// Whether tasks of the family end before they are healthy, where a circuit breaker watches them.
pub(crate) fn fails_at_once(family: &str) -> bool {
    matches!(family, "missing" | "sickly" | "crash")
}

/// A health check that is made every few seconds.
fn check() -> Value {
    json!({ "command": ["CMD", "check"], "interval": 5, "timeout": 3, "retries": 2,
        "startPeriod": 0 })
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
        "exit" | "brief" => one("exit 0 20000"),
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
            // Where it never becomes healthy, the other one would wait for ever.
            guard["startTimeout"] = 120.into();
            let mut main = container("main", "app", "run", memory);
            main["dependsOn"] = json!([{ "containerName": "guard", "condition": "HEALTHY" }]);
            vec![guard, main]
        }
        "crash" => one("exit 1 0"),
        "flaky" => one("exit 1 5000"),
        "sickly" => one("sick 0"),
        "weary" => one("sick 40000"),
        _ => one("run"),
    };
    if matches!(family, "checked" | "sickly" | "weary") {
        containers[0]["healthCheck"] = check();
    }
    if matches!(family, SMALL | LONE) {
        (containers[0]["memory"], containers[0]["cpu"]) = (64.into(), 64.into());
    }
    if family == "stubborn" {
        containers[0]["stopTimeout"] = 5.into();
    }
    let mappings = match family {
        "static" => json!([{ "containerPort": 80, "hostPort": 8080 }]),
        "dynamic" => json!([{ "containerPort": 80, "hostPort": 0 }]),
        "host" => json!([{ "containerPort": 9090, "hostPort": 9090 }]),
        "own" | "tiny" => json!([{ "containerPort": 80 }]),
        _ => json!([]),
    };
    containers[0]["portMappings"] = mappings;
    let mode = match family {
        "host" => "host",
        _ if has_interface(family) => "awsvpc",
        _ => "bridge",
    };
    let mut body =
        json!({ "family": family, "networkMode": mode, "containerDefinitions": containers });
    if ON_FARGATE.contains(&family) {
        body["requiresCompatibilities"] = json!(["FARGATE"]);
        (body["cpu"], body["memory"]) = ("256".into(), "512".into());
    }
    body
}

/// What RunTask and StartTask need to know of the network of a family's tasks.
pub(crate) fn join_network(family: &str, body: &mut Value) {
    if !has_interface(family) {
        return;
    }
    let account = ACCOUNT.parse().expect("an account");
    let region = REGION.parse().expect("a region");
    let subnet = vpc::default_subnet(&vpc::Scope { account, region }, ZONE);
    let subnet = subnet.expect("each zone has a default subnet").id;
    body["networkConfiguration"] = json!({ "awsvpcConfiguration": { "subnets": [subnet] } });
}
