//! Two balancers and a server.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use balancer::{
    Algorithm, Check, FORMAT, Group, Health, LoadBalancer, Settings, Speaks, State, Target,
};

use super::*;

fn arn(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/{name}/1")
}

fn group(name: &str) -> Group {
    Group {
        name: name.to_owned(),
        targets: vec![target(false)],
        speaks: Speaks::Http1,
        greets: false,
        by_source: false,
        cuts_unhealthy: false,
        cuts_gone: false,
        tls: false,
        check: Check {
            speaks: Speaks::Http1,
            tls: false,
            port: None,
            path: "/".to_owned(),
            interval: std::time::Duration::from_secs(5),
            timeout: std::time::Duration::from_secs(2),
            healthy: 2,
            unhealthy: 2,
            codes: vec![(200, 200)],
        },
        algorithm: Algorithm::RoundRobin,
        sticky: None,
        app_cookie: None,
        slow_start: None,
        healthy_min: 1,
        healthy_min_percent: 0,
        verdicts: None,
    }
}

fn target(draining: bool) -> Target {
    let address = (Ipv4Addr::new(10, 0, 0, 9), 80).into();
    Target { id: "10.0.0.9".to_owned(), port: 80, address, registration: 1, draining }
}

fn load_balancer(name: &str) -> LoadBalancer {
    LoadBalancer {
        name: arn(name),
        address: Ipv4Addr::new(127, 64, 0, 1).into(),
        dns_name: format!("{name}-1.us-east-1.elb.internal"),
        settings: Settings::default(),
        log: None,
        listeners: Vec::new(),
    }
}

/// `web` with the group `blue`, `api` with the group `red`.
fn config() -> (Config, BTreeMap<String, String>) {
    let config = Config {
        load_balancers: vec![load_balancer("api"), load_balancer("web")],
        groups: vec![group("blue"), group("red")],
    };
    let users = [("blue", "web"), ("red", "api")];
    (config, users.map(|(group, user)| (group.to_owned(), arn(user))).into())
}

fn report(group: &str, draining: bool, is_idle: bool, state: State) -> Report {
    let health = Health { state, reason: None };
    Report { group: group.to_owned(), target: target(draining), health, is_idle }
}

/// A balancer that serves these and has checked `blue`, if it says so.
fn front(start: &str, serves: &[&str], is_there: bool, targets: Vec<Report>) -> Front {
    let found = Found {
        format: FORMAT,
        start: start.to_owned(),
        address: None,
        load_balancers: [(arn("web"), None)].into(),
        targets,
        checked: BTreeSet::from(["blue".to_owned()]),
        counts: Vec::new(),
        is_last: false,
    };
    let serves = serves.iter().map(|name| (*name).to_owned()).collect();
    Front { start: start.to_owned(), is_there, serves, found: Arc::new(found) }
}

fn names(config: &Config) -> Vec<String> {
    let balancers = config.load_balancers.iter().map(|one| one.name.clone());
    balancers.chain(config.groups.iter().map(|one| one.name.clone())).collect()
}

#[test]
fn the_server_serves_what_no_balancer_does() {
    let (config, users) = config();
    let check = |fronts: &[Front], expected: &[String]| {
        assert_eq!(names(&own(&config, &users, fronts)), expected);
    };
    let all = [arn("api"), arn("web"), "blue".to_owned(), "red".to_owned()];
    check(&[], &all);
    check(&[front("a", &[], true, Vec::new())], &[]);
    check(&[front("a", &["web"], true, Vec::new())], &[arn("api"), "red".to_owned()]);
    check(&[front("a", &[&arn("api")], true, Vec::new())], &[arn("web"), "blue".to_owned()]);
    // One that is away may be back in a moment.
    check(&[front("a", &[], false, Vec::new())], &[]);
}

