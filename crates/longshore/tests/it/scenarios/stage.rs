//! What scenarios share: one `longshore up`, tasks that say what they see, and their verdicts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::client::{Client, ClientError};

use crate::harness::{LONGSHORE, PATIENCE, Up};
use crate::linear::client;

/// How long a task may take: longer than the shortest period of a restart policy.
const LONGEST: Duration = PATIENCE.saturating_mul(2);
/// Between two looks at a task.
const LOOK: Duration = Duration::from_millis(30);

/// One Longshore for all scenarios that run now; the last one to end takes it down.
pub struct Stage {
    /// Taken down with the stage.
    _up: Mutex<Up>,
    data: PathBuf,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// The stage, set up for the first who asks. It has two GPUs, which are devices that every machine
/// has.
pub fn stage() -> Arc<Stage> {
    static STAGE: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
    let mut shared = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stage) = shared.upgrade() {
        return stage;
    }
    let gpus = ["--gpu-device", "GPU-a=/dev/zero,/dev/full", "--gpu-device", "GPU-b=/dev/full"];
    let up = Up::start_with(&gpus, &["busybox"]);
    let client = client(&up.endpoint(), &up.keys());
    // Scenarios call from threads of their own.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let data = up.data().to_owned();
    let stage = Arc::new(Stage { _up: Mutex::new(up), data, client, runtime });
    *shared = Arc::downgrade(&stage);
    stage
}

/// What became of a task.
pub struct Ended {
    /// As DescribeTasks tells it.
    pub task: Value,
    /// What its containers wrote, by name.
    pub said: Vec<(String, String)>,
}

impl Ended {
    /// What a container wrote.
    pub fn said(&self, container: &str) -> &str {
        let of = self.said.iter().find(|(name, _)| name == container);
        of.map_or("", |(_, said)| said)
    }

    /// A container's exit code.
    pub fn code(&self, container: &str) -> Option<i64> {
        self.container(container)["exitCode"].as_i64()
    }

    /// A container, as DescribeTasks tells it.
    pub fn container(&self, name: &str) -> &Value {
        let containers = self.task["containers"].as_array().unwrap();
        containers.iter().find(|one| one["name"] == name).unwrap()
    }
}

impl Stage {
    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What a container of a task wrote until now.
    pub fn logs(&self, task: &str, container: &str) -> String {
        let mut command = Command::new(LONGSHORE);
        command.args(["logs", "--container", container, task]);
        let output = command.env("LONGSHORE_DATA_DIR", &self.data).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// One call of ECS.
    pub fn call(&self, operation: &str, input: &Value) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.invoke(&shapes_ecs::SERVICE, operation, input))
    }

    /// Starts one task of a definition and gives its id, or the reason for which none was placed.
    pub fn start(&self, definition: &Value, more: &Value) -> Result<String, String> {
        let registered = self.call("RegisterTaskDefinition", definition);
        let registered = registered.unwrap_or_else(|error| panic!("{error}: {definition}"));
        let arn = &registered["taskDefinition"]["taskDefinitionArn"];
        let mut input = json!({"taskDefinition": arn});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.call("RunTask", &input).unwrap();
        match answer["tasks"][0]["taskArn"].as_str() {
            Some(arn) => Ok(arn.rsplit('/').next().unwrap().to_owned()),
            None => Err(answer["failures"][0]["reason"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// Waits until a task has this status, and gives it.
    pub fn reach(&self, task: &str, status: &str) -> Value {
        let begin = Instant::now();
        loop {
            let answer = self.call("DescribeTasks", &json!({"tasks": [task]})).unwrap();
            let found = answer["tasks"][0].clone();
            if found["lastStatus"] == status {
                return found;
            }
            assert!(begin.elapsed() < LONGEST, "the task does not become {status}: {found:#}");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Runs a task to its end.
    pub fn run(&self, definition: &Value) -> Ended {
        self.run_with(definition, &json!({}))
    }

    /// The same, with further members of RunTask.
    pub fn run_with(&self, definition: &Value, more: &Value) -> Ended {
        let task = self.start(definition, more).unwrap_or_else(|why| panic!("not placed: {why}"));
        self.end(&task)
    }

    /// Waits for a task's end, and reads what it wrote.
    pub fn end(&self, id: &str) -> Ended {
        let task = self.reach(id, "STOPPED");
        let said = |container: &Value| {
            let name = container["name"].as_str().unwrap();
            (name.to_owned(), self.logs(id, name))
        };
        let said = task["containers"].as_array().unwrap().iter().map(said).collect();
        Ended { task, said }
    }

    /// Runs `script` in a container `main` with these further members, and expects it to write
    /// `expected` and to end with 0.
    pub fn expect(&self, family: &str, members: &Value, script: &str, expected: &str) {
        let ended = self.run(&definition(family, members, script));
        let (said, code) = (ended.said("main"), ended.code("main"));
        assert_eq!((said, code), (expected, Some(0)), "{family}: {:#}", ended.task);
    }
}

/// A container of busybox that runs a script.
pub fn container(name: &str, script: &str, members: &Value) -> Value {
    let mut container = json!({
        "name": name, "image": "busybox", "memory": 32, "stopTimeout": 2,
        "command": ["sh", "-c", script],
    });
    container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    container
}

/// A definition of one container `main`. Members whose names begin with `task.` are the task's.
pub fn definition(family: &str, members: &Value, script: &str) -> Value {
    let (mut of_task, mut of_container) = (json!({"family": family}), json!({}));
    for (name, value) in members.as_object().unwrap() {
        match name.strip_prefix("task.") {
            Some(name) => of_task[name] = value.clone(),
            None => of_container[name] = value.clone(),
        }
    }
    of_task["containerDefinitions"] = json!([container("main", script, &of_container)]);
    of_task
}
