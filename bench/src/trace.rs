//! Marks in a kernel trace, for `bench/trace.py`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// A trace instance of the kernel (`/sys/kernel/tracing/instances/NAME`).
#[derive(Debug)]
pub struct Trace(File);

impl Trace {
    /// Confines the instance to a process, with its threads and all that they will start.
    pub fn follow(instance: &Path, process: u32) -> Result<Self> {
        let open = |name: &str| {
            let path = instance.join(name);
            OpenOptions::new().append(true).open(&path).with_context(|| path.display().to_string())
        };
        let mut followed = open("set_event_pid")?;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            writeln!(followed, "{}", thread?.file_name().to_string_lossy())?;
        }
        Ok(Self(open("trace_marker")?))
    }

    /// Puts a mark between the kernel's own events.
    pub fn mark(&self, what: &str) -> Result<()> {
        (&self.0).write_all(what.as_bytes()).context("marking the trace")
    }
}
