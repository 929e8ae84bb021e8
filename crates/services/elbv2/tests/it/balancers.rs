//! Balancers on hosts of their own, as the route meets them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use balancer::{Balancer, Config, FORMAT, Found, Health, Report, State, Told};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use stage::HeldClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::Body;

use super::world::World;

const SUBNET: &str = "subnet-6fc8e45e81b0af4ef";

/// The edge, and the loop of the server that leads.
struct Stage {
    world: World,
    stop: CancellationToken,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Stage {
    /// With a network load balancer, its group and a listener.
    async fn new() -> Self {
        let world = World::new();
        let (elb, stop) = (world.elb.clone(), CancellationToken::new());
        let token = stop.clone();
        let running = tokio::spawn(async move {
            elb.run(&Balancer::new(Arc::new(HeldClock::default())), token).await;
        });
        let stage = Self { world, stop, running: Mutex::new(Some(running)) };
        let make =
            format!("Action=CreateLoadBalancer&Name=net&Type=network&Subnets.member.1={SUBNET}");
        stage.call(&make).await;
        let group = "Action=CreateTargetGroup&Name=db&Protocol=TCP&Port=5432&TargetType=ip&VpcId=";
        stage.call(&format!("{group}vpc-f0564391aad071275")).await;
        let listener = "Action=CreateListener&LoadBalancerArn=$LB1&Protocol=TCP&Port=15432\
                        &DefaultActions.member.1.Type=forward\
                        &DefaultActions.member.1.TargetGroupArn=$TG1";
        stage.call(listener).await;
        let target = "Targets.member.1.Id=172.31.0.9&Targets.member.1.Port=1";
        stage.call(&format!("Action=RegisterTargets&TargetGroupArn=$TG1&{target}")).await;
        stage
    }

    /// Ends what only the server that leads does.
    async fn end(&self) {
        self.stop.cancel();
        let running = self.running.lock().unwrap().take().unwrap();
        running.await.unwrap();
    }

    async fn call(&self, form: &str) -> String {
        let (status, body) = self.world.ask(form).await;
        assert_eq!(status, 200, "{form}: {body}");
        body
    }

    async fn ask(
        &self,
        method: Method,
        query: &str,
        body: String,
        from: Option<&str>,
    ) -> (StatusCode, Body) {
        let uri = format!("/_longshore/balancer?{query}");
        let request = Request::builder().method(method).uri(uri).header("host", "server");
        let from = from.map(|from| from.parse::<SocketAddr>().unwrap());
        let request = request.body(Body::from(body)).unwrap();
        let answer = self.world.edge().handle(request, from).await;
        (answer.status(), answer.into_body())
    }

    async fn join(&self, start: &str) -> Reader {
        let query = format!("format={FORMAT}&name=host&start={start}");
        let (status, body) = self.ask(Method::GET, &query, String::new(), None).await;
        assert_eq!(status, StatusCode::OK);
        Reader { body, read: Vec::new(), config: Config::default() }
    }

    async fn tell(&self, found: &Found) -> StatusCode {
        let body = serde_json::to_string(found).unwrap();
        self.ask(Method::POST, "", body, None).await.0
    }

    /// Waits until a list shows this.
    async fn until(&self, form: &str, part: &str) {
        loop {
            let told = self.call(form).await;
            if told.contains(part) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// What a balancer is told.
struct Reader {
    body: Body,
    read: Vec<u8>,
    config: Config,
}

impl Reader {
    /// Takes the next change in, and gives whether it was everything; none at the end.
    async fn next(&mut self) -> Option<bool> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line.len() == 1 {
                    continue;
                }
                let told: Told = serde_json::from_slice(&line).unwrap();
                let is_whole = told.is_whole;
                told.apply_to(&mut self.config);
                return Some(is_whole);
            }
            let frame = self.body.frame().await?.unwrap();
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// Reads until what it is told is so.
    async fn until(&mut self, is_so: impl Fn(&Config) -> bool) {
        while !is_so(&self.config) {
            self.next().await.expect("it is told more");
        }
    }

    /// A report of all that it was told: listeners listen, and targets are so.
    fn found(&self, start: &str, state: State) -> Found {
        let report = |group: &balancer::Group| {
            let name = group.name.clone();
            let health = Health { state, reason: None };
            let report = move |target: &balancer::Target| Report {
                group: name.clone(),
                target: target.clone(),
                health: health.clone(),
                is_idle: false,
            };
            group.targets.iter().map(report).collect::<Vec<_>>()
        };
        let balancers = self.config.load_balancers.iter().map(|one| (one.name.clone(), None));
        let checked = self.config.groups.iter().filter(|group| group.verdicts.is_none());
        Found {
            format: FORMAT,
            start: start.to_owned(),
            address: None,
            load_balancers: balancers.collect(),
            targets: self.config.groups.iter().flat_map(report).collect(),
            checked: checked.map(|group| group.name.clone()).collect(),
            counts: Vec::new(),
            is_last: false,
        }
    }
}

const HEALTH: &str = "Action=DescribeTargetHealth&TargetGroupArn=$TG1";

#[tokio::test]
async fn balancers_are_told_and_one_of_them_decides() {
    let stage = Stage::new().await;
    let mut one = stage.join("1").await;
    assert_eq!(one.next().await, Some(true));
    one.until(|config| config.groups.len() == 1).await;
    let is_told = |config: &Config| config.groups.iter().any(|group| group.verdicts.is_some());
    assert!(is_told(&one.config), "the server decides until it has told something");
    assert_eq!(stage.tell(&one.found("1", State::Initial)).await, StatusCode::OK);
    one.until(|config| !is_told(config)).await;
    stage.until("Action=DescribeLoadBalancers", "<Code>active</Code>").await;
    assert_eq!(stage.tell(&one.found("1", State::Healthy)).await, StatusCode::OK);
    stage.until(HEALTH, "<State>healthy</State>").await;

    // The second one is told what the first one found; what it says itself changes nothing.
    let mut two = stage.join("2").await;
    assert_eq!(two.next().await, Some(true));
    let verdict = |config: &Config| config.groups[0].verdicts.as_ref().map(|all| all[0].state);
    two.until(|config| verdict(config) == Some(State::Healthy)).await;
    assert_eq!(stage.tell(&two.found("2", State::Unhealthy)).await, StatusCode::OK);
    assert_eq!(stage.tell(&one.found("1", State::Unhealthy)).await, StatusCode::OK);
    stage.until(HEALTH, "<State>unhealthy</State>").await;
    two.until(|config| verdict(config) == Some(State::Unhealthy)).await;

    // When the first one ends, the second one decides.
    let last = Found { is_last: true, ..one.found("1", State::Unhealthy) };
    assert_eq!(stage.tell(&last).await, StatusCode::OK);
    assert_eq!(stage.tell(&last).await, StatusCode::CONFLICT);
    two.until(|config| !is_told(config)).await;
    assert_eq!(stage.tell(&two.found("2", State::Healthy)).await, StatusCode::OK);
    stage.until(HEALTH, "<State>healthy</State>").await;

    // A change comes alone.
    let rule = "Action=CreateListener&LoadBalancerArn=$LB1&Protocol=TCP&Port=15433\
                &DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn=$TG1";
    stage.call(rule).await;
    assert_eq!(two.next().await, Some(false));
    two.until(|config| config.load_balancers[0].listeners.len() == 2).await;
    stage.end().await;
    while two.next().await.is_some() {}
}

#[tokio::test]
async fn what_cannot_join_is_told_why() {
    let stage = Stage::new().await;
    let check = async |query: &str, from: Option<&str>, status: u16, part: &str| {
        let (told, body) = stage.ask(Method::GET, query, String::new(), from).await;
        let body = body.collect(65_536).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!((told.as_u16(), body.contains(part)), (status, true), "{query}: {body}");
    };
    let whole = "format=1&name=host&start=1";
    check(whole, Some("192.0.2.7:1000"), 403, "over TLS").await;
    check("name=host&start=1", None, 400, "in form 1").await;
    check("format=1&name=a%20b&start=1", None, 400, "name 'a b'").await;
    check("format=1&name=host", None, 400, "start ''").await;
    let many = format!("{whole}&serves={}", "web,".repeat(101));
    check(&many, None, 400, "at most 100").await;
    let (status, _) = stage.ask(Method::PUT, whole, String::new(), None).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = stage.ask(Method::POST, "", "{}".to_owned(), None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    stage.end().await;
    check(whole, None, 503, "try again").await;
}
