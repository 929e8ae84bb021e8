//! The way of requests as things that follow each other. Pure.

use serde_json::Value;

use super::look::Found;
use super::places::{Places, items};
use super::words;
use crate::api::{short, text};

/// What is drawn.
#[derive(Debug, Default)]
pub struct Chart {
    /// Load balancers, in the order of their names.
    pub balancers: Vec<Balancer>,
    /// Target groups, in the order in which requests find them; behind these those that none finds.
    pub groups: Vec<Group>,
    /// Services that no target group names.
    pub others: Vec<Service>,
}

/// A load balancer.
#[derive(Debug)]
pub struct Balancer {
    pub name: String,
    /// `application` or `network`.
    pub kind: String,
    pub dns_name: String,
    /// Where it listens, if it tells.
    pub address: String,
    pub state: String,
    pub listeners: Vec<Listener>,
}

/// A listener.
#[derive(Debug)]
pub struct Listener {
    /// As in `HTTP :80`.
    pub place: String,
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its number, or `default`.
    pub priority: String,
    /// What it takes; empty for everything.
    pub takes: String,
    pub does: Does,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Does {
    /// It goes to these groups (their places in [`Chart::groups`]) with these shares in percent.
    Forward(Vec<(usize, u32)>),
    /// It is answered; how, in a few words.
    Answer(String),
}

/// A target group.
#[derive(Debug)]
pub struct Group {
    arn: String,
    pub name: String,
    pub services: Vec<Service>,
    pub targets: Vec<Target>,
}

/// A target.
#[derive(Debug)]
pub struct Target {
    /// As in `172.31.0.5:8080`.
    pub place: String,
    pub state: String,
    /// Why, if it is not healthy and that is told.
    pub reason: String,
    /// The id of the task behind it, if it is one's.
    pub task: Option<String>,
}

/// A service.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub cluster: String,
    /// As in `api:3`.
    pub definition: String,
    pub desired: u64,
    pub running: u64,
}

impl Group {
    /// How many targets get requests, and of how many: those that leave do not count.
    pub fn healthy(&self) -> (usize, usize) {
        let count = |is: fn(&str) -> bool| self.targets.iter().filter(|one| is(&one.state)).count();
        (count(|state| state == "healthy"), count(|state| state != "draining"))
    }
}

impl Chart {
    /// Of what was found.
    pub fn of(found: &Found) -> Self {
        let mut chart = Self::default();
        let mut balancers: Vec<_> = found.load_balancers.iter().collect();
        balancers.sort_by_key(|one| text(one, "LoadBalancerName"));
        for one in balancers {
            let balancer = chart.balancer(found, one);
            chart.balancers.push(balancer);
        }
        for group in &found.target_groups {
            chart.group(text(group, "TargetGroupArn"));
        }
        let places = Places::of(&found.tasks, &found.container_instances);
        for group in &mut chart.groups {
            let of_group = |one: &&Value| text(one, "TargetGroupArn") == group.arn;
            let targets = found.targets.iter().filter(of_group);
            group.targets = targets.map(|one| target(one, &places)).collect();
            let named = |one: &&Value| groups_of(one).any(|arn| arn == group.arn);
            group.services = found.services.iter().filter(named).map(service).collect();
        }
        let is_other = |one: &&Value| groups_of(one).next().is_none();
        chart.others = found.services.iter().filter(is_other).map(service).collect();
        chart
    }

    /// The place of a group in the order; at its end if it is new.
    fn group(&mut self, arn: &str) -> usize {
        if let Some(known) = self.groups.iter().position(|group| group.arn == arn) {
            return known;
        }
        let name = arn.rsplit('/').nth(1).unwrap_or(arn).to_owned();
        let (arn, services, targets) = (arn.to_owned(), Vec::new(), Vec::new());
        self.groups.push(Group { arn, name, services, targets });
        self.groups.len() - 1
    }

