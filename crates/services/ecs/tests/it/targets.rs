//! Services behind load balancers, with agents that the test plays and a data plane that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::server::{ACCOUNT, REGION, Server};

/// How long a test waits for something to come true before it gives up.
const WITHIN: Duration = Duration::from_secs(240);
const MACHINE: &str = "i-0123456789abcdef0";

/// Answers all requests; those for `/held` when it is let go.
pub struct Backend {
    port: u16,
    is_held: Arc<AtomicBool>,
    asked: Arc<Notify>,
    goes_on: Arc<Notify>,
}

impl Backend {
    pub async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let backend =
            Self { port, is_held: Arc::default(), asked: Arc::default(), goes_on: Arc::default() };
        let (asked, goes_on) = (backend.asked.clone(), backend.goes_on.clone());
        let is_held = backend.is_held.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (asked, goes_on) = (asked.clone(), goes_on.clone());
                let is_held = is_held.clone();
                tokio::spawn(async move {
                    while let Some(head) = head(&mut stream).await {
                        if head.starts_with("GET /held ") {
                            is_held.store(true, Ordering::SeqCst);
                            asked.notify_one();
                            goes_on.notified().await;
                        }
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";
                        stream.write_all(answer).await.unwrap_or_default();
                    }
                });
            }
        });
        backend
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(read).ok()
}

/// A server with an instance, a load balancer that forwards to the group `blue`, and a group `idle`
/// that nothing forwards to.
pub struct World {
    pub server: Server,
    address: String,
    /// The default rule of its listener.
    pub rule: String,
    pub blue: String,
    pub idle: String,
}

/// A port that nobody listens on there now.
async fn free_port(ip: &str) -> u16 {
    let free = TcpListener::bind((ip, 0)).await.unwrap();
    free.local_addr().unwrap().port()
}

fn element(text: &str, name: &str) -> String {
    let inner = text.split(&format!("<{name}>")).nth(1).unwrap_or_else(|| panic!("{text}"));
    inner.split('<').next().unwrap().to_owned()
}

impl World {
    pub async fn new() -> Self {
        let server = Server::start().await;
        server.call("admin", "CreateCluster", "{}").await;
        let identity = json!({"instanceId": MACHINE}).to_string();
        let wanted = json!({
            "cluster": "default", "instanceIdentityDocument": identity,
            "attributes": [{"name": "longshore.address", "value": "127.0.0.1"}],
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": 100_000},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 100_000}],
        });
        let (_, made) =
            server.call("admin", "RegisterContainerInstance", &wanted.to_string()).await;
        let arn = made["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        server.connect(&arn).await;
        for (family, mode) in [("web", "bridge"), ("own", "awsvpc")] {
            let body = json!({"family": family, "networkMode": mode, "containerDefinitions": [
                {"name": "web", "image": "web", "memory": 16,
                 "portMappings": [{"containerPort": 80}]}]});
            server.call("admin", "RegisterTaskDefinition", &body.to_string()).await;
        }
        let scope =
            vpc::Scope { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
        let subnet = |zone: &str| vpc::default_subnet(&scope, &format!("{REGION}{zone}")).unwrap();
        let (a, b) = (subnet("a"), subnet("b"));
        let made = server
            .balance(&format!(
                "Action=CreateLoadBalancer&Name=web&Subnets.member.1={}&Subnets.member.2={}",
                a.id, b.id
            ))
            .await;
        let (balancer, ip) = (element(&made, "LoadBalancerArn"), element(&made, "IpAddress"));
        let mut groups = Vec::new();
        for name in ["blue", "idle"] {
            let made = server
                .balance(&format!(
                    "Action=CreateTargetGroup&Name={name}&Protocol=HTTP&Port=80&VpcId={}",
                    a.vpc
                ))
                .await;
            groups.push(element(&made, "TargetGroupArn"));
        }
        let (blue, idle) = (groups.remove(0), groups.remove(0));
        // All servers give out the same ids, so the load balancers of all tests have one address.
        let port = free_port(&ip).await;
        let made = server
            .balance(&format!(
                "Action=CreateListener&LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&\
                 DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={blue}"
            ))
            .await;
        let of = element(&made, "ListenerArn");
        let rules = server.balance(&format!("Action=DescribeRules&ListenerArn={of}")).await;
        let rule = element(&rules, "RuleArn");
        Self { server, address: format!("{ip}:{port}"), rule, blue, idle }
    }

    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.server.call("admin", operation, &body.to_string()).await;
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    pub fn behind(&self, group: &str) -> Value {
        json!([{"targetGroupArn": group, "containerName": "web", "containerPort": 80}])
    }

    async fn create(&self) {
        let wanted = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "loadBalancers": self.behind(&self.blue)});
        self.ok("CreateService", wanted).await;
    }

    pub async fn service(&self) -> Value {
        let answer = self.ok("DescribeServices", json!({"services": ["web"]})).await;
        answer["services"][0].clone()
    }

    pub async fn task(&self, arn: &str) -> Value {
        self.ok("DescribeTasks", json!({"tasks": [arn]})).await["tasks"][0].clone()
    }

