//! A container instance that is lost in the midst of a deployment.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Process, Up, eventually, example_image};
use crate::watched::{Watched, says, well_behaved};

/// A second instance, on a data folder of its own, as on another machine.
struct Second {
    args: Vec<String>,
    folder: tempfile::TempDir,
}

impl Second {
    fn of(up: &Up) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().display().to_string();
        let made: Value =
            serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
        let (token, endpoint) = (made["token"].as_str().unwrap(), up.endpoint());
        let args = ["agent", "--server", &endpoint, "--token", token, "--name", "second"];
        let more = ["--data-dir", &data, "--attribute", "rack=second"];
        let args = args.into_iter().chain(more).map(str::to_owned).collect();
        up.cli(&["image", "load", &example_image("busybox"), "--data-dir", &data]);
        Self { args, folder }
    }

    fn start(&self) -> Process {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        Process::start(&args, "Longshore agent")
    }
}

/// The second instance's ARN, once its agent is connected.
fn connected(ecs: &Watched) -> Option<String> {
    let listed = ecs.call("ListContainerInstances", serde_json::json!({}));
    let arns = listed["containerInstanceArns"].clone();
    let input = serde_json::json!({"containerInstances": arns});
    let told = ecs.call("DescribeContainerInstances", input);
    let is_it = |one: &&Value| {
        let attributes = one["attributes"].as_array().unwrap();
        one["agentConnected"] == true && attributes.iter().any(|one| one["name"] == "rack")
    };
    let found = told["containerInstances"].as_array().unwrap().iter().find(is_it)?;
    found["containerInstanceArn"].as_str().map(str::to_owned)
}

#[test]
fn a_node_lost_in_the_midst_of_a_deployment_is_made_up_for() {
    // New tasks are healthy after half a minute; an agent is away, and lost, after five and a half seconds.
    let flags = ["--settle-seconds", "30", "--lost-after-seconds", "0.5"];
    let up = Up::start_with(&flags, &["busybox"]);
    let ecs = Watched::of(&up);
    let second = Second::of(&up);
    let mut agent = second.start();
    assert!(eventually(|| connected(&ecs).is_some()), "the second agent does not connect");
    let lost = connected(&ecs).unwrap();
    let old = ecs.register(&well_behaved("web"));
    ecs.create("web", &old, 4, None);

    let new = ecs.register(&well_behaved("web"));
    ecs.update("web", &new);
    let there = |definition: &str| {
        let mut tasks = ecs.tasks("web", "RUNNING");
        tasks.retain(|task| {
            task["containerInstanceArn"] == lost.as_str()
                && task["taskDefinitionArn"] == definition
                && task["lastStatus"] == "RUNNING"
        });
        tasks
    };
    assert!(eventually(|| there(&new).len() == 2), "half of the new tasks belong there");
    assert_eq!(there(&old).len(), 2, "the deployment is over before the node is lost");
    let gone = [there(&new), there(&old)].concat();
    agent.end(Signal::SIGKILL);

    let is_elsewhere = || {
        let tasks = ecs.tasks("web", "RUNNING");
        tasks.len() == 4
            && tasks.iter().all(|task| {
                task["taskDefinitionArn"] == new.as_str()
                    && task["lastStatus"] == "RUNNING"
                    && task["containerInstanceArn"] != lost.as_str()
            })
    };
    assert!(eventually(is_elsewhere), "{:#}", ecs.service("web"));
    let service = ecs.until("web", "a deployment that is COMPLETED", |service| {
        service["deployments"][0]["rolloutState"] == "COMPLETED"
    });
    assert_eq!(service["deployments"][0]["taskDefinition"], new.as_str());
    assert!(says(&service).iter().any(|line| line.contains("deployment completed.")));

    // The containers went on without their agent; when it is back it ends what is not wanted.
    let mut agent = second.start();
    assert!(eventually(|| connected(&ecs).is_some()), "the second agent does not come back");
    for task in &gone {
        let arn = task["taskArn"].as_str().unwrap();
        let stopped = up.await_status(arn, "STOPPED");
        assert_eq!(stopped["stopCode"], "ServiceSchedulerInitiated", "{stopped:#}");
    }
    ecs.await_steady("web", &new, 4);
    ecs.call("DeleteService", serde_json::json!({"service": "web", "force": true}));
    ecs.until("web", "an end", |service| service["status"] == "INACTIVE");
    assert!(eventually(|| there(&new).is_empty()));
    agent.end(Signal::SIGTERM);
    up.cli(&["down", "--data-dir", &second.folder.path().display().to_string()]);
}