#[test]
fn one_balancer_decides_and_the_others_are_told() {
    let verdicts = vec![Verdict { id: "10.0.0.9".to_owned(), port: 80, state: State::Healthy }];
    let of = |fronts: &[Front], start: &str, serves: &[&str]| {
        let known = [("blue".to_owned(), verdicts.clone())].into();
        let telling = Telling::next(config(), known, fronts, CookieKey::random());
        let serves: Vec<_> = serves.iter().map(|name| (*name).to_owned()).collect();
        let config = telling.of(start, &serves);
        config.groups.into_iter().map(|one| (one.name, one.verdicts)).collect::<Vec<_>>()
    };
    let (blue, red) = ("blue".to_owned(), "red".to_owned());
    let (a, b) = (front("a", &[], true, Vec::new()), front("b", &[], true, Vec::new()));
    let both = [a.clone(), b.clone()];
    assert_eq!(of(&both, "a", &[]), [(blue.clone(), None), (red.clone(), None)]);
    let told = [(blue.clone(), Some(verdicts.clone())), (red.clone(), Some(Vec::new()))];
    assert_eq!(of(&both, "b", &[]), told);
    // One that has told nothing yet decides nothing.
    assert_eq!(of(&both, "c", &[]), told);
    assert_eq!(of(std::slice::from_ref(&b), "b", &["web"]), [(blue.clone(), None)]);
    let away = Front { is_there: false, ..a };
    assert_eq!(of(&[away, b], "b", &["web"]), [(blue, None)]);
}

#[test]
fn only_who_decides_tells_how_targets_are() {
    let (_, users) = config();
    let healthy = || vec![report("blue", false, true, State::Healthy)];
    let failing = || vec![report("blue", false, true, State::Unhealthy)];
    let state = |fronts: &[Front]| {
        let own = vec![report("blue", false, true, State::Initial)];
        let told = reports(own, &users, fronts);
        told.into_iter().map(|report| report.health.state).collect::<Vec<_>>()
    };
    assert_eq!(state(&[]), [State::Initial]);
    let (a, b) = (front("a", &[], true, healthy()), front("b", &[], true, failing()));
    assert_eq!(state(&[a.clone(), b.clone()]), [State::Healthy]);
    assert_eq!(state(&[b.clone(), a.clone()]), [State::Unhealthy]);
    let away = Front { is_there: false, ..a.clone() };
    assert_eq!(state(&[away.clone(), b]), [State::Unhealthy]);
    assert_eq!(state(&[away]), []);
    // What it was told itself is no news.
    let found = Found { checked: BTreeSet::new(), ..Found::clone(&a.found) };
    assert_eq!(state(&[Front { found: Arc::new(found), ..a }]), []);
}

#[test]
fn a_draining_target_is_idle_when_all_are_done_with_it() {
    let (_, users) = config();
    let is_idle = |fronts: &[Front]| {
        let told = reports(Vec::new(), &users, fronts);
        told.into_iter().map(|report| report.is_idle).collect::<Vec<_>>()
    };
    let tells = |start, is_there, draining, is_idle| {
        front(start, &[], is_there, vec![report("blue", draining, is_idle, State::Initial)])
    };
    let done = tells("a", true, true, true);
    assert_eq!(is_idle(&[done.clone(), tells("b", true, true, true)]), [true]);
    assert_eq!(is_idle(&[done.clone(), tells("b", true, true, false)]), [false]);
    // One that does not know yet, and one that is away.
    assert_eq!(is_idle(&[done.clone(), tells("b", true, false, true)]), [false]);
    assert_eq!(is_idle(&[done.clone(), tells("b", false, true, false)]), [false]);
    let other = Front { serves: vec!["api".to_owned()], ..tells("b", true, true, false) };
    assert_eq!(is_idle(&[done, other]), [true]);
}

#[test]
fn a_load_balancer_is_as_those_say_that_serve_it() {
    let (config, _) = config();
    let trouble = || Some("Port 80 cannot be listened on".to_owned());
    let of = |fronts: &[Front]| {
        let own = [(arn("api"), "no".to_owned())].into();
        states(&config, fronts, &own)
    };
    let told = of(&[]);
    assert_eq!(told, [(arn("api"), Some("no".to_owned())), (arn("web"), None)].into());
    let a = front("a", &["web"], true, Vec::new());
    assert_eq!(of(std::slice::from_ref(&a))[&arn("web")], None);
    let found =
        Found { load_balancers: [(arn("web"), trouble())].into(), ..Found::clone(&a.found) };
    let b = Front { start: "b".to_owned(), found: Arc::new(found), ..a.clone() };
    assert_eq!(of(&[a, b.clone()])[&arn("web")], trouble());
    let found = Found { load_balancers: BTreeMap::new(), ..Found::clone(&b.found) };
    let quiet = Front { found: Arc::new(found), ..b };
    assert_eq!(of(&[quiet]).get(&arn("web")), None);
}