    /// What the service said, the newest last.
    async fn said(&self) -> Vec<String> {
        let service = self.service().await;
        let events = service["events"].as_array().unwrap().iter().rev();
        events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let mut feed = self.server.ledger.subscribe();
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                feed.next().await.unwrap();
            }
        };
        match tokio::time::timeout(WITHIN, found).await {
            Ok(found) => found,
            Err(_) => panic!("not {what}: {:#}", self.service().await),
        }
    }

    pub async fn until_said(&self, text: &str) {
        let has_said =
            async || self.said().await.iter().any(|said| said.contains(text)).then_some(());
        self.until(text, has_said).await;
    }

    pub async fn until_task_is(&self, arn: &str, status: &str) {
        let is_so = async || (self.task(arn).await["lastStatus"] == status).then_some(());
        self.until(status, is_so).await;
    }

    /// Waits for a task that is to run and does not, other than `not`.
    pub async fn pending(&self, not: &str) -> String {
        let look = async || {
            let listed = self.ok("ListTasks", json!({"desiredStatus": "RUNNING"})).await;
            let mut arns = listed["taskArns"].as_array().unwrap().iter();
            arns.find(|arn| arn.as_str() != Some(not)).map(|arn| arn.as_str().unwrap().to_owned())
        };
        self.until("a task", look).await
    }

    /// The agent says that a task runs, with its port published on the backend's.
    pub async fn run(&self, task: &str, backend: &Backend) {
        let bindings = json!([{"bindIP": "0.0.0.0", "containerPort": 80,
            "hostPort": backend.port, "protocol": "tcp"}]);
        let body = json!({"task": task, "status": "RUNNING", "containers": [
            {"containerName": "web", "status": "RUNNING", "networkBindings": bindings}]});
        self.ok("SubmitTaskStateChange", body).await;
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_task_is_a_target_before_it_runs_and_until_nothing_is_under_way_to_it() {
    let (world, backend) = (World::new().await, Backend::begin().await);
    world.create().await;
    assert_eq!(world.service().await["loadBalancers"], world.behind(&world.blue));
    let task = world.pending("").await;
    world.run(&task, &backend).await;
    world.until_task_is(&task, "RUNNING").await;
    world.until_said("(service web) has reached a steady state.").await;
    assert!(answer(world.ask("/").await).await.ends_with("\r\n\r\nwell"));

    let held = world.ask("/held").await;
    let asked = tokio::time::timeout(WITHIN, backend.asked.notified());
    asked.await.expect("the backend is asked");
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
    world.until_task_is(&task, "DEACTIVATING").await;
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["desiredStatus"], &shown["lastStatus"]),
        (&json!("STOPPED"), &json!("DEACTIVATING"))
    );
    world.until_said("has begun draining connections on 1 tasks.").await;
    assert_eq!(world.task(&task).await["lastStatus"], "DEACTIVATING", "a request is under way");
    backend.goes_on.notify_one();
    assert!(answer(held).await.ends_with("\r\n\r\nwell"), "it is answered all the same");
    world.until_task_is(&task, "STOPPING").await;

    let id = task.rsplit('/').next().unwrap();
    let blue = &world.blue;
    let said = world.said().await;
    let expected = [
        format!("(service web) has started 1 tasks: (task {id})."),
        format!("(service web) registered 1 targets in (target-group {blue})"),
        "deployment completed.".to_owned(),
        "(service web) has reached a steady state.".to_owned(),
        format!("(service web) has stopped 1 running tasks: (task {id})."),
        format!("(service web) deregistered 1 targets in (target-group {blue})"),
        "has begun draining connections on 1 tasks.".to_owned(),
    ];
    let found = said.iter().zip(&expected).filter(|(said, wanted)| said.contains(*wanted)).count();
    assert_eq!(found, expected.len(), "{said:#?}");
}

#[tokio::test]
async fn a_target_that_is_taken_away_makes_its_task_unhealthy() {
    let (world, backend) = (World::new().await, Backend::begin().await);
    world.create().await;
    let first = world.pending("").await;
    world.run(&first, &backend).await;
    world.until_said("(service web) has reached a steady state.").await;
    let group = &world.blue;
    let attribute = "Attributes.member.1.Key=deregistration_delay.timeout_seconds&\
                     Attributes.member.1.Value=0";
    let server = &world.server;
    server
        .balance(&format!("Action=ModifyTargetGroupAttributes&TargetGroupArn={group}&{attribute}"))
        .await;
    let target = format!("Targets.member.1.Id={MACHINE}&Targets.member.1.Port={}", backend.port);
    server.balance(&format!("Action=DeregisterTargets&TargetGroupArn={group}&{target}")).await;
    let second = world.pending(&first).await;
    let id = first.rsplit('/').next().unwrap();
    world
        .until_said(&format!(
            "(service web) (task {id}) is not healthy in (target-group {group}) due to TARGET IS NOT \
             FOUND"
        ))
        .await;
    let other = Backend::begin().await;
    world.run(&second, &other).await;
    world.until_task_is(&first, "STOPPING").await;
    let stopped = world.task(&first).await;
    let reason = format!("Task failed ELB health checks in (target-group {group})");
    assert_eq!(stopped["stoppedReason"], reason);
}

