//! What happened, in order: hashed, its tail kept.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines that are kept for the report of a failure.
const TAIL_LINES: usize = 120;

/// The event log of a run.
pub(crate) struct Log {
    hash: u64,
    lines: u64,
    tail: VecDeque<String>,
    verbose: bool,
}

impl Log {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: 0, tail: VecDeque::new(), verbose }
    }

    /// Adds a line, with the time since the run began.
    pub(crate) fn note(&mut self, at: Duration, text: &str) {
        let line = format!("{:>9}.{:03} {text}", at.as_secs(), at.subsec_millis());
        // FNV-1a: what differs between two runs is to differ here, and no more is asked of it.
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.verbose {
            println!("{line}");
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
