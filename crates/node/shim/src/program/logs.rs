//! The container's output on disk: Docker's json-file lines, turned over by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use shim::{LogOptions, file};

use super::clock::Instant;

/// The longest piece of one line in bytes: Docker cuts there too.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Which of the two outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Writes the log. It never fails and never blocks for long: what the disk does not take is lost,
/// and said once in the shim's own log, because a container must not stop for its output.
pub(crate) struct Log {
    options: LogOptions,
    current: Option<File>,
    size: u64,
    complained: bool,
    /// What was read of a line whose end has not come, by stream.
    partial: [Vec<u8>; 2],
    out: Vec<u8>,
}

impl Log {
    pub(crate) fn new(options: LogOptions) -> Self {
        Self {
            options,
            current: None,
            size: 0,
            complained: false,
            partial: [Vec::new(), Vec::new()],
            out: Vec::new(),
        }
    }

    /// Takes what one stream said.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - partial.len();
            let end = bytes.iter().take(room).position(|b| *b == b'\n');
            let length = end.map_or(room.min(bytes.len()), |at| at + 1);
            partial.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            if end.is_some() || partial.len() == LINE_BYTES_MAX {
                self.line(stream, &partial);
                partial.clear();
            }
        }
        // An idle container's buffers cost nothing.
        if !partial.is_empty() {
            self.partial[stream as usize] = partial;
        }
        self.flush();
    }

    /// Writes what is left of a line without an end.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.partial[stream as usize]);
            if !rest.is_empty() {
                self.line(stream, &rest);
            }
        }
        self.flush();
    }

    fn line(&mut self, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let start = self.out.len();
        self.out.extend_from_slice(b"{\"log\":");
        let _ = serde_json::to_writer(&mut self.out, text.as_ref());
        let name = stream.name();
        let _ = writeln!(self.out, ",\"stream\":\"{name}\",\"time\":\"{}\"}}", Instant::now());
        let added = (self.out.len() - start) as u64;
        if self.size > 0 && self.size + added > self.options.size_max_bytes {
            let line = self.out.split_off(start);
            self.flush();
            self.turn_over();
            self.out = line;
        }
        self.size += added;
    }

    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let written = self.file().and_then(|file| file.write_all(&out));
        if let Err(error) = written
            && !std::mem::replace(&mut self.complained, true)
        {
            eprintln!("longshore-shim: output is lost: cannot write {}: {error}", file::LOG);
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.current.is_none() {
            let opened = OpenOptions::new().create(true).append(true).open(file::LOG)?;
            self.current = Some(opened);
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("no log file"))
    }

    /// Makes the current file the first old one, and drops the oldest.
    fn turn_over(&mut self) {
        self.current = None;
        self.size = 0;
        let name = |age: u32| match age {
            0 => file::LOG.to_owned(),
            _ => format!("{}.{age}", file::LOG),
        };
        let oldest = self.options.files_max.saturating_sub(1);
        if oldest == 0 {
            let _ = fs::remove_file(file::LOG);
            return;
        }
        for age in (0..oldest).rev() {
            let _ = fs::rename(name(age), name(age + 1));
        }
    }
}