#[tokio::test]
async fn a_task_that_is_stopped_by_hand_is_deregistered_at_once() {
    let (world, backend) = (World::new().await, Backend::begin().await);
    world.create().await;
    let task = world.pending("").await;
    world.run(&task, &backend).await;
    world.until_said("(service web) has reached a steady state.").await;
    world.ok("StopTask", json!({"task": task})).await;
    assert_eq!(world.task(&task).await["lastStatus"], "STOPPING");
    let told = format!("Action=DescribeTargetHealth&TargetGroupArn={}", world.blue);
    let told = world.server.balance(&told).await;
    assert_eq!(element(&told, "State"), "draining");
}

#[tokio::test]
async fn what_a_service_says_of_its_load_balancers_has_to_fit() {
    let world = World::new().await;
    let check = async |definition: &str, balancers: Value, expected: &str| {
        let body = json!({"serviceName": "no", "taskDefinition": definition, "desiredCount": 1,
            "loadBalancers": balancers});
        let (status, answer) = world.server.call("admin", "CreateService", &body.to_string()).await;
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(status >= 400 && text.contains(expected), "{expected}: {answer}");
    };
    let (blue, idle) = (world.blue.as_str(), world.idle.as_str());
    let of = |group: &str, container: &str, port: u16| json!({"targetGroupArn": group, "containerName": container, "containerPort": port});
    check("web", json!([of(blue, "app", 80)]), "The container app does not exist").await;
    let text = "The container web did not have a container port 81 defined.";
    check("web", json!([of(blue, "web", 81)]), text).await;
    let gone = format!("{}0", &blue[..blue.len() - 1]);
    check("web", json!([of(&gone, "web", 80)]), "does not exist").await;
    let text = "does not have an associated load balancer.";
    check("web", json!([of(idle, "web", 80)]), text).await;
    let text = "has target type instance, which is incompatible with the awsvpc network mode";
    check("own", json!([of(blue, "web", 80)]), text).await;
    check("web", Value::Array(vec![of(blue, "web", 80); 6]), "at most 5 items").await;
    check(
        "web",
        json!([{"loadBalancerName": "old", "containerName": "web", "containerPort": 80}]),
        "does not implement loadBalancerName",
    )
    .await;
}

#[tokio::test]
async fn traffic_goes_over_when_the_new_revision_stands() {
    let (world, old, new) = (World::new().await, Backend::begin().await, Backend::begin().await);
    let advanced = json!({"alternateTargetGroupArn": world.idle,
        "productionListenerRule": world.rule});
    let mut balancers = world.behind(&world.blue);
    balancers[0]["advancedConfiguration"] = advanced;
    let wanted = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5},
        "loadBalancers": balancers});
    world.ok("CreateService", wanted).await;
    assert_eq!(world.service().await["loadBalancers"], balancers);
    let first = world.pending("").await;
    world.run(&first, &old).await;
    // The first deployment bakes, too.
    let stage = async || {
        let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
        let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
        let told =
            world.ok("DescribeServiceDeployments", json!({"serviceDeploymentArns": [arn]})).await;
        told["serviceDeployments"][0].clone()
    };
    let bakes = async || (stage().await["lifecycleStage"] == "BAKE_TIME").then_some(());
    world.until("baking", bakes).await;
    world.server.advance(300);
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 1})).await;
    world.until_said("(service web) has reached a steady state.").await;

    world.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true})).await;
    let second = world.pending(&first).await;
    let told = stage().await;
    assert_eq!(told["lifecycleStage"], "SCALE_UP");
    assert_eq!(told["targetServiceRevision"]["requestedProductionTrafficWeight"], 0.0);
    world.run(&second, &new).await;
    world.until("baking", bakes).await;
    let rules = format!("Action=DescribeRules&RuleArns.member.1={}", world.rule);
    let rules = world.server.balance(&rules).await;
    let weight = |group: &str| {
        let tuple =
            rules.split("<member>").find(|part| part.contains(group) && part.contains("<Weight>"));
        element(tuple.unwrap_or_else(|| panic!("{rules}")), "Weight")
    };
    assert_eq!((weight(&world.blue), weight(&world.idle)), ("0".to_owned(), "100".to_owned()));
    assert_eq!(world.task(&first).await["desiredStatus"], "RUNNING", "both stand");
    let arn = stage().await["serviceDeploymentArn"].clone();
    world.ok("StopServiceDeployment", json!({"serviceDeploymentArn": arn})).await;
    world.until_task_is(&second, "STOPPING").await;
    let rules = format!("Action=DescribeRules&RuleArns.member.1={}", world.rule);
    let back = async || {
        let rules = world.server.balance(&rules).await;
        let tuple = rules
            .split("<member>")
            .find(|part| part.contains(world.blue.as_str()) && part.contains("<Weight>"));
        (element(tuple.unwrap(), "Weight") == "100").then_some(())
    };
    world.until("given back", back).await;
    assert_eq!(world.task(&first).await["desiredStatus"], "RUNNING");
}
