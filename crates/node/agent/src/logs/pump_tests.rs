//! A pump that is killed again and again, in front of a destination that fails.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use proptest::prelude::*;
use regex::Regex;
use runtime::ContainerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lines::Line;
use super::options::{self, Shipping};
use super::pump::Pump;
use super::tag::Facts;
use super::{Destination, Job, Pace, SendError};

/// What a destination does with what it gets, one after the other; then it takes all.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Takes(usize),
    Fails,
    /// The agent is killed after it took them, before it put that down.
    Killed(usize),
}

struct Fickle {
    turns: Arc<Mutex<Vec<Turn>>>,
    taken: Arc<Mutex<Vec<String>>>,
    killed: CancellationToken,
}

#[async_trait]
impl Destination for Fickle {
    async fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&mut self, lines: &[Line]) -> Result<usize, SendError> {
        let turn = self.turns.lock().pop();
        let take = |count: usize| {
            let count = count.clamp(1, lines.len());
            self.taken.lock().extend(lines[..count].iter().map(|line| line.text.clone()));
            count
        };
        match turn {
            None => Ok(take(usize::MAX)),
            Some(Turn::Takes(count)) => Ok(take(count)),
            Some(Turn::Fails) => Err(SendError::Later("not now".to_owned())),
            Some(Turn::Killed(count)) => {
                take(count);
                self.killed.cancel();
                std::future::pending().await
            }
        }
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::from_secs(5), bytes_max: 400, lines_max: 20 }
    }
}

fn shipping(begins: Option<&str>) -> Shipping {
    let options = [("awslogs-group".to_owned(), "g".to_owned())].into();
    let plan = options::plan("awslogs", &options, &Facts::default()).unwrap();
    let begins = begins.map(|begins| Regex::new(begins).unwrap());
    Shipping { begins, ..plan.shipping.unwrap() }
}

/// Lines as a shim writes them, every third one in two pieces, in files of some lines each.
fn write(folder: &Path, count: usize) -> Vec<String> {
    let (mut texts, mut base) = (Vec::new(), 0);
    let mut files = vec![String::new()];
    for number in 0..count {
        let text = format!("line {number}");
        let pieces = match number % 3 {
            0 => vec![text[..3].to_owned(), format!("{}\\n", &text[3..])],
            _ => vec![format!("{text}\\n")],
        };
        for piece in pieces {
            let file = files.last_mut().unwrap();
            let place = if file.is_empty() { format!("\"n\":{base},") } else { String::new() };
            let line = format!(
                "{{{place}\"log\":\"{piece}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.0Z\"}}\n"
            );
            base += line.len();
            file.push_str(&line);
        }
        texts.push(text);
        if number % 40 == 39 {
            files.push(String::new());
        }
    }
    files.retain(|file| !file.is_empty());
    for (age, file) in files.iter().rev().enumerate() {
        let name = if age == 0 { "output.json".to_owned() } else { format!("output.json.{age}") };
        std::fs::write(folder.join(name), file).unwrap();
    }
    texts
}

/// Runs pumps until one has sent all.
async fn send_all(folder: &Path, turns: Vec<Turn>, begins: Option<&str>) -> Vec<String> {
    let (turns, taken) = (Arc::new(Mutex::new(turns)), Arc::default());
    loop {
        let killed = CancellationToken::new();
        let destination =
            Fickle { turns: Arc::clone(&turns), taken: Arc::clone(&taken), killed: killed.clone() };
        let job = Job {
            id: ContainerId::from_bytes([7; 32]),
            path: folder.join("output.json"),
            shipping: shipping(begins),
            credentials: None,
        };
        let (_sender, ended) = watch::channel(true);
        if Pump::new(job, Box::new(destination)).run(ended, killed).await {
            let taken: &Mutex<Vec<String>> = &taken;
            return taken.lock().clone();
        }
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        (1_usize..30).prop_map(Turn::Takes),
        Just(Turn::Fails),
        (1_usize..30).prop_map(Turn::Killed),
    ];
    prop::collection::vec(turn, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every line arrives, in order but for those that come again after a kill.
    #[test]
    fn no_line_is_lost(turns in turns(), count in 0_usize..130) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let expected = write(folder.path(), count);
        let kills = turns.iter().filter(|turn| matches!(turn, Turn::Killed(_))).count();
        let taken = runtime.block_on(send_all(folder.path(), turns, None));
        let mut first = Vec::new();
        for text in &taken {
            if !first.contains(text) {
                first.push(text.clone());
            }
        }
        prop_assert_eq!(&first, &expected);
        prop_assert!(kills > 0 || taken.len() == expected.len(), "none comes twice without a kill");
    }
}

#[test]
fn events_of_several_lines_survive_a_kill() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 30);
    let turns = vec![Turn::Killed(1), Turn::Takes(1), Turn::Killed(1)];
    let taken = runtime.block_on(send_all(folder.path(), turns, Some("0$")));
    let expected: Vec<String> = (0..3)
        .map(|ten| {
            let lines: Vec<_> = (0..10).map(|one| format!("line {}", ten * 10 + one)).collect();
            lines.join("\n")
        })
        .collect();
    let mut first = taken;
    first.dedup();
    assert_eq!(first, expected);
}
