//! A service as clients watch it: calls without a program for each, so that looks are cheap.

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wire::client::Client;

use crate::harness::{Up, eventually};
use crate::linear::client;

/// Calls ECS with the administrator's key.
pub struct Watched {
    client: Client,
    runtime: Runtime,
}

/// A definition of one busybox container that runs a script of the shell.
pub fn script(family: &str, script: &str) -> Value {
    json!({
        "family": family,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16, "stopTimeout": 2,
            "command": ["sh", "-c", script],
        }],
    })
}

/// One that ends at once when it is told to.
pub fn well_behaved(family: &str) -> Value {
    script(family, "trap 'exit 0' TERM; sleep 600 & wait")
}

/// Checks the container every five seconds, the shortest time that ECS knows, with this command.
pub fn checked(mut definition: Value, check: &str) -> Value {
    definition["containerDefinitions"][0]["healthCheck"] =
        json!({"command": ["CMD-SHELL", check], "interval": 5, "retries": 1});
    definition
}

impl Watched {
    pub fn of(up: &Up) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { client: client(&up.endpoint(), &up.keys()), runtime }
    }

    pub fn call(&self, operation: &str, input: Value) -> Value {
        let called = self.client.invoke(&shapes_ecs::SERVICE, operation, &input);
        let answer = self.runtime.block_on(called);
        answer.unwrap_or_else(|error| panic!("{operation} {input}: {error}"))
    }

    /// Registers a definition and gives its ARN.
    pub fn register(&self, definition: &Value) -> String {
        let answer = self.call("RegisterTaskDefinition", definition.clone());
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    /// Makes a service at 100 and 200 %, with the circuit breaker if it is to roll back or not,
    /// and waits until it is steady.
    pub fn create(&self, name: &str, definition: &str, count: usize, rollback: Option<bool>) {
        let mut input = json!({
            "serviceName": name, "taskDefinition": definition, "desiredCount": count,
            "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200},
        });
        if let Some(rollback) = rollback {
            input["deploymentConfiguration"]["deploymentCircuitBreaker"] =
                json!({"enable": true, "rollback": rollback});
        }
        self.call("CreateService", input);
        self.await_steady(name, definition, count);
    }

    pub fn update(&self, name: &str, definition: &str) -> Value {
        let input = json!({"service": name, "taskDefinition": definition});
        self.call("UpdateService", input)["service"].take()
    }

    pub fn service(&self, name: &str) -> Value {
        self.call("DescribeServices", json!({"services": [name]}))["services"][0].take()
    }

    /// Looks until the service is so, and gives it.
    pub fn until(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let came = eventually(|| {
            last = self.service(name);
            is_so(&last)
        });
        assert!(came, "the service never has {what}: {last:#}");
        last
    }

    /// Waits until one deployment is left, COMPLETED, of this definition, with so many tasks.
    pub fn await_steady(&self, name: &str, definition: &str, count: usize) -> Value {
        self.until(name, "one deployment that is COMPLETED", |service| {
            service["deployments"].as_array().unwrap().len() == 1
                && service["deployments"][0]["rolloutState"] == "COMPLETED"
                && service["taskDefinition"] == definition
                && service["runningCount"] == count
                && service["pendingCount"] == 0
        })
    }

    /// The service's tasks that are to run, or those that are to stop or have.
    pub fn tasks(&self, name: &str, desired: &str) -> Vec<Value> {
        let listed = self.call("ListTasks", json!({"serviceName": name, "desiredStatus": desired}));
        let arns = listed["taskArns"].as_array().unwrap();
        if arns.is_empty() {
            return Vec::new();
        }
        let told = self.call("DescribeTasks", json!({"tasks": arns}));
        told["tasks"].as_array().unwrap().clone()
    }

    /// The ARNs of the tasks that are to run, in order.
    pub fn running(&self, name: &str) -> Vec<String> {
        let tasks = self.tasks(name, "RUNNING");
        let mut arns: Vec<String> =
            tasks.iter().map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect();
        arns.sort();
        arns
    }
}

/// What a service says, the newest first.
pub fn says(service: &Value) -> Vec<String> {
    let events = service["events"].as_array().unwrap();
    events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}
