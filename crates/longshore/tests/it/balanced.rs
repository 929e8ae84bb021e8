//! Services behind load balancers: containers behind an address that clients keep asking while a new
//! release rolls out.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::harness::{Up, eventually, fetch};
use crate::load_balancers::Front;
use crate::watched::Watched;

/// A web server that answers with its family.
pub fn web(family: &str, mode: &str) -> Value {
    let command =
        format!("mkdir /www && echo {family} > /www/index.html && exec httpd -f -p 7070 -h /www");
    let mapping = match mode {
        "bridge" => json!({"containerPort": 7070, "hostPort": 0}),
        _ => json!({"containerPort": 7070}),
    };
    json!({
        "family": family, "networkMode": mode,
        "containerDefinitions": [{
            "name": "web", "image": "busybox", "memory": 16, "stopTimeout": 2,
            "command": ["sh", "-c", command], "portMappings": [mapping],
        }],
    })
}

/// Clients that ask until they are told to stop, each answer of which has to be 200.
struct Load {
    asked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(address: &str) -> Self {
        let (asked, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let client = |_| {
            let (address, asked, is_over) = (address.to_owned(), asked.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let mut stream = TcpStream::connect((address.as_str(), 80)).unwrap();
                    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let clients = (0..4).map(client).collect();
        Self { asked, is_over, clients }
    }

    /// Ends the load; gives how many requests were answered.
    fn end(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.asked.load(Ordering::SeqCst)
    }
}

fn create(ecs: &Watched, front: &Front, definition: &str, network: Option<Value>) {
    let mut input = json!({
        "serviceName": "web", "taskDefinition": definition, "desiredCount": 2,
        "loadBalancers": [
            {"targetGroupArn": front.group, "containerName": "web", "containerPort": 7070}],
    });
    if let Some(network) = network {
        input["networkConfiguration"] = network;
    }
    ecs.call("CreateService", input);
    ecs.await_steady("web", definition, 2);
}

/// Whether the last tasks of other deployments than the current one have stopped.
fn old_ones_stopped(ecs: &Watched) -> bool {
    ecs.tasks("web", "STOPPED").iter().all(|task| task["lastStatus"] == "STOPPED")
}

#[test]
fn a_release_that_rolls_out_fails_no_request() {
    // Each instance has an address of its own, at which its ports are published.
    let up = Up::start_with(&["--instances", "2"], &["busybox"]);
    let (ecs, front) = (Watched::of(&up), Front::make(&up, "instance"));
    let old = ecs.register(&web("old", "bridge"));
    create(&ecs, &front, &old, None);
    assert_eq!(fetch(&front.url()).as_deref(), Some("old\n"));
    let load = Load::on(&front.address);
    let new = ecs.register(&web("new", "bridge"));
    ecs.update("web", &new);
    ecs.await_steady("web", &new, 2);
    assert!(eventually(|| old_ones_stopped(&ecs)));
    assert!(load.end() > 0);
    let seen: BTreeSet<_> = (0..8).map(|_| fetch(&front.url())).collect();
    assert_eq!(seen, BTreeSet::from([Some("new\n".to_owned())]));
}

#[test]
fn tasks_with_addresses_of_their_own_are_targets_by_them() {
    let up = Up::start(&["busybox"]);
    let (ecs, front) = (Watched::of(&up), Front::make(&up, "ip"));
    let definition = ecs.register(&web("own", "awsvpc"));
    let subnets = up.aws(&["ec2", "describe-subnets", "--query", "Subnets[].SubnetId"]);
    let network = json!({"awsvpcConfiguration": {"subnets": subnets}});
    create(&ecs, &front, &definition, Some(network));
    assert_eq!(fetch(&front.url()).as_deref(), Some("own\n"));
    let told = up.aws(&["elbv2", "describe-target-health", "--target-group-arn", &front.group]);
    let ids: BTreeSet<&str> = told["TargetHealthDescriptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["Target"]["Id"].as_str().unwrap())
        .collect();
    let addresses: BTreeSet<String> = ecs
        .tasks("web", "RUNNING")
        .iter()
        .map(|task| {
            let interface = &task["containers"][0]["networkInterfaces"][0];
            interface["privateIpv4Address"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, addresses.iter().map(String::as_str).collect());
}

/// The versions that a number of requests saw.
fn seen(front: &Front) -> BTreeSet<String> {
    (0..64).filter_map(|_| fetch(&front.url())).collect()
}

fn stage(ecs: &Watched) -> Value {
    let listed = ecs.call("ListServiceDeployments", json!({"service": "web"}));
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    let told = ecs.call("DescribeServiceDeployments", json!({"serviceDeploymentArns": [arn]}));
    told["serviceDeployments"][0].clone()
}

#[test]
fn a_canary_gets_a_part_of_the_traffic_and_gives_it_back() {
    let up = Up::start(&["busybox"]);
    let (ecs, front) = (Watched::of(&up), Front::make(&up, "instance"));
    let green = front.another(&up, "green");
    let rules = up.aws(&["elbv2", "describe-rules", "--listener-arn", &front.listener]);
    let old = ecs.register(&web("old", "bridge"));
    let input = json!({
        "serviceName": "web", "taskDefinition": old, "desiredCount": 1,
        "deploymentConfiguration": {
            "strategy": "CANARY", "bakeTimeInMinutes": 0,
            "canaryConfiguration": {"canaryPercent": 50.0, "canaryBakeTimeInMinutes": 1440},
        },
        "loadBalancers": [{
            "targetGroupArn": front.group, "containerName": "web", "containerPort": 7070,
            "advancedConfiguration": {
                "alternateTargetGroupArn": green,
                "productionListenerRule": rules["Rules"][0]["RuleArn"],
            },
        }],
    });
    ecs.call("CreateService", input);
    ecs.await_steady("web", &old, 1);
    let (only_old, only_new) =
        (BTreeSet::from(["old\n".to_owned()]), BTreeSet::from(["new\n".to_owned()]));
    assert_eq!(seen(&front), only_old);
    let new = ecs.register(&web("new", "bridge"));
    ecs.update("web", &new);
    assert!(eventually(|| stage(&ecs)["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"));
    let weight = &stage(&ecs)["targetServiceRevision"]["requestedProductionTrafficWeight"];
    assert_eq!(weight.as_f64(), Some(50.0));
    assert_eq!(seen(&front), only_old.union(&only_new).cloned().collect());
    let load = Load::on(&front.address);
    let arn = stage(&ecs)["serviceDeploymentArn"].clone();
    ecs.call("StopServiceDeployment", json!({"serviceDeploymentArn": arn}));
    ecs.await_steady("web", &old, 1);
    assert!(eventually(|| old_ones_stopped(&ecs)));
    assert_eq!(stage(&ecs)["status"], "ROLLBACK_SUCCESSFUL");
    assert!(load.end() > 0);
    assert_eq!(seen(&front), only_old);

    let at_once = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0});
    let input = json!({
        "service": "web", "taskDefinition": new, "deploymentConfiguration": at_once,
    });
    let load = Load::on(&front.address);
    ecs.call("UpdateService", input);
    ecs.await_steady("web", &new, 1);
    assert!(eventually(|| old_ones_stopped(&ecs)));
    assert!(load.end() > 0);
    assert_eq!(seen(&front), only_new);
}
