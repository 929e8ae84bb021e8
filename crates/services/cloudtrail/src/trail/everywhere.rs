//! The trails of all servers as one: lines merged by their times, chains followed one by one.
//!
//! **Invariant:** a server that does not answer is named. No page goes on past a server that has more
//! lines than it has told: they might be newer than those of the others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::{Answer, Entry, Filter, Others, Place, Question, Trail, TrailError};

/// Where each server's trail is gone on with: by what stands for the server, a line's number.
pub type Places = BTreeMap<String, u64>;

/// Where a question to all servers begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the newest lines.
    Newest,
    /// With what is older than these lines, of these servers alone.
    Before(Places),
    /// With what is newer than these lines. Of a server that is not among them, with what comes from
    /// now on.
    After(Places),
}

/// A line, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The URL of the server that it is of; none where there is one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The line.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A server that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Its URL.
    pub server: String,
    /// Why not.
    pub why: String,
}

/// Lines of all servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The lines, in the order that was asked for.
    pub lines: Vec<Line>,
    /// Where to go on; none if there is nothing older.
    pub next: Option<Places>,
    /// The newest line that each server has told, if it told one.
    pub newest: Places,
    /// Who could not be asked.
    pub silent: Vec<Silent>,
}

/// What stands for a server in [`Places`]: eight digits.
pub fn tag(server: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(server)[..4])
}

/// Places as a text, without a hyphen.
pub fn written(places: &Places) -> String {
    let each: Vec<String> = places.iter().map(|(tag, number)| format!("{tag}.{number}")).collect();
    each.join("_")
}

/// What a text of [`written`] says.
pub fn places(text: &str) -> Option<Places> {
    let one = |text: &str| {
        let (tag, number) = text.split_once('.')?;
        Some((tag.to_owned(), number.parse().ok()?))
    };
    text.split('_').map(one).collect()
}

/// What one server has told.
struct Part {
    server: Option<String>,
    tag: String,
    entries: VecDeque<Entry>,
    next: Option<u64>,
    /// The line before or after which it was asked; then the last that was taken.
    at: u64,
}

impl Part {
    fn time(&self) -> Option<&str> {
        self.entries.front().map(|entry| entry.event["eventTime"].as_str().unwrap_or_default())
    }

    /// Whether it has told all that it may, and has more.
    fn is_cut(&self) -> bool {
        self.entries.is_empty() && self.next.is_some()
    }
}

/// Up to `limit` lines in the order of their times, and where each goes on.
fn merge(mut parts: Vec<Part>, limit: usize, newest_first: bool) -> (Vec<Line>, Option<Places>) {
    let mut lines = Vec::new();
    while lines.len() < limit && !parts.iter().any(Part::is_cut) {
        let ahead = |one: &str, other: &str| if newest_first { one > other } else { one < other };
        let mut best: Option<usize> = None;
        for (at, part) in parts.iter().enumerate() {
            let Some(time) = part.time() else { continue };
            let is_ahead =
                best.and_then(|best| parts[best].time()).is_none_or(|leading| ahead(time, leading));
            if is_ahead {
                best = Some(at);
            }
        }
        let Some(part) = best.map(|best| &mut parts[best]) else { break };
        let Some(entry) = part.entries.pop_front() else { break };
        part.at = entry.number;
        lines.push(Line { server: part.server.clone(), entry });
    }
    let goes_on = |part: &Part| match part.entries.is_empty() {
        false => Some(part.at),
        true if newest_first => part.next,
        // Who waits for what comes goes on with everybody.
        true => Some(part.next.unwrap_or(part.at)),
    };
    let places: Places =
        parts.iter().filter_map(|part| Some((part.tag.clone(), goes_on(part)?))).collect();
    (lines, Some(places).filter(|places| !places.is_empty()))
}

/// From where on one server is asked, and whether its lines are wanted; none if it is not asked.
fn place(start: &Start, tag: &str) -> Option<(Place, bool)> {
    match start {
        Start::Newest => Some((Place::Before(u64::MAX), true)),
        Start::Before(places) => places.get(tag).map(|number| (Place::Before(*number), true)),
        Start::After(places) => match places.get(tag) {
            Some(number) => Some((Place::After(*number), true)),
            None => Some((Place::Before(u64::MAX), false)),
        },
    }
}

fn number(place: Place) -> u64 {
    let (Place::Before(number) | Place::After(number)) = place;
    number
}

impl Trail {
    /// Lets questions be about the trails of all servers, on all clones.
    pub fn know_others(&self, others: Arc<dyn Others>) {
        _ = self.others.set(others);
    }

    /// Lines that are wanted of all servers' trails.
    ///
    /// # Errors
    /// If a file of this server's own cannot be read.
    pub async fn look_everywhere(
        &self,
        filter: Filter,
        start: Start,
        limit: usize,
    ) -> Result<Page, TrailError> {
        let own = self.others.get().map(|others| others.own());
        let (mut parts, mut silent) = (Vec::new(), Vec::new());
        let question = |server: &str| {
            let (place, is_wanted) = place(&start, &tag(server))?;
            let filter = if is_wanted { filter.clone() } else { Filter::default() };
            let limit = if is_wanted { limit } else { 1 };
            Some(Question::Look { filter: Box::new(filter), place, limit })
        };
        let answers = self.ask_others(&question).await;
        if let Some(Question::Look { filter, place, limit }) =
            question(own.as_deref().unwrap_or_default())
        {
            let (entries, next) = self.look(*filter, place, limit).await?;
            parts.push(part(&start, own, entries, next));
        }
        for (server, answer) in answers {
            match answer {
                Ok(Answer::Lines(entries, next)) => {
                    parts.push(part(&start, Some(server), entries, next));
                }
                Ok(_) => silent.push(Silent { server, why: "it answered otherwise".to_owned() }),
                Err(why) => silent.push(Silent { server, why }),
            }
        }
        let newest = parts
            .iter()
            .filter_map(|part| {
                let newest = part.entries.iter().map(|entry| entry.number).max()?;
                Some((part.tag.clone(), newest))
            })
            .collect();
        let (lines, mut next) = merge(parts, limit, !matches!(start, Start::After(_)));
        if let (Start::After(before), Some(next)) = (&start, &mut next) {
            // Who is silent is asked again from where it was.
            for (tag, number) in before {
                next.entry(tag.clone()).or_insert(*number);
            }
        }
        Ok(Page { lines, next, newest, silent })
    }