    fn balancer(&mut self, found: &Found, one: &Value) -> Balancer {
        let arn = text(one, "LoadBalancerArn");
        let of_it = |listener: &&Value| text(listener, "LoadBalancerArn") == arn;
        let mut listeners: Vec<_> = found.listeners.iter().filter(of_it).collect();
        listeners.sort_by_key(|listener| number(&listener["Port"]));
        let address = &one["AvailabilityZones"][0]["LoadBalancerAddresses"][0];
        Balancer {
            name: text(one, "LoadBalancerName").to_owned(),
            kind: text(one, "Type").to_owned(),
            dns_name: text(one, "DNSName").to_owned(),
            address: text(address, "IpAddress").to_owned(),
            state: text(&one["State"], "Code").to_owned(),
            listeners: listeners.into_iter().map(|one| self.listener(found, one)).collect(),
        }
    }

    fn listener(&mut self, found: &Found, one: &Value) -> Listener {
        let arn = text(one, "ListenerArn");
        let of_it = |rule: &&Value| text(rule, "ListenerArn") == arn;
        let mut rules: Vec<_> = found.rules.iter().filter(of_it).collect();
        // The default one has no number, and comes last.
        rules.sort_by_key(|rule| text(rule, "Priority").parse().unwrap_or(u64::MAX));
        let place = format!("{} :{}", text(one, "Protocol"), number(&one["Port"]));
        Listener { place, rules: rules.into_iter().map(|rule| self.rule(rule)).collect() }
    }

    fn rule(&mut self, one: &Value) -> Rule {
        let conditions: Vec<_> = items(&one["Conditions"]).map(words::condition).collect();
        let last = items(&one["Actions"]).last().unwrap_or(&Value::Null);
        let does = match text(last, "Type") {
            "forward" => Does::Forward(self.shares(last)),
            _ => Does::Answer(words::answer(last)),
        };
        let priority = text(one, "Priority").to_owned();
        Rule { priority, takes: conditions.join(", "), does }
    }

    /// The groups of a forward action with their shares in percent.
    fn shares(&mut self, action: &Value) -> Vec<(usize, u32)> {
        let named = items(&action["ForwardConfig"]["TargetGroups"]);
        let mut weighted: Vec<_> =
            named.map(|one| (text(one, "TargetGroupArn"), weight(&one["Weight"]))).collect();
        if weighted.is_empty() {
            weighted.push((text(action, "TargetGroupArn"), 1));
        }
        let sum: u64 = weighted.iter().map(|(_, weight)| weight).sum();
        let share = |weight: u64| match sum {
            0 => 0,
            sum => u32::try_from((weight * 100 + sum / 2) / sum).unwrap_or(100),
        };
        weighted.into_iter().map(|(arn, weight)| (self.group(arn), share(weight))).collect()
    }
}

/// The ARNs of the target groups that a service registers its tasks with.
fn groups_of(service: &Value) -> impl Iterator<Item = &str> {
    items(&service["loadBalancers"]).flat_map(|one| {
        let other = text(&one["advancedConfiguration"], "alternateTargetGroupArn");
        [text(one, "targetGroupArn"), other].into_iter().filter(|arn| !arn.is_empty())
    })
}

fn service(one: &Value) -> Service {
    Service {
        name: text(one, "serviceName").to_owned(),
        cluster: short(text(one, "clusterArn")).to_owned(),
        definition: short(text(one, "taskDefinition")).to_owned(),
        desired: one["desiredCount"].as_u64().unwrap_or_default(),
        running: one["runningCount"].as_u64().unwrap_or_default(),
    }
}

fn target(one: &Value, places: &Places<'_>) -> Target {
    let (id, port) = (text(&one["Target"], "Id"), number(&one["Target"]["Port"]));
    let health = &one["TargetHealth"];
    let task = places.task(id, port);
    Target {
        place: format!("{id}:{port}"),
        state: text(health, "State").to_owned(),
        reason: text(health, "Description").to_owned(),
        task: task.map(|task| short(text(task, "taskArn")).to_owned()),
    }
}

