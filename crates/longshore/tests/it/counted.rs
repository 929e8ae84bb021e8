//! Parts of the traffic while deployments go on, counted by requests. A hook that is asked at each step
//! holds the deployment there meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::balanced::web;
use crate::harness::{PATIENCE, Up};
use crate::load_balancers::Front;
use crate::watched::Watched;

/// Requests that are counted at each step.
const REQUESTS: usize = 2_000;
/// Requests that are not counted, before those that are.
const WARM_UP: usize = 200;
/// How far the part that is counted may be from the one that is meant, in hundredths: more than five
/// standard deviations of chance.
const TOLERANCE: f64 = 6.0;

/// A hook that lets nothing pass until it is told to.
struct Gate {
    url: String,
    asked: Receiver<Value>,
    pass: Sender<()>,
}

impl Gate {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/gate", listener.local_addr().unwrap());
        let ((asks, asked), (pass, passed)) = (channel(), channel());
        // It ends with the tests' process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if asks.send(event(&stream)).is_err() || passed.recv().is_err() {
                    return;
                }
                answer(stream, r#"{"hookStatus": "SUCCEEDED"}"#);
            }
        });
        Self { url, asked, pass }
    }

    /// Waits until a deployment is held, and gives at which stage.
    fn await_asked(&self) -> String {
        let event = self.asked.recv_timeout(PATIENCE).expect("the hook is asked");
        event["lifecycleStage"].as_str().unwrap_or_else(|| panic!("{event:#}")).to_owned()
    }

    fn pass(&self) {
        self.pass.send(()).unwrap();
    }
}

/// What a hook is asked with.
fn event(stream: &TcpStream) -> Value {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn answer(mut stream: TcpStream, body: &str) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    let length = body.len();
    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
}

/// The body of the page at a port of the load balancer.
fn ask(address: &str, port: u16) -> String {
    let mut stream = TcpStream::connect((address, port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// How many of a hundred requests a family's tasks answer.
fn part_of(family: &str, address: &str) -> f64 {
    let expected = format!("{family}\n");
    let client = |_| {
        let (address, expected) = (address.to_owned(), expected.clone());
        std::thread::spawn(move || {
            (0..REQUESTS / 4).filter(|_| ask(&address, 80) == expected).count()
        })
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    let count: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    #[allow(clippy::cast_precision_loss)]
    let part = count as f64 * 100.0 / REQUESTS as f64;
    part
}

/// The service, its gate and its front.
struct Scene {
    ecs: Watched,
    gate: Gate,
    front: Front,
}

impl Scene {
    /// Deploys a family so, and counts at each stage where the gate holds it: production traffic in
    /// hundredths, and whether the test listener leads to the new tasks.
    fn deploy(&self, family: &str, how: &Value, expected: &[(&str, f64)]) {
        let Self { ecs, gate, front } = self;
        let definition = ecs.register(&web(family, "bridge"));
        let mut how = how.clone();
        how["bakeTimeInMinutes"] = json!(0);
        how["lifecycleHooks"] = json!([{
            "hookTargetArn": gate.url,
            "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"],
        }]);
        let input = json!({
            "service": "web", "taskDefinition": definition, "deploymentConfiguration": how,
        });
        ecs.call("UpdateService", input);
        for (stage, part) in expected {
            assert_eq!(gate.await_asked(), *stage, "{family}");
            // The hook may hear of a step before the data plane does.
            (0..WARM_UP).for_each(|_| drop(ask(&front.address, 80)));
            let counted = part_of(family, &front.address);
            let is_near = match part {
                0.0 => counted == 0.0,
                part => (counted - part).abs() <= TOLERANCE,
            };
            assert!(is_near, "{family} at {stage}: {counted} % of the requests, not {part} %");
            for _ in 0..8 {
                assert_eq!(ask(&front.address, 8080), format!("{family}\n"));
            }
            gate.pass();
        }
        ecs.await_steady("web", &definition, 1);
    }
}

#[test]
fn parts_of_the_traffic_are_those_of_the_strategy() {
    let up = Up::start(&["busybox"]);
    let (ecs, front) = (Watched::of(&up), Front::make(&up, "instance"));
    let green = front.another(&up, "green");
    let test = front.listen(&up, 8080, &green);
    let rule = |listener: &str| {
        let rules = up.aws(&["elbv2", "describe-rules", "--listener-arn", listener]);
        rules["Rules"][0]["RuleArn"].clone()
    };
    let first = ecs.register(&web("first", "bridge"));
    let input = json!({
        "serviceName": "web", "taskDefinition": first, "desiredCount": 1,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0},
        "loadBalancers": [{
            "targetGroupArn": front.group, "containerName": "web", "containerPort": 7070,
            "advancedConfiguration": {
                "alternateTargetGroupArn": green,
                "productionListenerRule": rule(&front.listener),
                "testListenerRule": rule(&test),
            },
        }],
    });
    ecs.call("CreateService", input);
    ecs.await_steady("web", &first, 1);
    let scene = Scene { ecs, gate: Gate::open(), front };
    let (test, shift) = ("POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT");

    let canary = json!({
        "strategy": "CANARY",
        "canaryConfiguration": {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": 0},
    });
    scene.deploy("canary", &canary, &[(test, 0.0), (shift, 20.0), (shift, 100.0)]);
    let linear = json!({
        "strategy": "LINEAR",
        "linearConfiguration": {"stepPercent": 40.0, "stepBakeTimeInMinutes": 0},
    });
    scene.deploy("linear", &linear, &[(test, 0.0), (shift, 40.0), (shift, 80.0), (shift, 100.0)]);
    let at_once = json!({"strategy": "BLUE_GREEN"});
    scene.deploy("green", &at_once, &[(test, 0.0), (shift, 100.0)]);
}