    /// What each server's chain is found to be, this one's first: with the server's URL, none where
    /// there is one alone; or why it is not known.
    ///
    /// # Errors
    /// If a file of this server's own cannot be read.
    pub async fn verify_everywhere(
        &self,
        noted: Option<String>,
    ) -> Result<Vec<(Option<String>, Result<Answer, String>)>, TrailError> {
        let own = self.others.get().map(|others| others.own());
        let question = |_: &str| Some(Question::Verify { noted: noted.clone() });
        let answers = self.ask_others(&question).await;
        let here = self.answer(Question::Verify { noted: noted.clone() }).await?;
        let others = answers.into_iter().map(|(server, answer)| (Some(server), answer));
        Ok([(own, Ok(here))].into_iter().chain(others).collect())
    }

    /// Asks all others at once; in the order of their URLs.
    async fn ask_others(
        &self,
        question: &(dyn Fn(&str) -> Option<Question> + Sync),
    ) -> BTreeMap<String, Result<Answer, String>> {
        let Some(others) = self.others.get() else { return BTreeMap::new() };
        let mut asking = JoinSet::new();
        for server in others.servers().await {
            let Some(question) = question(&server) else { continue };
            let others = Arc::clone(others);
            asking.spawn(async move {
                let answer = others.ask(&server, question).await;
                (server, answer)
            });
        }
        let mut answers = BTreeMap::new();
        while let Some(answered) = asking.join_next().await {
            answers.extend(answered.ok());
        }
        for (server, answer) in &answers {
            if let Err(why) = answer {
                tracing::warn!(server, why, "a server cannot be asked for its trail");
            }
        }
        answers
    }
}

/// What a server has told; of one whose lines are not wanted yet, where it is now.
fn part(start: &Start, server: Option<String>, entries: Vec<Entry>, next: Option<Place>) -> Part {
    let tag = tag(server.as_deref().unwrap_or_default());
    match place(start, &tag) {
        Some((place, true)) => {
            let (entries, next, at) = (entries.into(), next.map(number), number(place));
            Part { server, tag, entries, next, at }
        }
        _ => {
            let at = entries.first().map_or(0, |entry| entry.number);
            Part { server, tag, entries: VecDeque::new(), next: None, at }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A part of lines, each a number and the second that it is of.
    fn part(tag: &str, lines: &[(u64, u64)], next: Option<u64>, at: u64) -> Part {
        let entry = |(number, second): &(u64, u64)| Entry {
            number: *number,
            event: json!({ "eventTime": format!("2026-01-01T00:00:{second:02}Z") }),
        };
        let entries = lines.iter().map(entry).collect();
        Part { server: Some(tag.to_owned()), tag: tag.to_owned(), entries, next, at }
    }

    fn check(
        parts: Vec<Part>,
        (limit, newest_first): (usize, bool),
        lines: &[(&str, u64)],
        next: Option<&[(&str, u64)]>,
    ) {
        let (found, places) = merge(parts, limit, newest_first);
        let found: Vec<_> =
            found.iter().map(|line| (line.server.as_deref().unwrap(), line.entry.number)).collect();
        assert_eq!(found, lines);
        let next = next.map(|places| {
            places.iter().map(|(tag, number)| ((*tag).to_owned(), *number)).collect::<Places>()
        });
        assert_eq!(places, next);
    }

    #[test]
    fn lines_are_merged_by_their_times_and_none_is_passed_over() {
        const MAX: u64 = u64::MAX;
        let two = || {
            let a = part("a", &[(9, 50), (8, 30), (7, 10)], None, MAX);
            vec![a, part("b", &[(5, 40), (4, 20)], None, MAX)]
        };
        let all = [("a", 9), ("b", 5), ("a", 8), ("b", 4), ("a", 7)];
        check(two(), (10, true), &all, None);
        check(two(), (3, true), &all[..3], Some(&[("a", 8), ("b", 5)]));
        check(two(), (1, true), &all[..1], Some(&[("a", 9), ("b", MAX)]));
        // One that has more than it told ends the page: what it has may be newer than the rest.
        let cut = vec![part("a", &[(9, 50)], Some(9), MAX), part("b", &[(5, 40)], None, MAX)];
        check(cut, (10, true), &[("a", 9)], Some(&[("a", 9), ("b", MAX)]));
        let none = vec![part("a", &[], Some(3), MAX), part("b", &[(5, 40)], None, MAX)];
        check(none, (10, true), &[], Some(&[("a", 3), ("b", MAX)]));
        // Who follows goes on with everybody, also with who has nothing new.
        let new = vec![part("a", &[(8, 10), (9, 30)], None, 7), part("b", &[], None, 5)];
        check(new, (10, false), &[("a", 8), ("a", 9)], Some(&[("a", 9), ("b", 5)]));
        check(Vec::new(), (10, true), &[], None);
    }
}
