//! The chart as a drawing: columns of boxes, and lines along which requests go. Pure.

use std::fmt::Write;

use super::chart::{Chart, Does};

/// Where the columns begin, in pixels: load balancers, rules, target groups, targets.
const COLUMNS: [i32; 4] = [20, 290, 640, 910];
/// How wide boxes are.
const WIDTHS: [i32; 4] = [210, 290, 210, 330];
/// How high they are, and how far the next is below.
const HEIGHT: i32 = 46;
const STEP: i32 = 62;
/// Above the first box.
const TOP: i32 = 60;
/// Longer texts are cut, in characters for each column.
const TEXT_MAX: [usize; 4] = [29, 42, 29, 48];

const HEADINGS: [&str; 4] = ["Load balancers", "Rules", "Target groups", "Tasks"];

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}\
.head{font-weight:600;fill:#57606a}rect{fill:#fff;stroke:#8c959f;rx:7px}\
path{fill:none;stroke:#8c959f;stroke-width:1.6}\
.healthy{stroke:#1a7f37;stroke-width:2}.unhealthy{stroke:#cf222e;stroke-width:2}\
.waiting{stroke:#bf8700;stroke-width:2}svg{background:#f6f8fa}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small,.head{fill:#9198a1}\
rect{fill:#151b23;stroke:#656c76}path{stroke:#656c76}svg{background:#0d1117}\
.healthy{stroke:#3fb950}.unhealthy{stroke:#f85149}.waiting{stroke:#d29922}}";

/// A box.
struct Node {
    column: usize,
    title: String,
    below: String,
    class: &'static str,
    /// Its upper edge.
    y: i32,
}

/// A line from one box to another, with a word on it.
struct Edge {
    from: usize,
    to: usize,
    word: String,
}

#[derive(Default)]
struct Drawing {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// The whole document.
pub fn drawing(chart: &Chart) -> String {
    let mut drawing = Drawing::default();
    let groups: Vec<usize> = (0..chart.groups.len()).map(|at| drawing.group(chart, at)).collect();
    for balancer in &chart.balancers {
        let below = format!("{} {}", balancer.dns_name, balancer.address);
        let top = drawing.node(0, &format!("{} ({})", balancer.name, balancer.kind), &below, "");
        for listener in &balancer.listeners {
            for rule in &listener.rules {
                let title = match rule.takes.as_str() {
                    "" => format!("{}  {}", listener.place, rule.priority),
                    takes => format!("{}  {}: {takes}", listener.place, rule.priority),
                };
                let (below, shares) = match &rule.does {
                    Does::Answer(words) => (words.as_str(), &[][..]),
                    Does::Forward(shares) => ("", shares.as_slice()),
                };
                let node = drawing.node(1, &title, below, "");
                drawing.edge(top, node, String::new());
                for (group, share) in shares {
                    let word = if shares.len() > 1 { format!("{share} %") } else { String::new() };
                    drawing.edge(node, groups[*group], word);
                }
            }
        }
    }
    for service in &chart.others {
        let title = format!("{}/{}", service.cluster, service.name);
        let below = format!(
            "{}, {} of {} running, no load balancer",
            service.definition, service.running, service.desired
        );
        drawing.node(3, &title, &below, "");
    }
    drawing.place();
    drawing.document()
}

impl Drawing {
    fn node(&mut self, column: usize, title: &str, below: &str, class: &'static str) -> usize {
        let cut = |text: &str| match text.char_indices().nth(TEXT_MAX[column]) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        let (title, below) = (cut(title.trim()), cut(below.trim()));
        self.nodes.push(Node { column, title, below, class, y: TOP });
        self.nodes.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, word: String) {
        self.edges.push(Edge { from, to, word });
    }

    /// A group with its targets.
    fn group(&mut self, chart: &Chart, at: usize) -> usize {
        let group = &chart.groups[at];
        let name = |one: &super::chart::Service| format!("{}/{}", one.cluster, one.name);
        let services: Vec<_> = group.services.iter().map(name).collect();
        let (healthy, all) = group.healthy();
        let below = format!("{healthy} of {all} healthy  {}", services.join(", "));
        let node = self.node(2, &group.name, &below, "");
        for target in &group.targets {
            let class = match target.state.as_str() {
                "healthy" => "healthy",
                "unhealthy" => "unhealthy",
                _ => "waiting",
            };
            let below = match &target.task {
                Some(task) => format!("{}  task {task}", target.state),
                None => format!("{}  {}", target.state, target.reason),
            };
            let target = self.node(3, &target.place, &below, class);
            self.edge(node, target, String::new());
        }
        node
    }

    /// The last column's boxes stand one below the other; each other one beside the middle of what
    /// it leads to, as far as there is room.
    fn place(&mut self) {
        for column in (0..COLUMNS.len()).rev() {
            let mut order: Vec<usize> =
                (0..self.nodes.len()).filter(|at| self.nodes[*at].column == column).collect();
            for at in &order {
                let led: Vec<i32> = self.led_to(*at).map(|to| self.nodes[to].y).collect();
                if let (Some(first), Some(last)) = (led.iter().min(), led.iter().max()) {
                    self.nodes[*at].y = i32::midpoint(*first, *last);
                }
            }
            // Those of one height stay in the order in which they came.
            order.sort_by_key(|at| self.nodes[*at].y);
            let mut free = TOP;
            for at in order {
                let node = &mut self.nodes[at];
                node.y = node.y.max(free);
                free = node.y + STEP;
            }
        }
    }

    fn led_to(&self, from: usize) -> impl Iterator<Item = usize> {
        self.edges.iter().filter(move |edge| edge.from == from).map(|edge| edge.to)
    }

    fn document(&self) -> String {
        let low = self.nodes.iter().map(|node| node.y).max().unwrap_or(TOP) + STEP;
        let wide = COLUMNS[3] + WIDTHS[3] + 20;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {low}\" \
             width=\"{wide}\" height=\"{low}\" role=\"img\">\n<title>The way of requests</title>\n\
             <style>{STYLE}</style>\n"
        );
        // Writing to a string does not fail.
        for (column, heading) in HEADINGS.iter().enumerate() {
            let x = COLUMNS[column];
            let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"36\">{heading}</text>");
        }
        self.edges.iter().for_each(|edge| self.line(edge, &mut out));
        self.nodes.iter().for_each(|node| write_box(node, &mut out));
        out + "</svg>\n"
    }

    fn line(&self, edge: &Edge, out: &mut String) {
        let (from, to) = (&self.nodes[edge.from], &self.nodes[edge.to]);
        let (x1, y1) = (COLUMNS[from.column] + WIDTHS[from.column], from.y + HEIGHT / 2);
        let (x2, y2) = (COLUMNS[to.column], to.y + HEIGHT / 2);
        let middle = i32::midpoint(x1, x2);
        let _ = writeln!(
            out,
            "<path class=\"{}\" d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>",
            to.class
        );
        if !edge.word.is_empty() {
            let (x, y) = (x2 - 6, y2 - 6);
            let word = &edge.word;
            let _ = writeln!(
                out,
                "<text class=\"small\" text-anchor=\"end\" x=\"{x}\" y=\"{y}\">{word}</text>"
            );
        }
    }
}

fn write_box(node: &Node, out: &mut String) {
    let (x, width) = (COLUMNS[node.column], WIDTHS[node.column]);
    let (y, class) = (node.y, node.class);
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\"/>"
    );
    let (x, first, second) = (x + 10, y + 19, y + 36);
    let (title, below) = (escaped(&node.title), escaped(&node.below));
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{first}\">{title}</text>");
    let _ = writeln!(out, "<text class=\"small\" x=\"{x}\" y=\"{second}\">{below}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::map::chart::tests::found;

    #[test]
    fn everything_is_drawn_once() {
        let mut found = found();
        found.services[2]["serviceName"] = "a<b&c".into();
        let drawn = drawing(&Chart::of(&found));
        let count = |what: &str| drawn.matches(what).count();
        // One load balancer, three rules, four groups, three targets, one other service.
        assert_eq!(count("<rect "), 12);
        // To three rules, to three groups, to three targets.
        assert_eq!(count("<path "), 9);
        assert_eq!((count("90 %"), count("10 %")), (1, 1));
        assert_eq!((count("class=\"healthy\""), count("class=\"waiting\"")), (4, 2));
        assert!(drawn.contains("a&lt;b&amp;c") && drawn.ends_with("</svg>\n"));
    }

    #[test]
    fn boxes_of_a_column_do_not_overlap() {
        let mut drawing = Drawing::default();
        let target = drawing.node(3, "t", "", "");
        let groups = [0, 1, 2].map(|_| drawing.node(2, "g", "", ""));
        groups.iter().for_each(|group| drawing.edge(*group, target, String::new()));
        drawing.place();
        let heights = groups.map(|group| drawing.nodes[group].y);
        assert_eq!(heights, [TOP, TOP + STEP, TOP + 2 * STEP]);
    }
}
