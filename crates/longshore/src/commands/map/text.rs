//! The chart as lines for a terminal. Pure but for colours, which `console` leaves out where nobody
//! watches.

use console::style;

use super::chart::{Balancer, Chart, Does, Group, Listener, Rule, Service, Target};

/// The lines, from load balancers down to tasks.
pub fn lines(chart: &Chart) -> Vec<String> {
    let mut lines = Lines { chart, lines: Vec::new(), told: vec![false; chart.groups.len()] };
    for balancer in &chart.balancers {
        lines.balancer(balancer);
    }
    lines.left();
    if lines.lines.is_empty() {
        lines.lines.push("There are no load balancers, target groups or services.".to_owned());
    }
    lines.lines
}

/// The names of load balancers, as lines of `/etc/hosts`.
pub fn hosts(chart: &Chart) -> Vec<String> {
    let known = chart.balancers.iter().filter(|one| !one.address.is_empty());
    known.map(|one| format!("{}\t{}", one.address, one.dns_name)).collect()
}

struct Lines<'a> {
    chart: &'a Chart,
    lines: Vec<String>,
    /// The groups whose targets stand somewhere above.
    told: Vec<bool>,
}

/// What stands before a branch, and before all that hangs on it.
fn twig(is_last: bool) -> (&'static str, &'static str) {
    if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") }
}

/// Each with whether it is the last.
fn marked<T>(items: &[T]) -> impl Iterator<Item = (bool, &T)> {
    items.iter().enumerate().map(|(at, item)| (at + 1 == items.len(), item))
}

impl Lines<'_> {
    fn heading(&mut self, text: String) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.push(text);
    }

    fn balancer(&mut self, balancer: &Balancer) {
        let Balancer { name, kind, dns_name, address, state, listeners } = balancer;
        let text = [kind, dns_name, address, state].map(String::as_str).join("  ");
        self.heading(format!("{}  {}", style(name).bold(), text.replace("    ", "  ")));
        for (is_last, listener) in marked(listeners) {
            self.listener(listener, is_last);
        }
    }

    fn listener(&mut self, listener: &Listener, is_last: bool) {
        let (branch, rest) = twig(is_last);
        self.lines.push(format!("{branch}{}", listener.place));
        let width = listener.rules.iter().map(|rule| rule.priority.len()).max().unwrap_or_default();
        for (is_last, rule) in marked(&listener.rules) {
            let (branch, more) = twig(is_last);
            let begin = format!("{rest}{branch}{:width$}", rule.priority);
            self.rule(rule, &begin, &format!("{rest}{more}"));
        }
    }

    fn rule(&mut self, rule: &Rule, begin: &str, rest: &str) {
        let takes = if rule.takes.is_empty() { "" } else { &format!("  {}", rule.takes) };
        match &rule.does {
            Does::Answer(words) => self.lines.push(format!("{begin}{takes} → {words}")),
            Does::Forward(shares) => {
                self.lines.push(format!("{begin}{takes}"));
                for (is_last, (group, share)) in marked(shares) {
                    let (branch, more) = twig(is_last);
                    let share = if shares.len() > 1 { &format!("{share} % ") } else { "" };
                    let begin = format!("{rest}{branch}{share}→ ");
                    self.group(*group, &begin, &format!("{rest}{more}"));
                }
            }
        }
    }

    fn group(&mut self, at: usize, begin: &str, rest: &str) {
        let group = &self.chart.groups[at];
        let is_told = std::mem::replace(&mut self.told[at], true);
        let note = if is_told { "  (above)" } else { "" };
        self.lines.push(format!("{begin}{}{note}", summary(group)));
        if is_told {
            return;
        }
        for service in &group.services {
            self.lines.push(format!("{rest}{}", of_service(service)));
        }
        for (is_last, target) in marked(&group.targets) {
            self.lines.push(format!("{rest}{}{}", twig(is_last).0, of_target(target)));
        }
    }

    /// What no load balancer leads to.
    fn left(&mut self) {
        let groups: Vec<_> = (0..self.told.len()).filter(|at| !self.told[*at]).collect();
        if !groups.is_empty() {
            self.heading("Target groups that no load balancer forwards to".to_owned());
        }
        for at in groups {
            self.group(at, "   ", "   ");
        }
        if !self.chart.others.is_empty() {
            self.heading("Services without a load balancer".to_owned());
        }
        for service in &self.chart.others {
            self.lines.push(format!("   {}", of_service(service)));
        }
    }
}

fn summary(group: &Group) -> String {
    let (healthy, all) = group.healthy();
    let told = format!("{healthy} of {all} healthy");
    let told = match healthy {
        0 => style(told).red(),
        _ if healthy == all => style(told).green(),
        _ => style(told).yellow(),
    };
    format!("{}  {told}", style(&group.name).bold())
}

fn of_service(service: &Service) -> String {
    let Service { name, cluster, definition, desired, running } = service;
    format!("service {cluster}/{name}  {definition}  {running} of {desired} running")
}

fn of_target(target: &Target) -> String {
    let Target { place, state, reason, task } = target;
    let mark = match state.as_str() {
        "healthy" => style("●").green(),
        "unhealthy" => style("✗").red(),
        _ => style("○").yellow(),
    };
    let task = task.as_deref().map_or(String::new(), |task| format!("  task {task}"));
    let reason = if reason.is_empty() { "" } else { &format!("  {reason}") };
    format!("{mark} {place}  {state}{task}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::map::chart::tests::found;

    #[test]
    fn a_map_is_a_tree() {
        console::set_colors_enabled(false);
        let drawn = lines(&Chart::of(&found())).join("\n");
        let expected = "\
web  application  web-1.us-east-1.elb.internal  127.64.0.9  active
├─ HTTP :80
│  └─ default → redirect to https://#{host}:443/#{path} (301)
└─ HTTPS :443
   ├─ 10       path /api/*
   │  └─ → api  1 of 1 healthy
   │     service default/api  api:3  1 of 1 running
   │     └─ ● 172.31.0.5:8080  healthy  task aaaa
   └─ default
      ├─ 90 % → web  1 of 2 healthy
      │  service default/web  web:3  2 of 2 running
      │  ├─ ● i-1:32768  healthy  task bbbb
      │  └─ ○ i-1:32769  initial
      └─ 10 % → new  0 of 0 healthy

Target groups that no load balancer forwards to
   spare  0 of 0 healthy

Services without a load balancer
   service default/worker  worker:3  4 of 4 running";
        assert_eq!(drawn, expected);
        let expected = ["127.64.0.9\tweb-1.us-east-1.elb.internal"];
        assert_eq!(hosts(&Chart::of(&found())), expected);
        let nothing = lines(&Chart::default());
        assert_eq!(nothing, ["There are no load balancers, target groups or services."]);
    }
}
