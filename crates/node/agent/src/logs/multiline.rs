//! Several lines as one event: a line that matches a pattern begins the next one (Docker's awslogs
//! driver, options `awslogs-multiline-pattern` and `awslogs-datetime-format`).

use regex::Regex;

use super::lines::{LINE_BYTES_MAX, Line};

/// Puts events together.
#[derive(Debug)]
pub struct Multiline {
    begins: Regex,
    open: Option<Line>,
}

impl Multiline {
    /// A line that `begins` matches begins an event.
    pub fn new(begins: Regex) -> Self {
        Self { begins, open: None }
    }

    /// Takes a line; the event that it ends.
    pub fn take(&mut self, line: Line) -> Option<Line> {
        let fits = |open: &Line| open.text.len() + 1 + line.text.len() <= LINE_BYTES_MAX;
        match &mut self.open {
            Some(open) if fits(open) && !self.begins.is_match(&line.text) => {
                open.text.push('\n');
                open.text.push_str(&line.text);
                None
            }
            open => open.replace(line),
        }
    }

    /// The event that waits for more lines.
    pub fn finish(&mut self) -> Option<Line> {
        self.open.take()
    }

    /// The place of the first line of the event that waits for more.
    pub fn pending(&self) -> Option<u64> {
        self.open.as_ref().map(|line| line.start)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::datetime::of_datetime;

    use super::super::lines::Source;
    use super::*;

    fn events(pattern: &str, lines: &[&str]) -> Vec<String> {
        let mut multiline = Multiline::new(Regex::new(pattern).unwrap());
        let mut events = Vec::new();
        for (start, text) in lines.iter().enumerate() {
            let line = Line {
                at_ns: 0,
                source: Source::Stdout,
                text: (*text).to_owned(),
                start: start as u64,
            };
            events.extend(multiline.take(line));
        }
        events.extend(multiline.finish());
        events.into_iter().map(|event| event.text).collect()
    }

    #[test]
    fn a_match_begins_an_event() {
        let lines = ["INFO a", " at b", " at c", "INFO d", "INFO e", "f"];
        assert_eq!(events("^INFO", &lines), ["INFO a\n at b\n at c", "INFO d", "INFO e\nf"]);
        let long = "x".repeat(200_000);
        assert_eq!(events("^INFO", &["INFO", &long, &long]).len(), 2);
    }

    #[test]
    fn dates_of_the_user_guide() {
        let pattern = of_datetime(r"\[%b %d, %Y %H:%M:%S\]");
        let lines = ["[May 01, 2017 19:00:01] a", "b", "[May 01, 2017 19:00:04] c"];
        assert_eq!(
            events(&pattern, &lines),
            ["[May 01, 2017 19:00:01] a\nb", "[May 01, 2017 19:00:04] c"]
        );
        let check = |format: &str, text: &str, expected: bool| {
            let matches = Regex::new(&of_datetime(format)).unwrap().is_match(text);
            assert_eq!(matches, expected, "{format} on {text}");
        };
        check("%Y-%m-%dT%H:%M:%S%L", "2026-01-02T03:04:05.678", true);
        check("%Y-%m-%d", "2026-13-02", false);
        check(
            "%I:%M %p %Z %z %j %f %A %a %B %w %y",
            "03:04 PM CEST +0200 123 123456 Monday Mon May 1 26",
            true,
        );
        check("%q%", "100%", true);
    }
}