/// A number, also where a protocol has texts alone.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// A group without a weight weighs 1.
fn weight(value: &Value) -> u64 {
    if value.is_null() { 1 } else { number(value) }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/";

    /// A load balancer with two listeners in front of two services, and one service without any.
    pub fn found() -> Found {
        let group = |name: &str| format!("{GROUP}{name}/0123456789abcdef");
        let forward = |pairs: &[(&str, u32)]| {
            let tuple = |(name, weight): &(&str, u32)| json!({"TargetGroupArn": group(name), "Weight": weight.to_string()});
            let groups: Vec<_> = pairs.iter().map(tuple).collect();
            json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}])
        };
        let redirect = json!({"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"});
        let target = |name: &str, id: &str, port: &str, state: &str| {
            json!({"TargetGroupArn": group(name), "Target": {"Id": id, "Port": port},
                "TargetHealth": {"State": state}})
        };
        let service = |name: &str, count: u32, groups: Vec<Value>| {
            json!({"serviceName": name, "clusterArn": "arn:aws:ecs:r:0:cluster/default",
                "taskDefinition": format!("arn:aws:ecs:r:0:task-definition/{name}:3"),
                "desiredCount": count, "runningCount": count, "loadBalancers": groups})
        };
        Found {
            load_balancers: vec![json!({"LoadBalancerArn": "lb", "LoadBalancerName": "web",
                "Type": "application", "DNSName": "web-1.us-east-1.elb.internal",
                "State": {"Code": "active"}, "AvailabilityZones":
                    [{"LoadBalancerAddresses": [{"IpAddress": "127.64.0.9"}]}]})],
            listeners: vec![
                json!({"LoadBalancerArn": "lb", "ListenerArn": "s", "Protocol": "HTTPS", "Port": "443"}),
                json!({"LoadBalancerArn": "lb", "ListenerArn": "p", "Protocol": "HTTP", "Port": "80"}),
            ],
            rules: vec![
                json!({"ListenerArn": "s", "Priority": "default", "Actions": forward(&[("web", 9), ("new", 1)])}),
                json!({"ListenerArn": "s", "Priority": "10", "Actions": forward(&[("api", 1)]),
                    "Conditions": [{"Field": "path-pattern", "Values": ["/api/*"]}]}),
                json!({"ListenerArn": "p", "Priority": "default",
                    "Actions": [{"Type": "redirect", "RedirectConfig": redirect}]}),
            ],
            target_groups: ["web", "new", "api", "spare"]
                .map(|name| json!({"TargetGroupArn": group(name)}))
                .to_vec(),
            targets: vec![
                target("api", "172.31.0.5", "8080", "healthy"),
                target("web", "i-1", "32768", "healthy"),
                target("web", "i-1", "32769", "initial"),
            ],
            services: vec![
                service("api", 1, vec![json!({"targetGroupArn": group("api")})]),
                service("web", 2, vec![json!({"targetGroupArn": group("web")})]),
                service("worker", 4, vec![]),
            ],
            container_instances: vec![
                json!({"containerInstanceArn": "ci", "ec2InstanceId": "i-1"}),
            ],
            tasks: vec![
                json!({"taskArn": "arn:aws:ecs:r:0:task/default/aaaa", "containers":
                    [{"networkInterfaces": [{"privateIpv4Address": "172.31.0.5"}]}]}),
                json!({"taskArn": "arn:aws:ecs:r:0:task/default/bbbb", "containerInstanceArn": "ci",
                    "containers": [{"networkBindings": [{"hostPort": 32768}]}]}),
            ],
        }
    }

    #[test]
    fn things_follow_each_other() {
        let chart = Chart::of(&found());
        let names: Vec<_> = chart.groups.iter().map(|group| &*group.name).collect();
        assert_eq!(names, ["api", "web", "new", "spare"]);
        let listeners = &chart.balancers[0].listeners;
        assert_eq!((&*listeners[0].place, &*listeners[1].place), ("HTTP :80", "HTTPS :443"));
        let Does::Forward(shares) = &listeners[1].rules[1].does else { panic!("{chart:?}") };
        assert_eq!(shares, &[(1, 90), (2, 10)]);
        let tasks = |group: usize| -> Vec<_> {
            chart.groups[group].targets.iter().map(|one| one.task.as_deref()).collect()
        };
        assert_eq!((tasks(0), tasks(1)), (vec![Some("aaaa")], vec![Some("bbbb"), None]));
        assert_eq!(chart.others.len(), 1);
    }
}
