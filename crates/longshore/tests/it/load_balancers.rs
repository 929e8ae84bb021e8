//! Load balancers through AWS's own tools: made with the CLI, asked with curl, containers behind.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Up, eventually, fetch};

/// The first thing of an answer's list.
fn first<'a>(answer: &'a Value, list: &str, member: &str) -> &'a str {
    answer[list][0][member].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

/// A page with its status, whatever it is.
fn page(url: &str) -> String {
    let args = ["-sS", "--max-time", "20", "-o", "-", "-w", " %{http_code}", url];
    let output = Command::new("curl").args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The states of a group's targets, each once.
fn states(up: &Up, group: &str) -> BTreeSet<String> {
    let told = up.aws(&["elbv2", "describe-target-health", "--target-group-arn", group]);
    let all = told["TargetHealthDescriptions"].as_array().unwrap().iter();
    all.map(|one| one["TargetHealth"]["State"].as_str().unwrap().to_owned()).collect()
}

/// A load balancer that forwards all it gets on port 80 to a group.
pub struct Front {
    /// Where it is.
    pub address: String,
    /// The group's ARN.
    pub group: String,
    /// Its listener's ARN.
    pub listener: String,
    balancer: String,
}

impl Front {
    /// Makes one with a group of such targets, which are checked every five seconds.
    pub fn make(up: &Up, target_type: &str) -> Self {
        let subnets = up.aws(&["ec2", "describe-subnets", "--query", "Subnets[:2].SubnetId"]);
        let subnet = |index: usize| subnets[index].as_str().unwrap();
        let make = ["elbv2", "create-load-balancer", "--name", "web", "--subnets"];
        let made = up.aws(&[&make[..], &[subnet(0), subnet(1)]].concat());
        let balancer = first(&made, "LoadBalancers", "LoadBalancerArn").to_owned();
        let zone = &made["LoadBalancers"][0]["AvailabilityZones"][0];
        let address = zone["LoadBalancerAddresses"][0]["IpAddress"].as_str().unwrap().to_owned();
        let group = make_group(up, "blue", target_type);
        let listener = listen(up, &balancer, 80, &group);
        Self { address, group, balancer, listener }
    }

    /// Lets another port of it forward to a group, and gives the listener's ARN.
    pub fn listen(&self, up: &Up, port: u16, group: &str) -> String {
        listen(up, &self.balancer, port, group)
    }

    /// Makes a group of instances besides, and gives its ARN.
    pub fn another(&self, up: &Up, name: &str) -> String {
        make_group(up, name, "instance")
    }

    /// Its root.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn listen(up: &Up, balancer: &str, port: u16, group: &str) -> String {
    let (port, forward) = (port.to_string(), format!("Type=forward,TargetGroupArn={group}"));
    let make = ["elbv2", "create-listener", "--protocol", "HTTP", "--port", &port];
    let of = ["--load-balancer-arn", balancer, "--default-actions", &forward];
    let made = up.aws(&[&make[..], &of].concat());
    first(&made, "Listeners", "ListenerArn").to_owned()
}

fn make_group(up: &Up, name: &str, target_type: &str) -> String {
    let vpc = up.aws(&["ec2", "describe-vpcs", "--query", "Vpcs[0].VpcId"]);
    let make = ["elbv2", "create-target-group", "--name", name, "--protocol", "HTTP"];
    let more = ["--port", "80", "--vpc-id", vpc.as_str().unwrap(), "--target-type", target_type];
    let fast = ["--health-check-interval-seconds", "5", "--health-check-timeout-seconds", "2"];
    let made = up.aws(&[&make[..], &more, &fast].concat());
    first(&made, "TargetGroups", "TargetGroupArn").to_owned()
}

/// Runs a web server and gives the machine that it is on and the port there.
fn serve(up: &Up, name: &str) -> (String, u64) {
    let command =
        format!("mkdir /www && echo {name} > /www/index.html && exec httpd -f -p 7070 -h /www");
    let definition = json!({
        "family": name,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16, "stopTimeout": 2,
            "command": ["sh", "-c", command],
            "portMappings": [{"containerPort": 7070, "hostPort": 0}],
        }],
    });
    let task = up.await_status(&up.run_task(&definition), "RUNNING");
    let port = &task["containers"][0]["networkBindings"][0]["hostPort"];
    let instance = task["containerInstanceArn"].as_str().unwrap();
    let told = ["ecs", "describe-container-instances", "--container-instances", instance];
    let told = up.aws(&told);
    let machine = first(&told, "containerInstances", "ec2InstanceId").to_owned();
    (machine, port.as_u64().unwrap())
}

#[test]
fn requests_flow_to_containers() {
    let up = Up::start(&["busybox"]);
    let front = Front::make(&up, "instance");
    let (balancer, group, listener) = (&*front.balancer, &*front.group, &*front.listener);
    let url = front.url();
    up.aws(&["elbv2", "wait", "load-balancer-available", "--load-balancer-arns", balancer]);
    assert!(page(&url).ends_with(" 503"), "{}", page(&url));

    let of_group = ["--target-group-arn", group];
    let mut targets = Vec::new();
    for name in ["one", "two"] {
        let (machine, port) = serve(&up, name);
        let target = format!("Id={machine},Port={port}");
        let register = ["elbv2", "register-targets", "--targets", &target];
        up.aws(&[&register[..], &of_group].concat());
        targets.push(target);
    }
    up.aws(&[&["elbv2", "wait", "target-in-service"][..], &of_group].concat());
    assert_eq!(states(&up, group), BTreeSet::from(["healthy".to_owned()]));
    let seen: BTreeSet<String> = (0..8).filter_map(|_| fetch(&url)).collect();
    assert_eq!(seen, BTreeSet::from(["one\n".to_owned(), "two\n".to_owned()]));

    let condition = "Field=path-pattern,Values=/gone/*";
    let fixed = "Type=fixed-response,FixedResponseConfig={StatusCode=410,MessageBody=gone,\
                 ContentType=text/plain}";
    let make = ["elbv2", "create-rule", "--listener-arn", listener, "--priority", "7"];
    let rule = up.aws(&[&make[..], &["--conditions", condition, "--actions", fixed]].concat());
    assert!(eventually(|| page(&format!("{url}gone/by")) == "gone 410"), "{rule}");

    let leave = ["elbv2", "deregister-targets", "--targets", &targets[0]];
    up.aws(&[&leave[..], &of_group].concat());
    let both = BTreeSet::from(["draining".to_owned(), "healthy".to_owned()]);
    assert_eq!(states(&up, group), both);
    let only_two = || (0..8).all(|_| fetch(&url).as_deref() == Some("two\n"));
    assert!(eventually(only_two));

    up.aws(&["elbv2", "delete-load-balancer", "--load-balancer-arn", balancer]);
    assert!(eventually(|| page(&url).ends_with(" 000")));
    up.aws(&[&["elbv2", "delete-target-group"][..], &of_group].concat());
    let wait = ["elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", balancer];
    up.aws(&wait);
}
