//! What `top` draws: lines of text, made of what was found and the size of the screen. Pure.

use serde_json::Value;

use super::look::Found;
use crate::api::{ADDRESS_ATTRIBUTE, attribute, short, text};
use crate::commands::status::{service_row, share};

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Clusters with their counts.
    Clusters,
    /// Services and how their deployments go.
    #[default]
    Services,
    /// Tasks that have not stopped.
    Tasks,
    /// Instances and what is free on them.
    Instances,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 4] = [Self::Clusters, Self::Services, Self::Tasks, Self::Instances];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Services => "services",
            Self::Tasks => "tasks",
            Self::Instances => "instances",
        }
    }

    /// The one that comes after it, or before.
    pub fn beside(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|one| *one == self).unwrap_or_default();
        let by = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(at + by) % Self::ALL.len()]
    }

    /// How many a cluster has of what it shows.
    pub fn count(self, cluster: &Value) -> u64 {
        let number = |member: &str| cluster[member].as_u64().unwrap_or_default();
        match self {
            Self::Clusters => 1,
            Self::Services => number("activeServicesCount"),
            Self::Tasks => number("runningTasksCount") + number("pendingTasksCount"),
            Self::Instances => number("registeredContainerInstancesCount"),
        }
    }

    fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Clusters => &["cluster", "status", "services", "instances", "running", "pending"],
            Self::Services => &[
                "service",
                "cluster",
                "status",
                "definition",
                "desired",
                "running",
                "pending",
                "deployment",
            ],
            Self::Tasks => &["task", "cluster", "group", "definition", "status", "health", "zone"],
            Self::Instances => &[
                "instance",
                "zone",
                "status",
                "agent",
                "running",
                "pending",
                "cpu free",
                "memory free",
            ],
        }
    }

    fn row(self, one: &Value) -> Vec<String> {
        let told = |member: &str| text(one, member).to_owned();
        let number = |member: &str| one[member].to_string();
        match self {
            Self::Clusters => vec![
                told("clusterName"),
                told("status"),
                number("activeServicesCount"),
                number("registeredContainerInstancesCount"),
                number("runningTasksCount"),
                number("pendingTasksCount"),
            ],
            Self::Services => service_row(one),
            Self::Tasks => vec![
                short(text(one, "taskArn")).to_owned(),
                short(text(one, "clusterArn")).to_owned(),
                told("group"),
                short(text(one, "taskDefinitionArn")).to_owned(),
                told("lastStatus"),
                told("healthStatus"),
                told("availabilityZone"),
            ],
            Self::Instances => vec![
                instance_name(one),
                attribute(one, "ecs.availability-zone").to_owned(),
                told("status"),
                if one["agentConnected"] == true { "connected" } else { "away" }.to_owned(),
                number("runningTasksCount"),
                number("pendingTasksCount"),
                share(one, "CPU"),
                share(one, "MEMORY"),
            ],
        }
    }
}

fn instance_name(instance: &Value) -> String {
    let id = short(text(instance, "containerInstanceArn"));
    match attribute(instance, ADDRESS_ATTRIBUTE) {
        "" => id.to_owned(),
        address => format!("{} {address}", id.get(..8).unwrap_or(id)),
    }
}

/// What a screen shows.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Characters in a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The first row that is shown.
    pub top: usize,
}

/// Lines that are not rows: two above, the headings, and one below.
pub const FRAME_LINES: usize = 4;

/// The rows of a view under its headings, in columns.
pub fn table(view: View, found: &Found) -> (String, Vec<String>) {
    let rows: Vec<Vec<String>> = found.shown(view).iter().map(|one| view.row(one)).collect();
    let headings: Vec<String> = view.headings().iter().map(|one| one.to_uppercase()).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|at| {
            let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    (line(&headings), rows.iter().map(line).collect())
}

/// One line about everything.
pub fn summary(found: &Found) -> String {
    let sum = |member: &str| -> u64 {
        found.clusters.iter().filter_map(|one| one[member].as_u64()).sum()
    };
    format!(
        "{} clusters  {} services  {} instances  {} tasks running, {} pending",
        found.clusters.len(),
        sum("activeServicesCount"),
        sum("registeredContainerInstancesCount"),
        sum("runningTasksCount"),
        sum("pendingTasksCount"),
    )
}

/// The lines of a screen, none longer than it is wide and no more than it has.
pub fn frame(view: View, found: &Found, screen: Screen, note: &str) -> Vec<String> {
    let tab = |(at, one): (usize, &View)| match *one == view {
        true => format!("[{} {}]", at + 1, one.name()),
        false => format!(" {} {} ", at + 1, one.name()),
    };
    let tabs: Vec<String> = View::ALL.iter().enumerate().map(tab).collect();
    let (headings, rows) = table(view, found);
    let space = screen.height.saturating_sub(FRAME_LINES);
    let top = screen.top.min(rows.len().saturating_sub(space));
    let shown = rows.iter().skip(top).take(space).cloned();
    let mut lines = vec![summary(found), tabs.join(""), headings];
    lines.extend(shown);
    let last = (top + space).min(rows.len());
    let of = if view == View::Clusters { rows.len() as u64 } else { found.total };
    let place = match rows.is_empty() {
        true => format!("no {}", view.name()),
        false => format!("{} to {last} of {of}", top + 1),
    };
    let keys = if note.is_empty() { "q quit  tab, 1-4 view  ↑↓ scroll" } else { note };
    while lines.len() + 1 < screen.height {
        lines.push(String::new());
    }
    lines.push(format!("{place}   {keys}"));
    lines.truncate(screen.height);
    lines.iter().map(|line| line.chars().take(screen.width).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(rows: usize) -> Found {
        let service = |at: usize| {
            json!({
                "serviceName": format!("web-{at}"), "clusterArn": "arn:x:cluster/shop",
                "status": "ACTIVE", "taskDefinition": "arn:x/web:7", "desiredCount": 3,
                "runningCount": 2, "pendingCount": 1,
                "deployments": [{"status": "PRIMARY", "rolloutState": "IN_PROGRESS"},
                                {"status": "ACTIVE", "rolloutState": "COMPLETED"}],
            })
        };
        let cluster = json!({"clusterName": "shop", "status": "ACTIVE", "activeServicesCount": 250,
            "registeredContainerInstancesCount": 3, "runningTasksCount": 20,
            "pendingTasksCount": 1});
        Found { clusters: vec![cluster], rows: (0..rows).map(service).collect(), total: 250 }
    }

    #[test]
    fn a_screen_is_drawn() {
        let screen = Screen { width: 90, height: 7, top: 0 };
        assert_eq!(
            frame(View::Services, &found(2), screen, ""),
            [
                "1 clusters  250 services  3 instances  20 tasks running, 1 pending",
                " 1 clusters [2 services] 3 tasks  4 instances ",
                "SERVICE  CLUSTER  STATUS  DEFINITION  DESIRED  RUNNING  PENDING  DEPLOYMENT",
                "web-0    shop     ACTIVE  web:7       3        2        1        IN_PROGRESS (1 of 2)",
                "web-1    shop     ACTIVE  web:7       3        2        1        IN_PROGRESS (1 of 2)",
                "",
                "1 to 2 of 250   q quit  tab, 1-4 view  ↑↓ scroll",
            ]
        );
    }

    #[test]
    fn a_screen_is_never_larger_than_it_is() {
        let check = |width, height, top| {
            let lines = frame(View::Services, &found(50), Screen { width, height, top }, "away");
            assert!(lines.len() <= height, "{width} {height} {top}");
            assert!(lines.iter().all(|line| line.chars().count() <= width));
            lines
        };
        for (width, height) in [(0, 0), (1, 1), (10, 3), (80, 4), (80, 24), (500, 100)] {
            check(width, height, 0);
            check(width, height, 1_000);
        }
        let lines = check(80, 14, 1_000);
        assert!(lines[3].starts_with("web-40") && lines[12].starts_with("web-49"), "{lines:?}");
        assert_eq!(lines[13], "41 to 50 of 250   away");
    }

    #[test]
    fn views_follow_each_other() {
        assert_eq!(View::Services.beside(true), View::Tasks);
        assert_eq!(View::Clusters.beside(false), View::Instances);
        assert_eq!(View::Instances.beside(true), View::Clusters);
        let empty =
            frame(View::Tasks, &Found::default(), Screen { width: 80, height: 5, top: 0 }, "");
        assert!(empty[4].starts_with("no tasks"), "{empty:?}");
    }
}
